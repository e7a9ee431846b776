//! A job in the pool's hands, and what its options ask of whoever runs it.

use std::time::{Duration, Instant};

use gristmill_core::{Claimed, OnCrash, Outcome};

use super::{Lingering, SOFT_FOLLOWS};
use crate::frame::{BadFrame, Key};

/// How long a handler may take to end once it was asked to.
const CANCEL_FOLLOWS: Duration = Duration::from_secs(5);

/// A job that the pool was given and has not ended.
pub(crate) struct Assigned {
    pub(crate) claimed: Claimed,
    pub(crate) key: Key,
    /// When the pool was given it.
    pub(crate) taken: Instant,
    pub(crate) asks: Asks,
    /// The job runs beside others in one runner.
    pub(crate) is_async: bool,
    /// Seconds it is expected to take, where known; what it adds to a runner's load.
    pub(super) expected: f64,
    /// When it was put into a runner's pipe.
    pub(super) sent: Instant,
    /// The job has been asked back, to go there, and the runner has not answered.
    pub(super) asked: Option<To>,
}

/// What a job's options ask of its runner; read once.
pub(crate) struct Asks {
    pub(crate) timeout: Option<Duration>,
    /// Bytes.
    pub(crate) memory: Option<u64>,
    pub(crate) transactional: bool,
    /// Nothing may run or wait beside it.
    pub(crate) alone: bool,
}

impl Assigned {
    pub(crate) fn new(claimed: Claimed) -> Self {
        let options = claimed.options();
        let now = Instant::now();
        Self {
            key: Key::of(&claimed),
            asks: Asks {
                timeout: options.timeout(),
                memory: options.max_memory_mb.map(|mebibytes| mebibytes.saturating_mul(1024 * 1024)),
                transactional: options.transactional,
                // What killed a runner before must not take others with it, nor be taken for what another one did.
                alone: claimed.counts.crashes > 0 || options.on_crash == OnCrash::Fail,
            },
            claimed,
            taken: now,
            is_async: false,
            expected: 0.0,
            sent: now,
            asked: None,
        }
    }
}

/// A job whose handler runs.
pub(crate) struct Running {
    pub(crate) assigned: Assigned,
    pub(crate) since: Instant,
    pub(crate) stage: Stage,
    /// When it was asked to end, if it was.
    pub(crate) cancelled: Option<Instant>,
    /// What it printed and logged, as far as it has said.
    pub(crate) output: Option<String>,
    /// How its own transaction is ending it: the database knows, or will.
    pub(super) writing: Option<Outcome>,
    /// The runner has been sent the statements for that.
    pub(super) answered: bool,
    pub(super) reports: u32,
    /// Something is called after its end; whether that waits for what becomes of the end.
    pub(super) lingers: Option<bool>,
}

impl Running {
    pub(super) fn new(assigned: Assigned, since: Instant, stage: Stage) -> Self {
        Self {
            assigned,
            since,
            stage,
            cancelled: None,
            output: None,
            writing: None,
            answered: false,
            reports: 0,
            lingers: None,
        }
    }

    /// Its handler begins, or something more comes before it.
    pub(super) fn begin(&mut self, at: Instant, prepares: bool) -> Result<(), BadFrame> {
        let Stage::Preparing(since) = self.stage else { return Err(BadFrame("a second start of a job".into())) };
        let at = at.clamp(since, Instant::now());
        self.stage = if prepares { Stage::Preparing(at) } else { Stage::Handling(at) };
        Ok(())
    }

    /// When it has run too long to be left alone, or what is called before or after its handler has.
    pub(crate) fn times_out(&self, callback_timeout: Duration) -> Option<Instant> {
        let (since, timeout) = match &self.stage {
            Stage::Handling(since) => (since, self.assigned.asks.timeout?),
            Stage::Preparing(since) | Stage::Asking(since, _) => (since, callback_timeout),
        };
        since.checked_add(timeout)?.checked_add(SOFT_FOLLOWS)
    }

    /// When it has been deaf too long to what it was asked. One whose handler has failed is not asked any more.
    pub(crate) fn is_stopped(&self) -> Option<Instant> {
        let asked = self.cancelled.filter(|_| !matches!(self.stage, Stage::Asking(..)));
        asked.map(|asked| asked + CANCEL_FOLLOWS)
    }
}

/// How far a job has come that has started, and since when.
pub(crate) enum Stage {
    /// Something comes before its handler: receivers of a signal, reading its past. It can still go back uncharged.
    Preparing(Instant),
    /// Its handler runs; its limits count from here.
    Handling(Instant),
    /// It has failed so, and its task is being asked how long to wait.
    Asking(Instant, Outcome),
}

/// Where jobs go that a runner is asked to give back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum To {
    /// To the next runner that is free.
    Queue,
    /// To the database.
    Database,
    /// Nowhere: someone wants it cancelled.
    Cancelled,
}

/// Why the pool ended a runner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Killed {
    /// The pool was asked to interrupt everything.
    Interrupted,
    /// The runner is broken: how.
    Broken(String),
    /// One job had to be ended, and so.
    For(Key, Outcome),
    /// What it called after the end of this job did not end.
    Lingering(Key),
}

/// What a runner said that matters to the pool.
pub(crate) enum News {
    /// The runner came up.
    Up,
    /// A job has ended.
    Ended(Ended),
    /// The runner gives back a job that it did not start, and says why unless it was asked.
    Back(Assigned, To, String),
    /// What a handler says of itself.
    Progress(gristmill_core::Progress),
    /// A job's end is to be written in the handler's transaction: it waits for the statements.
    ToWrite(Key),
    /// What is called after a job's end has something to say.
    Noted(Key, String),
    /// What was called after a job's end is over.
    Rested(Lingering),
    /// The runner is not fit to run another job. With a job, and how that has ended: something of it goes on there.
    Leaving(Option<(Key, Outcome)>),
}

/// A job that has ended by itself.
pub(crate) struct Ended {
    pub(crate) assigned: Assigned,
    pub(crate) started: Option<Instant>,
    pub(crate) outcome: Outcome,
    pub(crate) output: Option<String>,
    /// The database has it already.
    pub(crate) written: bool,
    /// What is still called after it, if anything is; whether that waits for what becomes of it.
    pub(crate) lingers: Option<bool>,
}

/// What a dead runner had.
pub(crate) struct Left {
    /// What ran.
    pub(crate) ran: Vec<Running>,
    /// Jobs that had not started, and where they go.
    pub(crate) waiting: Vec<(To, Assigned)>,
    /// Jobs that had ended, and after whose end something was still called.
    pub(crate) lingering: Vec<Lingering>,
}
