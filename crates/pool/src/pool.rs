//! Who is busy, who gets the next job, and what becomes of jobs when a process dies.
//!
//! A task of its own on the runtime, so that runners stay fed while the engine waits for the database; the handle
//! that the engine holds talks to it through channels.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::future::{Future, poll_fn};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use gristmill_core::{Claimed, Outcome, Reason, WorkerId};
use gristmill_engine::Executor;
use gristmill_engine::executor::{Ended, Event};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Sleep;

use crate::Error;
use crate::frame::{self, BadFrame, Exited, FromZygote, KilledFor};
use crate::pace::{AHEAD, PIPE, Pace};
use crate::runner::{Held, Killed, News, Runner, To};
use crate::zygote::{Stage, Zygote, status_in_words};

/// A job in a pipe waits no longer than this behind one that turned out long.
const STUCK: Duration = Duration::from_millis(50);
/// A job that no runner was free for in this time goes back to the database, where another worker may be idle.
const TOO_LONG_IN_HAND: Duration = Duration::from_secs(1);
/// How long the wait status of a runner may follow the end of its socket; then it has closed the socket and lives on.
const STATUS_FOLLOWS: Duration = Duration::from_millis(200);
/// A zygote that does not carry out a kill in this time is broken, and killed with everything it forked.
const KILL_FOLLOWS: Duration = Duration::from_secs(10);
/// How long runners may take to quit by themselves when the pool closes.
const QUIT_FOLLOWS: Duration = Duration::from_secs(1);
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
const LONGEST_BACKOFF: Duration = Duration::from_mins(1);
/// Failures to start in a row after which a person is needed.
const FAILURES: u32 = 5;
/// Runners of a dead zygote die with it; one whose socket stays open longer than this has lent it to someone.
const ORPHAN_DIES: Duration = Duration::from_secs(1);
/// Reads from one runner before the others have their turn.
const READS_A_TURN: usize = 16;
const SCRATCH: usize = 256 * 1024;

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
    held: usize,
    capacity: Arc<AtomicUsize>,
    commands: mpsc::UnboundedSender<Command>,
    said: mpsc::UnboundedReceiver<Said>,
}

enum Command {
    Start(Vec<Claimed>),
    Recall,
    Interrupt,
    Close(oneshot::Sender<()>),
}

#[expect(clippy::large_enum_variant, reason = "nearly all of them are the large one")]
enum Said {
    Event(Event),
    Tasks(Vec<String>),
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
        let tasks = match hello {
            Some(Ok(FromZygote::Hello(hello))) => hello.tasks,
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
        tracing::debug!(pid = zygote.pid, tasks = tasks.len(), "the project is imported");
        let actor = Actor {
            config,
            say,
            capacity: Arc::clone(&capacity),
            lease: *lease.borrow(),
            zygotes: vec![zygote],
            runners: Vec::new(),
            queue: VecDeque::new(),
            pace: Pace::default(),
            numbers: 0,
            generations: 1,
            runner_failures: Backoff::default(),
            zygote_failures: Backoff::default(),
            closing: None,
            refusal: None,
            scratch,
            alarm: Box::pin(tokio::time::sleep(Duration::ZERO)),
        };
        tokio::spawn(actor.run(orders, lease));
        Ok(Self { tasks, held: 0, capacity, commands, said })
    }

    // The actor goes only when asked to close, and then there is nothing left to order.
    fn order(&self, command: Command) {
        drop(self.commands.send(command));
    }

