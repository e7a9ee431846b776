//! The runners of one simulated supervisor, and the guard that kills them when the lease passes, whatever their
//! supervisor does.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gristmill_core::{Advice, Claimed, JobId, Moment, Outcome, Progress, Reason, State, Token, Until, WorkerId};

use super::oracle::Oracle;
use super::receivers::Receivers;
use crate::{Ended, Event, Executor};

pub(super) const TASKS: [&str; 2] = ["sim.one", "sim.two"];

/// What the world sees of an executor.
#[derive(Clone)]
pub(super) struct Runners(Arc<Mutex<Inner>>);

/// What the dispatcher sees of it.
pub(super) struct SimExecutor {
    tasks: Vec<String>,
    runners: Runners,
}

struct Inner {
    rng: fastrand::Rng,
    slots: usize,
    prefetch: usize,
    queue_limits: HashMap<String, u32>,
    waiting: VecDeque<Claimed>,
    running: Vec<Run>,
    /// Their handlers have returned, and their transactions are to write the end.
    writing: Vec<Claimed>,
    events: Vec<Event>,
    /// What started and what stopped since the oracle was last told, in order.
    journal: Vec<Entry>,
    now: i64,
    /// Jobs that a handler may wait for.
    known: Vec<JobId>,
    receivers: Receivers,
    crashes: u64,
    killed: u64,
    cancels: u64,
    told: u64,
}

enum Entry {
    Started(JobId, Token),
    Stopped(JobId, Token),
    /// Receivers are told in which state its job has ended.
    Told(JobId, Token, State),
    /// The worker is told of an end, by the word of its outcome.
    Offered(JobId, Token, &'static str),
    Broken(String),
}

struct Run {
    claimed: Claimed,
    ends_at: i64,
    /// Its handler's own transaction writes the end.
    transactional: bool,
    cancelled: bool,
}

impl Runners {
    pub(super) fn new(rng: fastrand::Rng, slots: usize, queue_limits: HashMap<String, u32>) -> (Self, SimExecutor) {
        let inner = Inner {
            rng,
            slots,
            prefetch: 2,
            queue_limits,
            waiting: VecDeque::new(),
            running: Vec::new(),
            writing: Vec::new(),
            events: Vec::new(),
            journal: Vec::new(),
            now: 0,
            known: Vec::new(),
            receivers: Receivers::default(),
            crashes: 0,
            killed: 0,
            cancels: 0,
            told: 0,
        };
        let runners = Self(Arc::new(Mutex::new(inner)));
        let tasks = TASKS.map(str::to_owned).to_vec();
        (runners.clone(), SimExecutor { tasks, runners })
    }

    /// Ends what ends until `now`. At `fence` the guard kills what still runs, whatever the supervisor does.
    pub(super) fn end_until(&self, now: i64, fence: Option<i64>) {
        let mut inner = self.0.lock().expect("no panic");
        inner.now = now;
        let alive_until = fence.map_or(now, |fence| fence.min(now));
        let runs = std::mem::take(&mut inner.running);
        let (ended, running): (Vec<Run>, Vec<Run>) = runs.into_iter().partition(|run| run.ends_at <= alive_until);
        inner.running = running;
        for run in ended {
            if run.transactional && !run.cancelled {
                inner.journal.push(Entry::Stopped(run.claimed.id, run.claimed.token));
                inner.writing.push(run.claimed);
                continue;
            }
            let outcome = if run.cancelled { inner.cancelled_outcome() } else { inner.outcome() };
            inner.stop(run, outcome);
        }
        let rested = inner.receivers.done(now);
        inner.rest(rested);
        if fence.is_some_and(|fence| now >= fence) {
            let cut_off = inner.receivers.cut_off();
            inner.rest(cut_off);
            for run in std::mem::take(&mut inner.running) {
                inner.killed += 1;
                inner.stop(run, Outcome::Interrupted);
            }
            for claimed in std::mem::take(&mut inner.waiting) {
                inner.end(claimed, Outcome::HandedBack);
            }
        }
    }

    /// Attempts whose end is to be written by their handlers' own transactions, and how they end.
    pub(super) fn to_write(&self) -> Vec<(Claimed, Outcome)> {
        let mut inner = self.0.lock().expect("no panic");
        let writing = std::mem::take(&mut inner.writing);
        let ends = writing.into_iter().map(|claimed| (claimed, inner.returned())).collect::<Vec<_>>();
        for (claimed, outcome) in &ends {
            inner.offer(claimed, outcome);
        }
        ends
    }

    /// What became of such a transaction: `written`, or undone.
    pub(super) fn wrote(&self, claimed: Claimed, outcome: Outcome, written: bool) {
        let mut inner = self.0.lock().expect("no panic");
        inner.offer(&claimed, &outcome);
        let asks = written && inner.ask(&claimed);
        let started_after = Some(Duration::ZERO);
        let ended = Ended { claimed, started_after, runner_pid: None, outcome, output: None, written, asks };
        inner.events.push(Event::Ended(ended));
    }

