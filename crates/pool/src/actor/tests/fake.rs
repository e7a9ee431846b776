//! A zygote and its runners that say what the test has them say.

use std::collections::{HashSet, VecDeque};
use std::io::{ErrorKind, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gristmill_core::{Claimed, Counts, JobId, Lane, Moment, Note, Outcome, Progress, StoredOptions, Token, WorkerId};
use gristmill_engine::executor::{Ended, Event};
use rustix::io::retry_on_intr;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use crate::Config;
use crate::actor::Actor;
use crate::clock::monotonic_nanoseconds;
use crate::frame::{Key, Parser, pack};
use crate::messages::{Command, Said};
use crate::zygote::Zygote;

/// Longest that anything here may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// The actor, and the test's ends of its sockets.
pub(super) struct Fake {
    commands: mpsc::UnboundedSender<Command>,
    said: mpsc::UnboundedReceiver<Said>,
    capacity: Arc<AtomicUsize>,
    zygote: UnixStream,
    parser: Parser,
    descriptors: VecDeque<OwnedFd>,
    pub(super) runners: Vec<Runner>,
}

/// One runner's end.
pub(super) struct Runner {
    number: u64,
    socket: UnixStream,
    parser: Parser,
}

impl Fake {
    /// With so many runners, up and idle; tasks whose names begin with `async` are.
    pub(super) fn start(processes: usize, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            python: "python3".into(),
            python_options: Vec::new(),
            python_path: Vec::new(),
            settings_module: None,
            backend: "default".into(),
            processes,
            max_jobs_per_runner: None,
            concurrency: 10,
            max_runner_memory_mb: None,
            unprefetched: HashSet::new(),
            callback_timeout: Duration::from_secs(30),
            dialect: gristmill_store::Dialect::Sqlite,
            reload: false,
            env: Vec::new(),
        };
        change(&mut config);
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_read_timeout(Some(PATIENCE)).unwrap();
        let (commands, orders) = mpsc::unbounded_channel();
        let (say, said) = mpsc::unbounded_channel();
        let capacity = Arc::new(AtomicUsize::new(0));
        let published = Arc::clone(&capacity);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let zygote = Zygote::played(ours);
                let tasks = vec!["async".to_owned(), "async too".to_owned()];
                Actor::new(config, zygote, tasks, None, say, published).run(orders, watch::channel(None).1).await;
            });
        });
        let parser = Parser::default();
        let mut fake = Self {
            commands,
            said,
            capacity,
            zygote: theirs,
            parser,
            descriptors: VecDeque::new(),
            runners: Vec::new(),
        };
        for _ in 0..processes {
            fake.fork();
        }
        fake
    }

    /// Does as the zygote is asked: one more runner comes up. All have the pid of this process.
    pub(super) fn fork(&mut self) -> usize {
        let place = self.fork_unsaid();
        let number = self.runners[place].number;
        self.zygote_says(b'P', &json!({"runner": number, "pid": std::process::id()}));
        place
    }

    /// A runner comes up before its zygote comes to say so.
    pub(super) fn fork_unsaid(&mut self) -> usize {
        let number = self.told(b'S')["runner"].as_u64().unwrap();
        let socket = UnixStream::from(self.descriptors.pop_front().unwrap());
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut runner = Runner { number, socket, parser: Parser::default() };
        runner.say(b'H', &[json!({"pid": std::process::id()}).to_string().as_bytes()]);
        self.runners.push(runner);
        self.event(|event| matches!(event, Event::Room).then_some(()));
        self.runners.len() - 1
    }

    fn zygote_says(&mut self, kind: u8, json: &Value) {
        self.zygote.write_all(&pack(kind, &[json.to_string().as_bytes()]).unwrap()).unwrap();
    }

    /// The next control frame, which has to be of this kind.
    pub(super) fn told(&mut self, kind: u8) -> Value {
        loop {
            if let Some((said, payload)) = self.parser.next_frame().unwrap() {
                assert_eq!(char::from(said), char::from(kind));
                return serde_json::from_slice(payload).unwrap();
            }
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let mut data = [0; 4096];
            let mut slices = [IoSliceMut::new(&mut data)];
            let received =
                retry_on_intr(|| recvmsg(&self.zygote, &mut slices, &mut ancillary, RecvFlags::empty())).unwrap();
            let count = received.bytes;
            assert!(count > 0, "the actor has gone");
            for message in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                    self.descriptors.extend(descriptors);
                }
            }
            self.parser.feed(&data[..count]);
        }
    }

    /// A runner dies, by the zygote's hand when it was asked to.
    pub(super) fn dies(&mut self, runner: usize, killed: bool) {
        let number = self.runners[runner].number;
        self.runners[runner].socket.shutdown(std::net::Shutdown::Both).unwrap();
        let killed = killed.then_some("kill");
        let pid = std::process::id();
        self.zygote_says(b'X', &json!({"runner": number, "pid": pid, "signal": 9, "status": null, "killed": killed}));
    }

    /// The zygote is asked to kill this runner, and does.
    pub(super) fn is_killed(&mut self, runner: usize) {
        let number = self.runners[runner].number;
        assert_eq!(self.told(b'K')["runner"], number);
        self.dies(runner, true);
    }

    /// The zygote is asked to alert this runner.
    pub(super) fn is_alerted(&mut self, runner: usize) {
        let number = self.runners[runner].number;
        assert_eq!(self.told(b'A')["runner"], number);
    }

    pub(super) fn start_job(&self, job: Claimed) -> Key {
        let key = Key::of(&job);
        self.order(Command::Start(vec![job]));
        key
    }

    /// Starts a job with these options.
    pub(super) fn job(&self, task: &str, options: &Value) -> (Key, Claimed) {
        let mut job = claim(task);
        job.stored_options = StoredOptions::of(Some(options.to_string()));
        (self.start_job(job.clone()), job)
    }

    pub(super) fn cancel(&self, job: &Claimed) {
        self.order(Command::Cancel(job.id, job.token));
    }

    pub(super) fn order(&self, command: Command) {
        assert!(self.commands.send(command).is_ok());
    }

    fn event<T>(&mut self, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.said.try_recv() {
                Ok(Said::Event(event)) => {
                    let words = format!("{event:?}");
                    return wanted(event).unwrap_or_else(|| panic!("unexpected: {words}"));
                }
                Ok(Said::Imported(..) | Said::Lingers) => {}
                Err(_) => {
                    assert!(Instant::now() < deadline, "in vain");
                    std::thread::sleep(Duration::from_micros(200));
                }
            }
        }
    }

    /// The next event, which has to be the end of a job.
    pub(super) fn ended(&mut self) -> Ended {
        self.event(|event| if let Event::Ended(ended) = event { Some(ended) } else { None })
    }

    /// The next event, which has to be the end of this job: how it ended.
    pub(super) fn end_of(&mut self, key: Key) -> Outcome {
        let ended = self.ended();
        assert_eq!(Key::of(&ended.claimed), key);
        assert!(!ended.written);
        ended.outcome
    }

    /// The next events, which have to be the ends of these jobs, in whatever order.
    pub(super) fn ends_of<const N: usize>(&mut self, keys: [Key; N]) -> [Outcome; N] {
        let mut ends: Vec<Ended> = keys.iter().map(|_| self.ended()).collect();
        keys.map(|key| {
            let place = ends.iter().position(|ended| Key::of(&ended.claimed) == key).unwrap();
            ends.remove(place).outcome
        })
    }

    /// The next event, which has to be that what went on after an end is over.
    pub(super) fn rested(&mut self) {
        self.event(|event| matches!(event, Event::Rested).then_some(()));
    }

    pub(super) fn noted(&mut self) -> Note {
        self.event(|event| if let Event::Noted(note) = event { Some(note) } else { None })
    }

    pub(super) fn progress(&mut self) -> Progress {
        self.event(|event| if let Event::Progress(progress) = event { Some(progress) } else { None })
    }

    /// The next event: the end of a job, or progress.
    pub(super) fn progress_or_end(&mut self) -> Option<Ended> {
        self.event(|event| match event {
            Event::Ended(ended) => Some(Some(ended)),
            Event::Progress(_) => Some(None),
            _ => None,
        })
    }

    /// Returns when the actor has done all that it would do now; `key` runs in `runner`.
    pub(super) fn has_settled(&mut self, runner: usize, key: Key) {
        for _ in 0..2 {
            // The second is heard in a later turn than the first, and a turn does all there is to do.
            self.runners[runner].say(b'G', &[&key.bytes(), b"{}"]);
            self.progress();
        }
    }

    /// Returns when the actor has done what it was ordered before, where no job runs that could tell.
    pub(super) fn has_settled_somehow(&mut self) {
        // Orders are carried out one after the other; this one is answered.
        let job = claim("sync");
        let (assigned, key) = (job.clone(), Key::of(&job));
        self.order(Command::Start(vec![job]));
        self.cancel(&assigned);
        assert!(matches!(self.end_of(key), Outcome::Cancelled { .. }));
    }

    pub(super) fn until_room_is(&self, room: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.capacity.load(Ordering::Relaxed) != room {
            let now = self.capacity.load(Ordering::Relaxed);
            assert!(Instant::now() < deadline, "there is room for {now} and not for {room}");
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Has the pool learn that a task is short.
    pub(super) fn learns(&mut self, runner: usize, task: &str) {
        for _ in 0..20 {
            let key = self.start_job(claim(task));
            self.runners[runner].takes(key);
            // Both are read together, and a start that is yet to come is now: it takes no time, however slow the machine is.
            let (key_bytes, no_earlier) = (key.bytes(), u64::MAX.to_le_bytes());
            self.runners[runner].say_at_once(&[(b'S', &[&key_bytes, &no_earlier]), (b'D', &[&key_bytes, b"null"])]);
            assert_eq!(self.end_of(key), null());
        }
    }
}

impl Runner {
    pub(super) fn say(&mut self, kind: u8, parts: &[&[u8]]) {
        self.say_at_once(&[(kind, parts)]);
    }

    /// Several frames that are read together.
    pub(super) fn say_at_once(&mut self, frames: &[(u8, &[&[u8]])]) {
        let bytes: Vec<u8> = frames.iter().flat_map(|(kind, parts)| pack(*kind, parts).unwrap()).collect();
        self.socket.write_all(&bytes).unwrap();
    }

    /// The next frame that it is sent.
    pub(super) fn told(&mut self) -> (char, Vec<u8>) {
        loop {
            if let Some((kind, payload)) = self.parser.next_frame().unwrap() {
                return (kind.into(), payload.to_vec());
            }
            let mut data = [0; 4096];
            let count = match self.socket.read(&mut data) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => read.expect("something is sent"),
            };
            assert!(count > 0, "the actor has gone");
            self.parser.feed(&data[..count]);
        }
    }

    /// The next frame that it is sent is of this kind, and about this claim; gives the rest.
    pub(super) fn told_of(&mut self, kind: char, key: Key) -> Vec<u8> {
        let (told, payload) = self.told();
        assert_eq!((told, &payload[..24]), (kind, &key.bytes()[..]));
        payload[24..].to_vec()
    }

    pub(super) fn takes(&mut self, key: Key) {
        self.told_of('R', key);
    }

    pub(super) fn starts(&mut self, key: Key) {
        self.say(b'S', &[&key.bytes(), &monotonic_nanoseconds(Instant::now()).to_le_bytes()]);
    }

    pub(super) fn runs(&mut self, key: Key) {
        self.takes(key);
        self.starts(key);
    }

    pub(super) fn returns(&mut self, key: Key) {
        self.say(b'D', &[&key.bytes(), b"null"]);
    }

    pub(super) fn fails(&mut self, key: Key, reason: &str) {
        let json = json!({"reason": reason, "exception_class_path": "a.B", "traceback": "x", "classes": ["a.B"],
            "advice": null});
        self.say(b'F', &[&key.bytes(), json.to_string().as_bytes()]);
    }

    /// It has been sent nothing that it has not read.
    pub(super) fn was_told_no_more(&mut self) {
        assert_eq!(self.parser.next_frame().unwrap(), None);
        self.socket.set_nonblocking(true).unwrap();
        let read = self.socket.read(&mut [0; 64]);
        self.socket.set_nonblocking(false).unwrap();
        assert!(read.is_err(), "something was sent");
    }
}

pub(super) fn null() -> Outcome {
    Outcome::Successful { return_value: "null".into() }
}

pub(super) fn cancelled(how: &str) -> Outcome {
    Outcome::Cancelled { how: how.into() }
}

pub(super) fn claim(task: &str) -> Claimed {
    let now = Moment("2026-01-01 10:00:00.000000".into());
    Claimed {
        id: JobId::new(),
        token: Token(1),
        lane: Lane { backend: "default".into(), queue_name: "default".into(), task_name: task.into() },
        priority: 0,
        deadline: now.clone(),
        run_after: None,
        enqueued_at: now.clone(),
        claimed_at: now,
        started_at: None,
        generation: 1,
        counts: Counts::default(),
        misfits: gristmill_core::Misfits::default(),
        args: "[]".into(),
        kwargs: "{}".into(),
        stored_options: StoredOptions::default(),
        worker_id: WorkerId::new(),
    }
}
