//! The engine's handle to a pool of Python processes.
//!
//! What it stands for is a task of its own on the runtime (`actor`), so that runners stay fed while the engine waits
//! for the database; the two talk through channels.

use std::collections::HashSet;
use std::ffi::OsString;
use std::future::poll_fn;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Instant;

use gristmill_core::schedule::Announcement;
use gristmill_core::{Claimed, JobId, Token, WorkerId};
use gristmill_engine::Executor;
use gristmill_engine::executor::Event;
use tokio::sync::{mpsc, oneshot, watch};

use crate::Error;
use crate::actor::{Actor, SCRATCH};
use crate::frame::{FromZygote, Hello};
use crate::zygote::{Stage, Zygote, status_in_words};

/// How to start Python, and how much of it.
#[derive(Clone, Debug)]
pub struct Config {
    /// The interpreter.
    pub python: PathBuf,
    /// `sys.path` of the process that asked for a worker; empty leaves the interpreter's own.
    pub python_path: Vec<PathBuf>,
    /// `DJANGO_SETTINGS_MODULE`; `None` leaves the environment's.
    pub settings_module: Option<String>,
    /// `TASKS` alias.
    pub backend: String,
    /// Runners.
    pub processes: usize,
    /// A runner is replaced after so many jobs.
    pub max_jobs_per_runner: Option<u64>,
    /// Async jobs that one runner runs at once.
    pub concurrency: usize,
    /// A runner that uses more memory than this after a job is replaced; MiB.
    pub max_runner_memory_mb: Option<u64>,
    /// Queues whose jobs are never sent to a runner to wait there behind another one.
    pub unprefetched: HashSet<String>,
    /// What the SQL that ends transactional jobs is written in.
    pub dialect: gristmill_store::Dialect,
    /// Start afresh when a source file changes.
    pub reload: bool,
    /// Added to the environment of the Python processes.
    pub env: Vec<(OsString, OsString)>,
}

/// Who vouches for what the runners do, and until when: they are killed at that instant unless a later one is told
/// in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Under which id this worker claims.
    pub worker_id: WorkerId,
    /// When nothing of it may run any more.
    pub until: Instant,
}

/// The engine's handle to a pool of Python processes.
pub struct Pool {
    tasks: Vec<String>,
    announcement: Option<Announcement>,
    runs_async: bool,
    held: usize,
    capacity: Arc<AtomicUsize>,
    commands: mpsc::UnboundedSender<Command>,
    said: mpsc::UnboundedReceiver<Said>,
}

pub(crate) enum Command {
    Start(Vec<Claimed>),
    Cancel(JobId, Token),
    Recall,
    Interrupt,
    Close(oneshot::Sender<()>),
}

#[expect(clippy::large_enum_variant, reason = "nearly all of them are the large one")]
pub(crate) enum Said {
    Event(Event),
    /// The project was imported anew: its tasks, and what it announces.
    Imported(Vec<String>, Option<Announcement>),
}

impl Pool {
    /// Starts the zygote and waits until it has imported the project; runners come up after that.
    ///
    /// To be called on a thread that lives as long as this process, on a tokio runtime. `lease` may hold `None`
    /// before the worker is registered; its extensions are passed on while this process's runtime runs.
    pub async fn start(config: Config, lease: watch::Receiver<Option<Lease>>) -> Result<Self, Error> {
        let (commands, orders) = mpsc::unbounded_channel();
        let (say, said) = mpsc::unbounded_channel();
        let capacity = Arc::new(AtomicUsize::new(0));
        let mut zygote = Zygote::start(&config, 1)?;
        let mut scratch = vec![0; SCRATCH].into_boxed_slice();
        let hello = poll_fn(|context| {
            if zygote.flush(context).is_err() {
                return Poll::Ready(None);
            }
            zygote.read(context, &mut scratch)
        })
        .await;
        let mut hello = match hello {
            Some(Ok(FromZygote::Hello(hello))) => hello,
            Some(Ok(FromZygote::Error(refusal))) => {
                zygote.end().await;
                return Err(Error::Import { message: refusal.message, traceback: refusal.traceback });
            }
            _ => {
                let how = status_in_words(zygote.end().await);
                return Err(Error::Ended { how });
            }
        };
        zygote.stage = Stage::Serving;
        tracing::debug!(pid = zygote.pid, tasks = hello.tasks.len(), "the project is imported");
        let announcement = hello.take_announcement();
        let Hello { tasks, async_tasks, .. } = hello;
        let runs_async = !async_tasks.is_empty();
        let actor = Actor::new(config, zygote, async_tasks, *lease.borrow(), say, Arc::clone(&capacity));
        tokio::spawn(actor.run(orders, lease));
        Ok(Self { tasks, announcement, runs_async, held: 0, capacity, commands, said })
    }

    /// Some of its tasks run many at a time in one runner, as of when it started.
    pub fn runs_async(&self) -> bool {
        self.runs_async
    }

    // The actor goes only when asked to close, and then there is nothing left to order.
    fn order(&self, command: Command) {
        drop(self.commands.send(command));
    }

    fn take_over(&mut self, said: Said, into: &mut Vec<Event>) {
        match said {
            Said::Imported(tasks, announcement) => {
                self.tasks = tasks;
                into.extend(announcement.map(Event::Announced));
            }
            Said::Event(event) => {
                if matches!(event, Event::Ended(_)) {
                    self.held -= 1;
                }
                into.push(event);
            }
        }
    }
}

impl Executor for Pool {
    fn tasks(&self) -> &[String] {
        &self.tasks
    }

    fn announcement(&mut self) -> Option<Announcement> {
        self.announcement.take()
    }

    fn room(&self) -> usize {
        self.capacity.load(Ordering::Relaxed).saturating_sub(self.held)
    }

    fn start(&mut self, jobs: Vec<Claimed>) {
        self.held += jobs.len();
        self.order(Command::Start(jobs));
    }

    async fn events(&mut self, into: &mut Vec<Event>) {
        let before = into.len();
        while into.len() == before {
            match self.said.recv().await {
                Some(said) => self.take_over(said, into),
                // Closed: nothing will happen any more.
                None => std::future::pending().await,
            }
        }
        while let Ok(said) = self.said.try_recv() {
            self.take_over(said, into);
        }
    }

    fn cancel(&mut self, job: JobId, token: Token) {
        self.order(Command::Cancel(job, token));
    }

    fn recall(&mut self) {
        self.order(Command::Recall);
    }

    fn interrupt(&mut self) {
        self.order(Command::Interrupt);
    }

    async fn close(&mut self) {
        let (done, wait) = oneshot::channel();
        self.order(Command::Close(done));
        // It errs when the actor has gone already.
        drop(wait.await);
    }
}
