//! A job in the pool's hands, and what its options ask of whoever runs it.

use std::time::{Duration, Instant};

use gristmill_core::{Claimed, OnCrash, Options, Outcome};

use crate::frame::Key;

/// A handler raises in itself when its time is over; one that has not ended so long after that does not listen.
const SOFT_FOLLOWS: Duration = Duration::from_secs(2);
/// How long a handler may take to end once it was asked to.
const CANCEL_FOLLOWS: Duration = Duration::from_secs(5);

/// A job that the pool was given and has not ended.
pub(crate) struct Held {
    pub(crate) claimed: Claimed,
    pub(crate) key: Key,
    /// When the pool was given it.
    pub(crate) taken: Instant,
    pub(crate) asks: Asks,
    /// It runs beside others in one runner.
    pub(crate) is_async: bool,
    /// Seconds it is expected to take, where known; what it adds to a runner's load.
    pub(super) expected: f64,
    /// When it was put into a runner's pipe.
    pub(super) sent: Instant,
    /// It has been asked back, to go there, and the runner has not answered.
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

impl Held {
    pub(crate) fn new(claimed: Claimed) -> Self {
        let options = claimed.options_json.as_ref().map_or_else(Options::default, |_| claimed.options());
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
    pub(crate) held: Held,
    pub(crate) since: Instant,
    /// When it was asked to end, if it was.
    pub(crate) cancelled: Option<Instant>,
    /// What it printed and logged, as far as it has said.
    pub(crate) output: Option<String>,
    /// How its own transaction is ending it: the database knows, or will.
    pub(super) writing: Option<Outcome>,
    /// It has been sent the statements for that.
    pub(super) answered: bool,
    pub(super) reports: u32,
}

impl Running {
    pub(super) fn new(held: Held, since: Instant) -> Self {
        Self { held, since, cancelled: None, output: None, writing: None, answered: false, reports: 0 }
    }

    /// When it has run too long to be left alone.
    pub(crate) fn times_out(&self) -> Option<Instant> {
        self.held.asks.timeout.and_then(|timeout| self.since.checked_add(timeout)?.checked_add(SOFT_FOLLOWS))
    }

    /// When it has been deaf too long to what it was asked.
    pub(crate) fn is_stopped(&self) -> Option<Instant> {
        self.cancelled.map(|asked| asked + CANCEL_FOLLOWS)
    }
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
    /// It was asked to interrupt everything.
    Interrupted,
    /// The runner is broken: how.
    Broken(String),
    /// One job had to be ended, and so.
    For(Key, Outcome),
}

/// What a runner said that matters to the pool.
pub(crate) enum News {
    /// It came up.
    Up,
    /// A job has ended.
    Ended(Ended),
    /// It gives back a job that it did not start, and says why unless it was asked.
    Back(Held, To, String),
    /// What a handler says of itself.
    Progress(gristmill_core::Progress),
    /// A job's end is to be written in the handler's transaction: it waits for the statements.
    ToWrite(Key),
}

/// A job that has ended by itself.
pub(crate) struct Ended {
    pub(crate) held: Held,
    pub(crate) started: Option<Instant>,
    pub(crate) outcome: Outcome,
    pub(crate) output: Option<String>,
    /// The database has it already.
    pub(crate) written: bool,
}

/// What a dead runner had.
pub(crate) struct Left {
    /// What ran.
    pub(crate) ran: Vec<Running>,
    /// Those that had not started, and where they go.
    pub(crate) waiting: Vec<(To, Held)>,
}
