//! The states of a job, and the decision that every ended attempt goes through.

use std::time::Duration;

use crate::{Counts, Options, Outcome};

/// How many crashes in a row make a job poisoned: it killed its runner each time.
pub const CRASHES_IN_A_ROW: u32 = 3;
/// How often a job may be lost with its worker before it is poisoned.
pub const LOSSES: u32 = 5;
/// How often a job may be cut short by stopping workers before it fails.
pub const INTERRUPTIONS: u32 = 20;

/// A terminal state: where a job stays until someone retries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The handler returned.
    Successful,
    /// It will not be tried again by itself; the [`Reason`] says why.
    Failed,
    /// Someone ended it.
    Cancelled,
    /// It keeps killing what runs it.
    Poisoned,
}

impl State {
    /// The word stored in the database and shown to people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Successful => "successful",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Poisoned => "poisoned",
        }
    }
}

/// Why a job failed or an attempt did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The handler raised.
    Error,
    /// The handler returned what JSON cannot hold.
    BadResult,
    /// Its runner died.
    Crashed,
    /// Its worker vanished.
    Lost,
    /// Workers stopped under it too often.
    InterruptedTooOften,
}

impl Reason {
    /// The word stored in the database and shown to people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::BadResult => "bad result",
            Self::Crashed => "crashed",
            Self::Lost => "lost",
            Self::InterruptedTooOften => "interrupted too often",
        }
    }
}

/// Where a job goes when its attempt has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It has ended.
    Finished {
        /// Where it stays.
        state: State,
        /// Why, unless it was successful.
        reason: Option<Reason>,
    },
    /// It is ready again at once.
    Ready,
    /// It is due after a delay.
    Scheduled {
        /// From the end of the attempt, by the database's clock.
        delay: Duration,
    },
}

/// Where a job goes after `outcome`, and its counts from then on. Pure: the same question has one answer.
pub fn decide(before: Counts, _options: &Options, outcome: &Outcome) -> (Counts, Next) {
    let mut counts = before;
    let next = match outcome {
        Outcome::Successful { .. } => {
            counts.crashes = 0;
            finished(State::Successful, None)
        }
        Outcome::Failed { reason, .. } => {
            counts.crashes = 0;
            counts.failures = counts.failures.saturating_add(1);
            finished(State::Failed, Some(*reason))
        }
        Outcome::Crashed { .. } => {
            counts.crashes = counts.crashes.saturating_add(1);
            if counts.crashes >= CRASHES_IN_A_ROW {
                finished(State::Poisoned, Some(Reason::Crashed))
            } else {
                Next::Ready
            }
        }
        Outcome::Lost => {
            counts.losses = counts.losses.saturating_add(1);
            if counts.losses >= LOSSES { finished(State::Poisoned, Some(Reason::Lost)) } else { Next::Ready }
        }
        Outcome::Interrupted => {
            counts.interruptions = counts.interruptions.saturating_add(1);
            if counts.interruptions >= INTERRUPTIONS {
                finished(State::Failed, Some(Reason::InterruptedTooOften))
            } else {
                Next::Ready
            }
        }
        Outcome::HandedBack => Next::Ready,
    };
    (counts, next)
}

fn finished(state: State, reason: Option<Reason>) -> Next {
    Next::Finished { state, reason }
}