    /// Which jobs there are.
    pub(super) fn know(&self, jobs: &[JobId]) {
        self.0.lock().expect("no panic").known = jobs.to_vec();
    }

    /// Runners that are free take what waits, also while their supervisor is paused.
    pub(super) fn start_waiting(&self) {
        self.0.lock().expect("no panic").fill();
    }

    /// Tells the oracle what started and what stopped.
    pub(super) fn report(&self, worker: WorkerId, oracle: &mut Oracle) -> Result<(), String> {
        let journal = std::mem::take(&mut self.0.lock().expect("no panic").journal);
        for entry in journal {
            match entry {
                Entry::Started(id, token) => oracle.started((id, token), worker)?,
                Entry::Stopped(id, token) => oracle.stopped((id, token)),
                Entry::Told(id, token, state) => oracle.told((id, token), state)?,
                Entry::Offered(id, token, outcome) => oracle.offered((id, token), outcome),
                Entry::Broken(why) => return Err(why),
            }
        }
        Ok(())
    }

    /// The supervisor is gone, and they with it.
    pub(super) fn vanish(&self, oracle: &mut Oracle) {
        let mut inner = self.0.lock().expect("no panic");
        for entry in std::mem::take(&mut inner.journal) {
            match entry {
                Entry::Stopped(id, token) => oracle.stopped((id, token)),
                Entry::Offered(id, token, outcome) => oracle.offered((id, token), outcome),
                Entry::Started(..) | Entry::Told(..) | Entry::Broken(_) => {}
            }
        }
        for run in std::mem::take(&mut inner.running) {
            oracle.stopped((run.claimed.id, run.claimed.token));
        }
        inner.waiting.clear();
        inner.writing.clear();
        inner.events.clear();
        inner.receivers.cut_off();
    }

    /// What happened since this was last asked.
    pub(super) fn events(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.lock().expect("no panic").events)
    }

    /// Runners that crashed, runners that the guard killed, cancels that they heard of, and ends that receivers were
    /// told of.
    pub(super) fn faults(&self) -> (u64, u64, u64, u64) {
        let inner = self.0.lock().expect("no panic");
        (inner.crashes, inner.killed, inner.cancels, inner.told)
    }
}

impl Inner {
    fn fill(&mut self) {
        while self.running.len() + self.receivers.len() < self.slots
            && let Some(claimed) = self.waiting.pop_front()
        {
            if self.rng.u32(0..50) == 0 {
                self.end(claimed, Outcome::Incompatible { why: "its arguments are of another release".into() });
                continue;
            }
            self.journal.push(Entry::Started(claimed.id, claimed.token));
            if self.rng.u32(0..3) == 0 {
                let (job, token) = (claimed.id, claimed.token);
                let done = Some(self.rng.f64());
                let said = Progress { job, token, done, total: None, message: None, metadata: None };
                self.events.push(Event::Progress(said));
            }
            let ends_at = self.now + self.duration();
            let transactional = self.rng.u32(0..8) == 0;
            self.running.push(Run { claimed, ends_at, transactional, cancelled: false });
        }
    }

    fn mind_limits(&mut self) {
        for (queue, limit) in &self.queue_limits {
            let of_it = |claimed: &&Claimed| claimed.lane.queue_name == *queue;
            let held = self.waiting.iter().filter(of_it).count()
                + self.running.iter().map(|run| &run.claimed).filter(of_it).count();
            if held > *limit as usize {
                self.journal.push(Entry::Broken(format!("{held} jobs of {queue} are held; its limit is {limit}")));
                return;
            }
        }
    }

    fn stop(&mut self, run: Run, outcome: Outcome) {
        self.journal.push(Entry::Stopped(run.claimed.id, run.claimed.token));
        self.end_after(Some(Duration::ZERO), run.claimed, outcome);
    }

    fn end(&mut self, claimed: Claimed, outcome: Outcome) {
        self.end_after(None, claimed, outcome);
    }

    /// Receivers listen to some jobs, and hear of their ends when these are accepted.
    fn ask(&mut self, claimed: &Claimed) -> bool {
        let asks = self.rng.u32(0..4) == 0;
        if asks {
            self.receivers.asks((claimed.id, claimed.token));
        }
        asks
    }

    fn rest(&mut self, count: usize) {
        self.events.extend((0..count).map(|_| Event::Rested));
    }

    fn offer(&mut self, claimed: &Claimed, outcome: &Outcome) {
        self.journal.push(Entry::Offered(claimed.id, claimed.token, outcome.word()));
    }

    fn end_after(&mut self, started_after: Option<Duration>, claimed: Claimed, outcome: Outcome) {
        self.offer(&claimed, &outcome);
        let may_ask =
            matches!(outcome, Outcome::Successful { .. } | Outcome::Failed { .. } | Outcome::Postponed { .. });
        let asks = may_ask && self.ask(&claimed);
        self.events.push(Event::Ended(Ended {
            claimed,
            started_after,
            runner_pid: None,
            outcome,
            output: None,
            written: false,
            asks,
        }));
    }

