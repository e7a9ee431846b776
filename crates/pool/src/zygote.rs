//! The Python process that imported the project once: started here, spoken to on its control socket.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::Error;
use crate::clock::{boot_nanoseconds, monotonic_nanoseconds};
use crate::config::Config;
use crate::frame::kinds::ToZygote;
use crate::frame::{BadFrame, FromZygote, Parser, pack, signal_in_words};
use crate::messages::Lease;
use crate::orphans;

/// Not `-m`, which looks for modules in the current directory first: whoever can write there could have a worker run
/// anything. The entry for it stands first with `-c` too, and goes before anything is imported that is not built in.
const START: &str = "import sys; sys.path[:1] = [] if sys.path[:1] == [''] else sys.path[:1]; \
                     from gristmill.worker.zygote import main; main()";
/// How long a zygote may take to kill its runners and end.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long until it is looked at again whether it has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What a zygote is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The zygote imports the project.
    Booting,
    /// The zygote forks runners.
    Serving,
    /// The zygote's code is out of date; its runners finish what they run.
    Retiring,
    /// The zygote could not import the project and waits for a change.
    Refused,
}

struct Unsent {
    bytes: Vec<u8>,
    descriptor: Option<Arc<OwnedFd>>,
}

pub(crate) struct Zygote {
    pub(crate) generation: u64,
    pub(crate) stage: Stage,
    pub(crate) pid: u32,
    // In the environment of all that comes from it.
    mark: String,
    child: Child,
    stream: UnixStream,
    parser: Parser,
    unsent: VecDeque<Unsent>,
    written: usize,
    /// Others may take what it runs while this machine sleeps.
    leases_count_sleep: bool,
    /// What it was last given to keep open.
    life: Option<Arc<OwnedFd>>,
}

impl Zygote {
    /// Starts one. The calling thread must live as long as this process: while it imports, the zygote dies with
    /// the thread that started it.
    pub(crate) fn start(config: &Config, generation: u64) -> Result<Self, Error> {
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mark = uuid::Uuid::now_v7().simple().to_string();
        let mut command = Command::new(&config.python);
        command.args(&config.python_options).args(["-c", START]);
        // As standard input: the one descriptor that a child gets without ever being inheritable here.
        command.stdin(OwnedFd::from(theirs)).env("GRISTMILL_CONTROL_FD", "0").env(orphans::MARK, &mark);
        command.stdout(Stdio::inherit()).stderr(Stdio::inherit());
        // A group of its own: what a terminal sends to the worker's group is for the worker to interpret.
        command.process_group(0);
        if let Some(own) = std::env::var_os("PYTHONPATH") {
            command.env("GRISTMILL_PYTHONPATH", own);
        }
        if !config.python_path.is_empty() {
            let path = std::env::join_paths(&config.python_path).unwrap_or_else(|_| OsString::new());
            command.env("PYTHONPATH", path);
        }
        if let Some(settings) = &config.settings_module {
            command.env("DJANGO_SETTINGS_MODULE", settings);
        }
        for (name, value) in &config.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let child =
            command.spawn().map_err(|source| Error::Python { python: config.python.display().to_string(), source })?;
        // Where locks show life nobody takes a worker's jobs while it holds its lock, however long all of them sleep.
        let leases_count_sleep = !config.dialect.shows_life_by_locks();
        let mut zygote = Self {
            generation,
            stage: Stage::Booting,
            pid: child.id(),
            mark,
            child,
            stream: UnixStream::from_std(ours)?,
            parser: Parser::default(),
            unsent: VecDeque::new(),
            written: 0,
            leases_count_sleep,
            life: None,
        };
        zygote.say(
            ToZygote::Boot,
            &serde_json::json!({
                "settings_module": config.settings_module,
                "python_path": config.python_path.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>(),
                "backend": config.backend,
                "reload": config.reload,
                "leases_count_sleep": leases_count_sleep,
            }),
        );
        Ok(zygote)
    }

    /// One that serves, and that the other end of this socket plays.
    #[cfg(test)]
    pub(crate) fn played(stream: StdUnixStream) -> Self {
        stream.set_nonblocking(true).expect("a socket of this process");
        // It lives as long as its standard input.
        let child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("cat runs");
        Self {
            generation: 1,
            stage: Stage::Serving,
            pid: child.id(),
            mark: String::new(),
            child,
            stream: UnixStream::from_std(stream).expect("a socket of this process"),
            parser: Parser::default(),
            unsent: VecDeque::new(),
            written: 0,
            leases_count_sleep: true,
            life: None,
        }
    }

    /// Has it fork a runner that gets `socket`.
    pub(crate) fn spawn(&mut self, runner: u64, socket: OwnedFd) {
        self.say(ToZygote::Spawn, &serde_json::json!({"runner": runner}));
        if let Some(last) = self.unsent.back_mut() {
            last.descriptor = Some(Arc::new(socket));
        }
    }

    /// Has it kill a runner with its process group.
    pub(crate) fn kill(&mut self, runner: u64) {
        self.say(ToZygote::Kill, &serde_json::json!({"runner": runner}));
    }

