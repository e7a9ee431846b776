//! One worker: its loops, how they start, and how they end.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use gristmill_core::WorkerId;
use gristmill_store::{Asked, NewWorker, Store};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinError, JoinHandle};
use tracing::{error, info};

use crate::dispatcher::{Dispatcher, Leftover, Parts};
use crate::events::Events;
use crate::heartbeat::{Heartbeat, SignOff};
use crate::link::{DEADLINE, Link};
use crate::maintenance::Maintenance;
use crate::pulse::Counter;
use crate::schedules::Schedules;
use crate::ticker::Ticker;
use crate::watchdog::{self, Liveness};
use crate::{Executor, Figures, Options, Sessions, Shutdown, Stage, Standing, notifier};

/// How long an executor may take to end its processes.
const CLOSING: Duration = Duration::from_secs(10);
/// After a crash: the time that runners take to end once their executor is gone.
const RUNNERS_END: Duration = Duration::from_secs(1);
/// The exit status of a worker that cannot work like this, and would not if it were started again.
pub const REFUSED: u8 = 78;
/// How long the last words to the database may take.
const SIGNING_OFF: Duration = Duration::from_secs(5);

/// How a worker ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Nothing that ran was cut short.
    Drained,
    /// The worker was to go on until all is done, and so many ready jobs are left that it cannot run.
    Unserved(u64),
    /// So many running jobs were cut short; they run again elsewhere.
    HandedBack(u64),
    /// The executor could not go on: why, in one sentence.
    Crashed(String),
}

impl Ending {
    /// The process's exit status.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Drained => 0,
            Self::Unserved(_) => 3,
            Self::HandedBack(_) => 77,
            Self::Crashed(_) => 99,
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drained => f.write_str("drained"),
            Self::Unserved(jobs) => write!(f, "left {jobs} ready jobs that it cannot run"),
            Self::HandedBack(jobs) => write!(f, "handed {jobs} running jobs back"),
            Self::Crashed(why) => write!(f, "crashed: {why}"),
        }
    }
}

/// Why a worker cannot work at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database has no usable tables, or the settings cannot work.
    #[error(transparent)]
    Store(#[from] gristmill_store::Error),
}

/// Claims jobs, has its executor run them and writes down how they ended.
pub struct Worker<E, S = Store> {
    sessions: S,
    executor: E,
    options: Options,
    events: Arc<Events>,
    standing: watch::Sender<Standing>,
    deadline: Duration,
}

impl<E: Executor + 'static, S: Sessions> Worker<E, S> {
    /// A worker that does nothing yet. The executor is ready to run jobs.
    pub fn new(sessions: S, executor: E, options: Options) -> Self {
        let standing = watch::Sender::new(Standing::none(WorkerId::new()));
        Self { sessions, executor, options, events: Arc::new(Events::new()), standing, deadline: DEADLINE }
    }

    /// The same with a shorter limit on each call to the database than the usual 10 s.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// What it has done so far, for a progress bar.
    pub fn progress(&self) -> watch::Receiver<Figures> {
        self.events.progress()
    }

    /// Who it is and until when it may run anything: what processes that fence themselves have to be told.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Works until `shutdown` says stop, or what the options ask for is done. Runs on a current-thread runtime
    /// as well as on any other. An error means that trying again cannot help.
    pub async fn run(self, shutdown: Shutdown) -> Result<Ending, Error> {
        let Self { sessions, mut executor, options, events, standing, deadline } = self;
        let (hint, counter) = (Arc::new(Notify::new()), Arc::new(Counter::new()));
        let mut loops = vec![Liveness::new("dispatcher"), Liveness::new("maintenance"), Liveness::new("heartbeat")];
        let schedules =
            options.schedules.then(|| Arc::new(Schedules::new(&options, executor.announcement(), shutdown.clone())));
        let (say_goodbye, sign_off) = watch::channel(None);
        let (knowledge, known) = watch::channel(executor.tasks().to_vec());

        let heartbeat = Heartbeat {
            sessions: sessions.clone(),
            worker: describe(&options, executor.tasks()),
            life: None,
            link: Link::new(sessions.clone(), "heartbeat").with_deadline(options.lease.heartbeat.min(deadline)),
            standing: standing.clone(),
            sign_off,
            shutdown: shutdown.clone(),
            asked: Asked::default(),
            known,
            liveness: loops[2].clone(),
            counter: Arc::clone(&counter),
        };
        let maintenance = Maintenance::new(
            Link::new(sessions.clone(), "maintenance").with_deadline(deadline),
            options.clone(),
            standing.subscribe(),
            Arc::clone(&hint),
            loops[1].clone(),
            schedules.clone(),
            Arc::clone(&counter),
        );
        let ticker = schedules.as_ref().map(|schedules| {
            let liveness = Liveness::new("ticker");
            loops.push(liveness.clone());
            Ticker {
                link: Link::new(sessions.clone(), "ticker").with_deadline(deadline),
                schedules: Arc::clone(schedules),
                shutdown: shutdown.clone(),
                hint: Arc::clone(&hint),
                liveness,
            }
        });
        let dispatcher = Dispatcher::new(Parts {
            executor,
            options,
            link: Link::new(sessions.clone(), "dispatcher").with_deadline(deadline),
            standing: standing.subscribe(),
            shutdown: shutdown.clone(),
            hints: Arc::clone(&hint),
            events,
            liveness: loops[0].clone(),
            counter,
            schedules,
            knowledge,
            has_rescued: Some(maintenance.has_rescued()),
        });

        let mut heartbeat = Loop::spawn(heartbeat.run());
        let mut dispatcher = Loop::spawn(dispatcher.run());
        let mut maintenance = Loop::spawn(maintenance.run());
        let mut ticker = Loop::spawn(async move {
            match ticker {
                Some(ticker) => ticker.run().await,
                None => std::future::pending().await,
            }
        });
        let mut notifier = Loop::spawn(notifier::run(sessions, hint));

        let mut closed = false;
        let ending = tokio::select! {
            biased;
            done = &mut dispatcher => match done {
                Ok(Ok((executor, leftover))) => {
                    drop((maintenance, ticker, notifier));
                    closed = close(executor, &shutdown).await;
                    Ok(judge(leftover))
                }
                Ok(Err(error)) => fatal(error),
                Err(panic) => Ok(stopped("dispatcher", &panic)),
            },
            done = &mut heartbeat => out_of_turn("heartbeat", done),
            done = &mut maintenance => out_of_turn("maintenance", done),
            done = &mut ticker => out_of_turn("ticker", done),
            done = &mut notifier => out_of_turn("notifier", done.map(Ok)),
            name = watchdog::bark(&loops, watchdog::PATIENCE) => Ok(Ending::Crashed(format!("the {name} loop hangs"))),
        };

        let (exit_status, last_error) = as_kept(&ending);
        drop(dispatcher);
        if crashed(&ending) && !closed {
            tokio::time::sleep(RUNNERS_END).await;
            closed = true;
        }
        // A closed row says that nothing of this worker runs any more: its open attempts are taken over at once.
        // Where that is not certain the row is left to its lease.
        if closed && !heartbeat.is_over() {
            say_goodbye.send_replace(Some(SignOff { exit_status: i32::from(exit_status), last_error }));
            let _ = tokio::time::timeout(SIGNING_OFF, heartbeat).await;
        }
        match &ending {
            Ok(Ending::Crashed(why)) => error!(target: "gristmill::worker", why, "crashed"),
            Ok(ending) => info!(target: "gristmill::worker", exit_status, "{ending}"),
            Err(_) => {}
        }
        ending
    }
}