    // Most jobs are short; one in twenty outlives a lease.
    fn duration(&mut self) -> i64 {
        match self.rng.u32(0..20) {
            0 => self.rng.i64(60_000_000..300_000_000),
            1..6 => self.rng.i64(1_000_000..20_000_000),
            _ => self.rng.i64(1_000..2_000_000),
        }
    }

    fn outcome(&mut self) -> Outcome {
        match self.rng.u32(0..100) {
            0..25 => {
                self.crashes += 1;
                Outcome::Crashed { how: "signal 9 (SIGKILL)".into() }
            }
            25..30 => Outcome::failed(Reason::Timeout, "gristmill.exceptions.TimedOut", ""),
            30..50 => self.raised(),
            _ => self.returned(),
        }
    }

    fn raised(&mut self) -> Outcome {
        let advice = match self.rng.u32(0..10) {
            0 => Advice::GiveUp,
            1..3 => Advice::After(Duration::from_millis(self.rng.u64(0..30_000))),
            _ => Advice::ByOptions,
        };
        Outcome::Failed {
            reason: Reason::Error,
            exception_class_path: "builtins.ValueError".into(),
            traceback: String::new(),
            classes: vec!["builtins.ValueError".into(), "builtins.Exception".into()],
            advice,
        }
    }

    // Both may be written in the handler's own transaction.
    fn returned(&mut self) -> Outcome {
        let until = match self.rng.u32(0..20) {
            0 => Until::Default,
            1 => Until::After(Duration::from_millis(self.rng.u64(0..30_000))),
            2 => Until::At(Moment::from_unix_micros(self.now + self.rng.i64(-1_000_000..30_000_000))),
            3..5 => return self.waiting_for_others(),
            _ => return Outcome::Successful { return_value: "null".into() },
        };
        Outcome::Postponed { until, after: None, why: "not yet".into() }
    }

    // Itself perhaps, or what waits for it.
    fn waiting_for_others(&mut self) -> Outcome {
        let until = if self.rng.bool() { Until::Default } else { Until::After(Duration::from_secs(3)) };
        let count = self.rng.usize(0..4).min(self.known.len());
        let after = (0..count).map(|_| self.known[self.rng.usize(..self.known.len())]).collect();
        Outcome::Postponed { until, after: Some(after), why: "others first".into() }
    }

    // It was asked to stop, or was killed for it; or it ended by itself at that moment.
    fn cancelled_outcome(&mut self) -> Outcome {
        if self.rng.u32(0..4) == 0 { self.outcome() } else { Outcome::Cancelled { how: "asked".into() } }
    }
}

impl Executor for SimExecutor {
    fn tasks(&self) -> &[String] {
        &self.tasks
    }

    fn room(&self) -> usize {
        let inner = self.runners.0.lock().expect("no panic");
        let taken = inner.running.len() + inner.waiting.len() + inner.receivers.len();
        (inner.slots + inner.prefetch).saturating_sub(taken)
    }

    fn start(&mut self, jobs: Vec<Claimed>) {
        let mut inner = self.runners.0.lock().expect("no panic");
        inner.waiting.extend(jobs);
        inner.mind_limits();
        inner.fill();
    }

    // The world takes events by itself.
    async fn events(&mut self, _into: &mut Vec<Event>) {
        std::future::pending::<()>().await;
    }

    fn cancel(&mut self, job: JobId, token: Token) {
        let mut inner = self.runners.0.lock().expect("no panic");
        inner.cancels += 1;
        let is_it = |claimed: &Claimed| (claimed.id, claimed.token) == (job, token);
        if let Some(at) = inner.waiting.iter().position(is_it) {
            let claimed = inner.waiting.remove(at).expect("it is there");
            inner.end(claimed, Outcome::Cancelled { how: "it had not started".into() });
            return;
        }
        let within_the_grace = inner.now + inner.rng.i64(0..5_000_000);
        if let Some(run) = inner.running.iter_mut().find(|run| is_it(&run.claimed)) {
            run.cancelled = true;
            run.ends_at = run.ends_at.min(within_the_grace);
        }
    }

    fn settled(&mut self, job: JobId, token: Token, state: Option<State>) {
        let mut inner = self.runners.0.lock().expect("no panic");
        if !inner.receivers.was_asked((job, token)) {
            return;
        }
        let Some(state) = state else { return inner.rest(1) };
        inner.told += 1;
        inner.journal.push(Entry::Told(job, token, state));
        let until = inner.now + inner.duration();
        inner.receivers.are_called(until);
    }

    fn is_busy(&self) -> bool {
        self.runners.0.lock().expect("no panic").receivers.len() > 0
    }

    fn recall(&mut self) {
        let mut inner = self.runners.0.lock().expect("no panic");
        for claimed in std::mem::take(&mut inner.waiting) {
            inner.end(claimed, Outcome::HandedBack);
        }
    }

    fn interrupt(&mut self) {
        let mut inner = self.runners.0.lock().expect("no panic");
        let cut_off = inner.receivers.cut_off();
        inner.rest(cut_off);
        for run in std::mem::take(&mut inner.running) {
            inner.stop(run, Outcome::Interrupted);
        }
    }

    async fn close(&mut self) {}
}