    fn take_over(&mut self, said: Said, into: &mut Vec<Event>) {
        match said {
            Said::Tasks(tasks) => self.tasks = tasks,
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

/// Failures in a row, and how long to wait before the next try.
#[derive(Default)]
struct Backoff {
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    /// Counts a failure; those of one try, seen together, count once. True when it is time to call a person.
    fn fail(&mut self) -> bool {
        if self.waits() {
            return false;
        }
        let wait = FIRST_BACKOFF * 2_u32.saturating_pow(self.failures.min(16));
        self.until = Some(Instant::now() + wait.min(LONGEST_BACKOFF));
        self.failures += 1;
        self.failures == FAILURES
    }

    fn waits(&self) -> bool {
        self.until.is_some_and(|until| until > Instant::now())
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

struct Closing {
    done: oneshot::Sender<()>,
    kill_at: Option<Instant>,
}

struct Actor {
    config: Config,
    say: mpsc::UnboundedSender<Said>,
    capacity: Arc<AtomicUsize>,
    lease: Option<Lease>,
    // The newest is last; the others retire.
    zygotes: Vec<Zygote>,
    runners: Vec<Runner>,
    queue: VecDeque<Held>,
    pace: Pace,
    numbers: u64,
    generations: u64,
    runner_failures: Backoff,
    zygote_failures: Backoff,
    closing: Option<Closing>,
    // What the newest zygote said before it ended.
    refusal: Option<String>,
    scratch: Box<[u8]>,
    alarm: Pin<Box<Sleep>>,
}

impl Actor {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Command>, mut lease: watch::Receiver<Option<Lease>>) {
        if let Some(lease) = self.lease {
            self.vouch(lease);
        }
        let mut lease_is_kept = true;
        loop {
            tokio::select! {
                changed = lease.changed(), if lease_is_kept => match changed {
                    Ok(()) => {
                        let lease = *lease.borrow_and_update();
                        if let Some(lease) = lease {
                            self.vouch(lease);
                        }
                    }
                    // Nobody extends it any more; the zygote acts when it runs out.
                    Err(_) => lease_is_kept = false,
                },
                order = orders.recv() => match order {
                    Some(Command::Start(jobs)) => self.take_on(jobs),
                    Some(Command::Recall) => self.recall(),
                    Some(Command::Interrupt) => self.interrupt(),
                    Some(Command::Close(done)) => self.begin_to_close(done),
                    // The handle was dropped: as this falls, control sockets close and everything is killed.
                    None => break,
                },
                () = poll_fn(|context| self.poll(context)) => break,
            }
        }
        self.capacity.store(0, Ordering::Relaxed);
        for zygote in std::mem::take(&mut self.zygotes) {
            zygote.end().await;
        }
        if let Some(closing) = self.closing.take() {
            // The handle may not wait for it any more.
            let _ = closing.done.send(());
        }
    }

    /// Does whatever can be done now; ready when the pool has closed.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            self.poll_zygotes(context);
            self.poll_runners(context);
            self.look_after_runners();
            self.staff();
            self.dispatch();
            if self.flush(context) {
                continue;
            }
            if self.closing.is_some() && self.runners.is_empty() {
                return Poll::Ready(());
            }
            self.publish_capacity();
            let Some(next) = self.next_alarm() else { return Poll::Pending };
            self.alarm.as_mut().reset(next.into());
            if self.alarm.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }

    // -- what was ordered ---------------------------------------------------------------------------------------

    fn vouch(&mut self, lease: Lease) {
        self.lease = Some(lease);
        for zygote in &mut self.zygotes {
            if matches!(zygote.stage, Stage::Serving | Stage::Retiring) {
                zygote.vouch(lease.until);
            }
        }
    }

    fn take_on(&mut self, jobs: Vec<Claimed>) {
        let jobs = jobs.into_iter().map(Held::new);
        if self.closing.is_none() {
            self.queue.extend(jobs);
        } else {
            jobs.for_each(|held| self.hand_back(held));
        }
    }

    fn recall(&mut self) {
        for runner in &mut self.runners {
            self.queue.extend(runner.recall(To::Database));
        }
        // What the runners have is settled in `flush`.
        for held in std::mem::take(&mut self.queue) {
            self.hand_back(held);
        }
    }

    fn interrupt(&mut self) {
        self.recall();
        for index in 0..self.runners.len() {
            let runner = &mut self.runners[index];
            if runner.running_since().is_some() {
                self.kill(index, Killed::Interrupted);
            } else {
                runner.interrupting = runner.is_settling();
            }
        }
    }

    fn begin_to_close(&mut self, done: oneshot::Sender<()>) {
        self.recall();
        self.closing = Some(Closing { done, kill_at: Some(Instant::now() + QUIT_FOLLOWS) });
        for runner in &mut self.runners {
            runner.quit();
        }
    }

    // -- what the zygotes say -----------------------------------------------------------------------------------

    fn poll_zygotes(&mut self, context: &mut Context<'_>) {
        let mut index = 0;
        while index < self.zygotes.len() {
            match self.zygotes[index].read(context, &mut self.scratch) {
                Poll::Pending => index += 1,
                Poll::Ready(Some(Ok(said))) => self.hear_zygote(index, said),
                Poll::Ready(Some(Err(error))) => {
                    tracing::error!(%error, "the zygote sent a bad frame and is killed");
                    self.zygotes[index].kill_now();
                    self.lose_zygote(index);
                }
                Poll::Ready(None) => self.lose_zygote(index),
            }
        }
    }

    fn hear_zygote(&mut self, index: usize, said: FromZygote) {
        match said {
            FromZygote::Hello(hello) => {
                let zygote = &mut self.zygotes[index];
                zygote.stage = Stage::Serving;
                if let Some(lease) = self.lease {
                    zygote.vouch(lease.until);
                }
                tracing::info!(zygote.pid = zygote.pid, tasks = hello.tasks.len(), "the project is imported anew");
                self.tell(Said::Tasks(hello.tasks));
            }
            FromZygote::Error(refusal) => {
                tracing::error!(traceback = refusal.traceback, "{}", refusal.message);
                if self.config.reload {
                    self.zygotes[index].stage = Stage::Refused;
                }
                self.refusal = Some(refusal.message);
            }
            FromZygote::Spawned(spawned) => {
                if let Some(runner) = self.runners.iter_mut().find(|runner| runner.number == spawned.runner) {
                    runner.pid = Some(spawned.pid);
                }
            }
            FromZygote::Exited(exited) => {
                if let Some(place) = self.runners.iter().position(|runner| runner.number == exited.runner) {
                    self.bury(place, Some(&exited));
                }
            }
            FromZygote::Modified(path) => self.reload(index, &path),
        }
    }

    /// Retires a zygote whose code is out of date; `staff` starts the next one.
    fn reload(&mut self, index: usize, path: &str) {
        if self.zygotes[index].stage == Stage::Retiring {
            return;
        }
        tracing::info!("{path} has changed; starting afresh");
        self.zygotes[index].stage = Stage::Retiring;
        self.zygote_failures.reset();
        let generation = self.zygotes[index].generation;
        for runner in self.runners.iter_mut().filter(|runner| runner.generation == generation) {
            self.queue.extend(runner.recall(To::Queue));
            runner.quit();
        }
    }

    fn lose_zygote(&mut self, index: usize) {
        let zygote = self.zygotes.remove(index);
        let expected = matches!(zygote.stage, Stage::Retiring | Stage::Refused) || self.closing.is_some();
        if !expected {
            let why = self.refusal.take().unwrap_or_else(|| "the zygote died".into());
            tracing::error!(zygote.pid = zygote.pid, "{why}");
            if self.zygote_failures.fail() {
                self.tell(Said::Event(Event::Broken(why)));
            }
        }
        let now = Instant::now();
        for runner in self.runners.iter_mut().filter(|runner| runner.generation == zygote.generation) {
            runner.orphaned = Some(now);
        }
        tokio::spawn(zygote.end());
    }

    // -- what the runners say -----------------------------------------------------------------------------------

    fn poll_runners(&mut self, context: &mut Context<'_>) {
        let mut news = Vec::new();
        for index in 0..self.runners.len() {
            for turn in 0.. {
                match self.runners[index].read(context, &mut self.scratch, &mut news) {
                    Poll::Pending => break,
                    Poll::Ready(read) => self.hear_runner(index, &mut news, read),
                }
                if turn == READS_A_TURN {
                    context.waker().wake_by_ref();
                    break;
                }
            }
        }
    }

    fn hear_runner(&mut self, index: usize, news: &mut Vec<News>, read: Result<(), BadFrame>) {
        let runner = &self.runners[index];
        let (pid, running_since) = (runner.pid, runner.running_since());
        self.take_news(pid, running_since, news);
        if let Err(error) = read {
            tracing::error!(runner.pid = pid, %error, "a runner broke the protocol and is killed");
            self.kill(index, Killed::Broken(format!("it broke the worker's protocol with {error}")));
        }
    }

    fn take_news(&mut self, pid: Option<u32>, running_since: Option<Instant>, news: &mut Vec<News>) {
        let mut ends = Vec::with_capacity(news.len());
        for each in news.drain(..) {
            match each {
                News::Up => {
                    self.runner_failures.reset();
                    self.zygote_failures.reset();
                    self.tell(Said::Event(Event::Room));
                }
                News::Back(held, to, why) => {
                    if !why.is_empty() {
                        tracing::warn!(job.id = %held.claimed.id, "given back: {why}");
                    }
                    self.give(vec![(to, held)]);
                }
                News::Ended(ended) => ends.push(ended),
            }
        }
        // One job ends where the next begins, however late both are read.
        let mut until = running_since.unwrap_or_else(Instant::now);
        for ended in ends.iter().rev() {
            if let Some(started) = ended.started {
                self.pace.learn(&ended.held.claimed.lane.task_name, until.saturating_duration_since(started));
                until = started;
            }
        }
        for ended in ends {
            self.end(ended.held, ended.started, pid, ended.outcome);
        }
    }

    // -- time and death -----------------------------------------------------------------------------------------

    fn look_after_runners(&mut self) {
        let now = Instant::now();
        let mut index = 0;
        while index < self.runners.len() {
            let runner = &mut self.runners[index];
            if runner.orphaned.is_some_and(|since| runner.closed.is_some() || since + ORPHAN_DIES <= now) {
                self.bury(index, None);
                continue;
            }
            if runner.has_waiting() && runner.running_since().is_some_and(|since| since + STUCK <= now) {
                for held in runner.recall(To::Queue).into_iter().rev() {
                    self.queue.push_front(held);
                }
            }
            let worn = self.config.max_jobs_per_runner.is_some_and(|most| runner.sent >= most);
            if worn && runner.is_empty() {
                runner.quit();
            }
            if runner.kill_asked.is_none() && runner.closed.is_some_and(|since| since + STATUS_FOLLOWS <= now) {
                self.kill(index, Killed::Broken("it closed its connection to the worker".into()));
            }
            let runner = &mut self.runners[index];
            if runner.kill_asked.is_some_and(|since| since + KILL_FOLLOWS <= now) {
                runner.kill_asked = None;
                let generation = runner.generation;
                if let Some(zygote) = self.zygotes.iter_mut().find(|zygote| zygote.generation == generation) {
                    tracing::error!(zygote.pid = zygote.pid, "the zygote does not kill when asked, and is killed");
                    zygote.kill_now();
                }
            }
            index += 1;
        }
        if self.closing.as_mut().and_then(|closing| closing.kill_at.take_if(|at| *at <= now)).is_some() {
            for index in 0..self.runners.len() {
                self.kill(index, Killed::Interrupted);
            }
        }
        let too_long = self.queue.iter().take_while(|held| held.taken + TOO_LONG_IN_HAND <= now).count();
        if too_long > 0 && !self.runners.iter().any(|runner| self.takes(runner) && runner.is_empty()) {
            for held in self.queue.drain(..too_long).collect::<Vec<_>>() {
                self.hand_back(held);
            }
        }
        let runners = &self.runners;
        let serves = |zygote: &mut Zygote| {
            zygote.stage == Stage::Retiring && !runners.iter().any(|runner| runner.generation == zygote.generation)
        };
        for zygote in self.zygotes.extract_if(.., serves) {
            tokio::spawn(zygote.end());
        }
    }

    fn kill(&mut self, index: usize, why: Killed) {
        let runner = &mut self.runners[index];
        if runner.killed.is_some() {
            return;
        }
        runner.killed = Some(why);
        runner.kill_asked = Some(Instant::now());
        if let Some(zygote) = self.zygotes.iter_mut().find(|zygote| zygote.generation == runner.generation) {
            zygote.kill(runner.number);
        }
    }

    /// Ends what a dead runner had; `None` when it died with its zygote.
    fn bury(&mut self, index: usize, exited: Option<&Exited>) {
        let mut runner = self.runners.swap_remove(index);
        let mut news = Vec::new();
        // Its last words count, up to the first that makes no sense.
        let _ = runner.drain(&mut self.scratch, &mut news);
        self.take_news(runner.pid, runner.running_since(), &mut news);

        let lapsed = exited.is_some_and(|exited| exited.killed == Some(KilledFor::Lease));
        let how = match (&runner.killed, exited) {
            (Some(Killed::Broken(how)), _) => how.clone(),
            (_, Some(exited)) => exited.how(),
            (_, None) => "the zygote died".into(),
        };
        if !runner.up && !lapsed && !runner.quitting && runner.killed != Some(Killed::Interrupted) {
            tracing::error!(runner.pid = runner.pid, "a runner died before it could work: {how}");
            if self.runner_failures.fail() {
                self.tell(Said::Event(Event::Broken(format!("runners die before they can work: {how}"))));
            }
        }
        let left = runner.take_all();
        if let Some((held, started)) = left.ran {
            let outcome = if lapsed || runner.killed == Some(Killed::Interrupted) {
                Outcome::Interrupted
            } else {
                tracing::warn!(job.id = %held.claimed.id, runner.pid = runner.pid, "its runner died: {how}");
                Outcome::Crashed { how }
            };
            self.end(held, Some(started), runner.pid, outcome);
        }
        self.give(left.waiting);
    }

    fn give(&mut self, back: Vec<(To, Held)>) {
        for (to, held) in back.into_iter().rev() {
            match to {
                To::Queue if self.closing.is_none() => self.queue.push_front(held),
                To::Queue | To::Database => self.hand_back(held),
            }
        }
    }

    fn hand_back(&self, held: Held) {
        self.end(held, None, None, Outcome::HandedBack);
    }

    fn end(&self, held: Held, started: Option<Instant>, runner_pid: Option<u32>, outcome: Outcome) {
        let started_after = started.map(|at| at.saturating_duration_since(held.taken));
        self.tell(Said::Event(Event::Ended(Ended { claimed: held.claimed, started_after, runner_pid, outcome })));
    }

    // The handle may be gone; then nobody wants to know.
    fn tell(&self, said: Said) {
        drop(self.say.send(said));
    }

    // -- who does what ------------------------------------------------------------------------------------------

    /// Sees to it that there is a zygote, and as many runners of it as there should be.
    fn staff(&mut self) {
        if self.closing.is_some() {
            return;
        }
        let Some(zygote) = self.zygotes.last_mut().filter(|zygote| zygote.stage != Stage::Retiring) else {
            if !self.zygote_failures.waits() {
                self.start_zygote();
            }
            return;
        };
        if zygote.stage != Stage::Serving || self.runner_failures.waits() {
            return;
        }
        let most = self.config.max_jobs_per_runner.unwrap_or(u64::MAX);
        let staffed = |runner: &&Runner| {
            runner.generation == zygote.generation
                && !runner.quitting
                && runner.killed.is_none()
                && runner.closed.is_none()
                && runner.sent < most
        };
        for _ in self.runners.iter().filter(staffed).count()..self.config.processes {
            self.numbers += 1;
            match pair() {
                Ok((ours, theirs)) => {
                    zygote.spawn(self.numbers, theirs);
                    self.runners.push(Runner::new(self.numbers, zygote.generation, ours));
                }
                Err(error) => {
                    tracing::error!(%error, "a runner cannot be given a socket");
                    self.runner_failures.fail();
                    return;
                }
            }
        }
    }

    fn start_zygote(&mut self) {
        self.generations += 1;
        match Zygote::start(&self.config, self.generations) {
            Ok(zygote) => self.zygotes.push(zygote),
            Err(error) => {
                tracing::error!(%error, "the zygote cannot be started");
                if self.zygote_failures.fail() {
                    self.tell(Said::Event(Event::Broken(error.to_string())));
                }
            }
        }
    }

    /// A runner that may be given jobs.
    fn takes(&self, runner: &Runner) -> bool {
        runner.serves() && runner.reads() && self.config.max_jobs_per_runner.is_none_or(|most| runner.sent < most)
    }

    fn dispatch(&mut self) {
        if self.queue.is_empty() {
            return;
        }
        let now = Instant::now();
        let worker_id = self.lease.map(|lease| lease.worker_id.to_string()).unwrap_or_default();
        while let Some(held) = self.queue.front() {
            let expected = self.pace.short(&held.claimed.lane.task_name);
            let Some(index) = self.choose(expected, now) else { return };
            let Some(held) = self.queue.pop_front() else { return };
            match frame::run(&held.claimed, &worker_id) {
                Ok(frame) => self.runners[index].send(held, frame, expected),
                Err(error) => self.end(
                    held,
                    None,
                    None,
                    Outcome::Failed {
                        reason: Reason::Error,
                        exception_class_path: "builtins.ValueError".into(),
                        traceback: format!("ValueError: the arguments do not fit into a frame: {error}\n"),
                    },
                ),
            }
        }
    }

    /// The runner for the next job: an idle one, else the one with the least to do, if that and the job are short.
    fn choose(&self, expected: Option<f64>, now: Instant) -> Option<usize> {
        let mut best: Option<(usize, f64)> = None;
        for (index, runner) in self.runners.iter().enumerate() {
            if !runner.serves() || self.config.max_jobs_per_runner.is_some_and(|most| runner.sent >= most) {
                continue;
            }
            if runner.is_empty() {
                return Some(index);
            }
            let Some(expected) = expected else { continue };
            let on_time = runner.running_since().is_none_or(|since| since + AHEAD > now);
            let load = runner.load();
            if on_time
                && runner.pipe_len() <= PIPE
                && load + expected <= AHEAD.as_secs_f64()
                && best.is_none_or(|(_, least)| load < least)
            {
                best = Some((index, load));
            }
        }
        best.map(|(index, _)| index)
    }

    fn publish_capacity(&self) {
        let now = Instant::now();
        let reserve = self.pace.reserve();
        let most = self.config.max_jobs_per_runner.unwrap_or(u64::MAX);
        let mut capacity = 0;
        if self.closing.is_none() {
            for runner in self.runners.iter().filter(|runner| runner.serves() && runner.sent < most) {
                let busy_for_long = runner.running_since().is_some_and(|since| since + STUCK <= now);
                capacity += if busy_for_long { 1 } else { 1 + reserve };
            }
        }
        self.capacity.store(capacity, Ordering::Relaxed);
    }

    /// Writes everything there is to write and settles recalls; true when that gave something back.
    fn flush(&mut self, context: &mut Context<'_>) -> bool {
        for zygote in &mut self.zygotes {
            // An error here is the end of its socket, which is noticed by reading.
            drop(zygote.flush(context));
        }
        let mut settled = false;
        let mut news = Vec::new();
        for index in 0..self.runners.len() {
            drop(self.runners[index].flush(context));
            if self.runners[index].to_settle() {
                let read = self.runners[index].drain(&mut self.scratch, &mut news);
                self.hear_runner(index, &mut news, read);
                let back = self.runners[index].settle();
                settled |= !back.is_empty();
                self.give(back);
                let runner = &mut self.runners[index];
                if std::mem::take(&mut runner.interrupting) && runner.running_since().is_some() {
                    self.kill(index, Killed::Interrupted);
                }
            }
        }
        settled
    }

    fn next_alarm(&self) -> Option<Instant> {
        let mut alarms = Vec::with_capacity(8);
        for runner in &self.runners {
            alarms.extend(runner.orphaned.map(|since| since + ORPHAN_DIES));
            alarms.extend(runner.kill_asked.map(|since| since + KILL_FOLLOWS));
            if runner.kill_asked.is_none() {
                alarms.extend(runner.closed.map(|since| since + STATUS_FOLLOWS));
            }
            if runner.has_waiting() {
                alarms.extend(runner.running_since().map(|since| since + STUCK));
            }
        }
        alarms.extend(self.queue.front().map(|held| held.taken + TOO_LONG_IN_HAND));
        alarms.extend(self.closing.as_ref().and_then(|closing| closing.kill_at));
        alarms.extend(self.runner_failures.until.filter(|_| self.runner_failures.waits()));
        alarms.extend(self.zygote_failures.until.filter(|_| self.zygote_failures.waits()));
        alarms.into_iter().min()
    }
}

/// A socketpair for a runner: this side's end, and the one that is handed on.
fn pair() -> std::io::Result<(UnixStream, std::os::fd::OwnedFd)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, theirs.into()))
}