fn describe(options: &Options, tasks: &[String]) -> NewWorker {
    let queues = serde_json::json!({ "include": options.queues, "exclude": options.exclude_queues });
    NewWorker {
        id: WorkerId::new(),
        label: options.label.clone(),
        host: host(),
        pid: std::process::id(),
        backend: options.backend.clone(),
        queues_json: queues.to_string(),
        tasks_json: serde_json::json!(tasks).to_string(),
        processes: options.processes,
        lease: options.lease,
        before: None,
    }
}

// For people only, so any answer will do.
fn host() -> String {
    std::fs::read("/proc/sys/kernel/hostname")
        .map(|name| String::from_utf8_lossy(&name).trim().to_owned())
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .unwrap_or_else(|| "localhost".into())
}

// Whether everything that it ran has ended.
async fn close<E: Executor>(mut executor: E, shutdown: &Shutdown) -> bool {
    if shutdown.stage() >= Stage::Exiting {
        return false;
    }
    let closed = tokio::time::timeout(CLOSING, executor.close()).await.is_ok();
    if !closed {
        error!(target: "gristmill::worker", "the executor did not close in time");
    }
    closed
}

fn crashed(ending: &Result<Ending, Error>) -> bool {
    matches!(ending, Err(_) | Ok(Ending::Crashed(_)))
}

// How it ended, for its row: its exit status, and its last error.
fn as_kept(ending: &Result<Ending, Error>) -> (u8, Option<String>) {
    match ending {
        Ok(ending @ Ending::Crashed(why)) => (ending.exit_status(), Some(why.clone())),
        Ok(ending) => (ending.exit_status(), None),
        Err(error) => (REFUSED, Some(error.to_string())),
    }
}

fn judge(leftover: Leftover) -> Ending {
    match leftover {
        Leftover { broken: Some(why), .. } => Ending::Crashed(why),
        Leftover { handed_back: 0, abandoned: 0, unserved: 0, .. } => Ending::Drained,
        Leftover { handed_back: 0, abandoned: 0, unserved, .. } => Ending::Unserved(unserved),
        Leftover { handed_back, abandoned, .. } => Ending::HandedBack(handed_back + abandoned),
    }
}

fn out_of_turn(name: &str, done: Result<gristmill_store::Result<()>, JoinError>) -> Result<Ending, Error> {
    match done {
        Ok(Ok(())) => Ok(Ending::Crashed(format!("the {name} loop ended"))),
        Ok(Err(error)) => fatal(error),
        Err(panic) => Ok(stopped(name, &panic)),
    }
}

// Whose file was replaced need only be started again; whoever cannot work like this, not.
fn fatal(error: gristmill_store::Error) -> Result<Ending, Error> {
    match error {
        gristmill_store::Error::Moved(why) => Ok(Ending::Crashed(why)),
        other => Err(other.into()),
    }
}

fn stopped(name: &str, panic: &JoinError) -> Ending {
    Ending::Crashed(format!("the {name} loop stopped: {panic}"))
}

/// A spawned loop that does not outlive its handle.
struct Loop<T> {
    handle: JoinHandle<T>,
    over: bool,
}

impl<T: Send + 'static> Loop<T> {
    fn spawn(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self { handle: tokio::spawn(future), over: false }
    }

    fn is_over(&self) -> bool {
        self.over
    }
}

impl<T> Future for Loop<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = Pin::new(&mut self.handle).poll(context);
        self.over |= answer.is_ready();
        answer
    }
}

impl<T> Drop for Loop<T> {
    fn drop(&mut self) {
        self.handle.abort();
    }
}