    /// Has it tell a runner that there is a cancel to read.
    pub(crate) fn alert(&mut self, runner: u64) {
        self.say(ToZygote::Alert, &serde_json::json!({"runner": runner}));
    }

    /// Has it kill every runner at an instant, unless a later one comes first, and keep open what shows that any may live.
    pub(crate) fn vouch(&mut self, lease: &Lease) {
        let Lease { until, life, .. } = lease;
        let until = *until;
        let is_new = |life: &&Arc<OwnedFd>| self.life.as_ref().is_none_or(|kept| !Arc::ptr_eq(kept, life));
        if let Some(life) = life.as_ref().filter(is_new) {
            self.life = Some(Arc::clone(life));
            let bytes = pack(ToZygote::Life, &[]).unwrap_or_default();
            self.unsent.push_back(Unsent { bytes, descriptor: Some(Arc::clone(life)) });
        }
        let instant = if self.leases_count_sleep { boot_nanoseconds(until) } else { monotonic_nanoseconds(until) };
        let bytes = pack(ToZygote::Lease, &[&instant.to_le_bytes()]);
        self.unsent.extend(bytes.ok().map(|bytes| Unsent { bytes, descriptor: None }));
    }

    fn say(&mut self, kind: ToZygote, json: &serde_json::Value) {
        match pack(kind, &[json.to_string().as_bytes()]) {
            Ok(bytes) => self.unsent.push_back(Unsent { bytes, descriptor: None }),
            Err(error) => tracing::error!(%error, "a control frame was not sent"),
        }
    }

    /// Writes what there is to write, as far as the socket takes it.
    pub(crate) fn flush(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while let Some(first) = self.unsent.front() {
            if self.stream.poll_write_ready(context)?.is_pending() {
                return Ok(());
            }
            let bytes = &first.bytes[self.written..];
            let sent = self.stream.try_io(Interest::WRITABLE, || match &first.descriptor {
                None => Ok(rustix::net::send(&self.stream, bytes, SendFlags::NOSIGNAL)?),
                Some(descriptor) => send_with(&self.stream, bytes, descriptor),
            });
            match sent {
                Ok(count) => self.advance(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn advance(&mut self, count: usize) {
        if let Some(first) = self.unsent.front_mut() {
            // It has gone with the first byte.
            first.descriptor = None;
            self.written += count;
            if self.written == first.bytes.len() {
                self.written = 0;
                self.unsent.pop_front();
            }
        }
    }

    /// The next thing it said; `None` when it has closed the socket.
    pub(crate) fn read(
        &mut self,
        context: &mut Context<'_>,
        scratch: &mut [u8],
    ) -> Poll<Option<Result<FromZygote, BadFrame>>> {
        loop {
            match self.parser.next_frame() {
                Ok(Some((kind, payload))) => return Poll::Ready(Some(FromZygote::parse(kind, payload))),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            if ready!(self.stream.poll_read_ready(context)).is_err() {
                return Poll::Ready(None);
            }
            match self.stream.try_read(scratch) {
                Ok(count) if count > 0 => self.parser.feed(&scratch[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(_) | Err(_) => return Poll::Ready(None),
            }
        }
    }

    /// Ends it, if it has not ended yet.
    pub(crate) fn kill_now(&mut self) {
        // It fails only where it has been waited for.
        drop(self.child.kill());
    }

    /// Closes its control socket, so that it kills its runners and ends; kills it when that takes too long. Nothing
    /// that came from it is left then: `runners` are the processes that it has forked.
    pub(crate) async fn end(self, runners: &[u32]) -> Option<ExitStatus> {
        let Self { child, stream, pid, mark, .. } = self;
        drop(stream);
        let status = ended(child, pid).await;
        orphans::end(&mark, runners).await;
        status
    }
}

/// Waits for its end without a thread of its own: there may be no room for one.
async fn ended(mut child: Child, pid: u32) -> Option<ExitStatus> {
    let mut kill_at = Some(Instant::now() + PATIENCE);
    loop {
        match child.try_wait() {
            Ok(None) => {}
            ended => return ended.ok().flatten(),
        }
        if kill_at.take_if(|at| *at <= Instant::now()).is_some() {
            tracing::error!(zygote.pid = pid, "the zygote does not end, and is killed");
            // It fails only where it has ended.
            drop(child.kill());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn send_with(stream: &UnixStream, bytes: &[u8], descriptor: &OwnedFd) -> io::Result<usize> {
    let descriptors = [descriptor.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    Ok(sendmsg(stream, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)?)
}

/// In words, for people.
pub(crate) fn status_in_words(status: Option<ExitStatus>) -> String {
    match status {
        Some(status) => match (status.signal(), status.code()) {
            (Some(number), _) => signal_in_words(number),
            (None, Some(code)) => format!("exit status {code}"),
            (None, None) => "an unknown cause".into(),
        },
        None => "an unknown cause".into(),
    }
}
