//! The runners of one simulated supervisor, and the guard that kills them when the lease passes, whatever their
//! supervisor does.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use gristmill_core::{Claimed, JobId, Outcome, Reason, Token, WorkerId};

use super::oracle::Oracle;
use crate::{Ended, Event, Executor};

pub(super) const TASKS: [&str; 2] = ["sim.one", "sim.two"];

/// What the world sees of an executor.
#[derive(Clone)]
pub(super) struct Runners(Arc<Mutex<Inner>>);

/// What the mill sees of it.
pub(super) struct SimExecutor {
    tasks: Vec<String>,
    runners: Runners,
}

struct Inner {
    rng: fastrand::Rng,
    slots: usize,
    prefetch: usize,
    waiting: VecDeque<Claimed>,
    running: Vec<Run>,
    events: Vec<Event>,
    /// What started and what stopped since the oracle was last told, in order.
    journal: Vec<Entry>,
    now: i64,
    crashes: u64,
    killed: u64,
}

enum Entry {
    Started(JobId, Token),
    Stopped(JobId, Token),
}

struct Run {
    claimed: Claimed,
    ends_at: i64,
}

impl Runners {
    pub(super) fn new(rng: fastrand::Rng, slots: usize) -> (Self, SimExecutor) {
        let inner = Inner {
            rng,
            slots,
            prefetch: 2,
            waiting: VecDeque::new(),
            running: Vec::new(),
            events: Vec::new(),
            journal: Vec::new(),
            now: 0,
            crashes: 0,
            killed: 0,
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
            let outcome = inner.outcome();
            inner.stop(run, outcome);
        }
        if fence.is_some_and(|fence| now >= fence) {
            for run in std::mem::take(&mut inner.running) {
                inner.killed += 1;
                inner.stop(run, Outcome::Interrupted);
            }
            for claimed in std::mem::take(&mut inner.waiting) {
                inner.end(claimed, Outcome::HandedBack);
            }
        }
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
            }
        }
        Ok(())
    }

    /// The supervisor is gone, and they with it.
    pub(super) fn vanish(&self, oracle: &mut Oracle) {
        let mut inner = self.0.lock().expect("no panic");
        for entry in std::mem::take(&mut inner.journal) {
            if let Entry::Stopped(id, token) = entry {
                oracle.stopped((id, token));
            }
        }
        for run in std::mem::take(&mut inner.running) {
            oracle.stopped((run.claimed.id, run.claimed.token));
        }
        inner.waiting.clear();
        inner.events.clear();
    }

    /// What happened since this was last asked.
    pub(super) fn events(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.lock().expect("no panic").events)
    }

    /// Runners that crashed, and runners that the guard killed.
    pub(super) fn faults(&self) -> (u64, u64) {
        let inner = self.0.lock().expect("no panic");
        (inner.crashes, inner.killed)
    }
}

impl Inner {
    fn fill(&mut self) {
        while self.running.len() < self.slots
            && let Some(claimed) = self.waiting.pop_front()
        {
            self.journal.push(Entry::Started(claimed.id, claimed.token));
            let ends_at = self.now + self.duration();
            self.running.push(Run { claimed, ends_at });
        }
    }

    fn stop(&mut self, run: Run, outcome: Outcome) {
        self.journal.push(Entry::Stopped(run.claimed.id, run.claimed.token));
        self.end(run.claimed, outcome);
    }

    fn end(&mut self, claimed: Claimed, outcome: Outcome) {
        self.events.push(Event::Ended(Ended {
            claimed,
            started_after: None,
            runner_pid: None,
            outcome,
            output: None,
            written: false,
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
            0..30 => {
                self.crashes += 1;
                Outcome::Crashed { how: "signal 9 (SIGKILL)".into() }
            }
            30..40 => Outcome::failed(Reason::Error, "builtins.ValueError", ""),
            _ => Outcome::Successful { return_value: "null".into() },
        }
    }
}

impl Executor for SimExecutor {
    fn tasks(&self) -> &[String] {
        &self.tasks
    }

    fn room(&self) -> usize {
        let inner = self.runners.0.lock().expect("no panic");
        (inner.slots + inner.prefetch).saturating_sub(inner.running.len() + inner.waiting.len())
    }

    fn start(&mut self, jobs: Vec<Claimed>) {
        let mut inner = self.runners.0.lock().expect("no panic");
        inner.waiting.extend(jobs);
        inner.fill();
    }

    // The world takes events by itself.
    async fn events(&mut self, _into: &mut Vec<Event>) {
        std::future::pending::<()>().await;
    }

    fn cancel(&mut self, _job: JobId, _token: Token) {}

    fn recall(&mut self) {
        let mut inner = self.runners.0.lock().expect("no panic");
        for claimed in std::mem::take(&mut inner.waiting) {
            inner.end(claimed, Outcome::HandedBack);
        }
    }

    fn interrupt(&mut self) {
        let mut inner = self.runners.0.lock().expect("no panic");
        for run in std::mem::take(&mut inner.running) {
            inner.stop(run, Outcome::Interrupted);
        }
    }

    async fn close(&mut self) {}
}
