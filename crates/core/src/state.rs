//! The states of a job, and the decision that every ended attempt goes through.

use std::time::Duration;

use crate::backoff::bounded;
use crate::{Advice, Backoff, Claimed, Counts, JobId, Moment, OnCrash, Options, Outcome, Until};

/// How many crashes in a row make a job poisoned: it killed its runner each time.
pub const CRASHES_IN_A_ROW: u32 = 3;
/// How often a job may be lost with its worker before it is poisoned, since an attempt last came to an end of its own.
pub const LOSSES: u32 = 5;
/// How often a job may be cut short by stopping workers, or undone by the database, before it fails; since then too.
pub const INTERRUPTIONS: u32 = 20;
/// After a conflict: longer each time, and by chance, so that those who met do not meet again.
const AFTER_A_CONFLICT: Backoff = Backoff::Exponential { base: 0.05, factor: 2.0, max: 30.0, jitter: 1.0 };

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
    /// It ran longer than its options allow.
    Timeout,
    /// It used more memory than its options allow.
    Memory,
    /// Its own backoff function said not to try again.
    GivenUp,
    /// It was not started before it expired.
    Expired,
    /// It postponed itself too often.
    PostponedTooOften,
    /// Its worker vanished, and it must not run twice: nobody knows how far it came.
    OutcomeUnknown,
    /// Its worker vanished, again and again.
    Lost,
    /// A worker stopped under it, and it must not run twice.
    Interrupted,
    /// Workers stopped under it too often.
    InterruptedTooOften,
    /// The database undid its transaction too often for the sake of others, or once where it must not run twice.
    Conflict,
    /// Too many of the jobs that it waited for have failed.
    PreconditionFailed,
    /// It waited for itself, by way of others.
    Cycle,
    /// No code came that its arguments or options fit.
    Incompatible,
}

impl Reason {
    /// The word stored in the database and shown to people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::BadResult => "bad result",
            Self::Crashed => "crashed",
            Self::Timeout => "timeout",
            Self::Memory => "memory",
            Self::GivenUp => "given up",
            Self::Expired => "expired",
            Self::PostponedTooOften => "postponed too often",
            Self::OutcomeUnknown => "outcome unknown",
            Self::Lost => "lost",
            Self::Interrupted => "interrupted",
            Self::InterruptedTooOften => "interrupted too often",
            Self::Conflict => "conflict",
            Self::PreconditionFailed => "precondition failed",
            Self::Cycle => "cycle",
            Self::Incompatible => "incompatible",
        }
    }
}

/// Where a job goes when its attempt has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// It is due at a moment of the database's clock.
    ScheduledAt(Moment),
    /// It waits for other jobs, and for a delay.
    Waiting {
        /// From the end of the attempt, by the database's clock.
        delay: Duration,
    },
    /// It waits for other jobs, and for a moment of the database's clock.
    WaitingUntil(Moment),
}

/// Where a job goes after `outcome`, and its counts from then on. Pure: the same question has one answer.
pub fn decide(claimed: &Claimed, options: &Options, outcome: &Outcome) -> (Counts, Next) {
    let mut counts = claimed.counts;
    let next = match outcome {
        Outcome::Successful { .. } => {
            forgive(&mut counts);
            finished(State::Successful, None)
        }
        Outcome::Failed { reason, classes, advice, .. } => {
            forgive(&mut counts);
            counts.failures = counts.failures.saturating_add(1);
            after_failure(claimed, options, counts.failures, (*reason, classes, *advice))
        }
        Outcome::Postponed { until, after, .. } => {
            forgive(&mut counts);
            counts.postpones = counts.postpones.saturating_add(1);
            postponed(options, counts.postpones, until, after.as_deref())
        }
        Outcome::Crashed { .. } => {
            counts.crashes = counts.crashes.saturating_add(1);
            match options.on_crash {
                OnCrash::Fail => finished(State::Failed, Some(Reason::Crashed)),
                OnCrash::Rerun if counts.crashes >= CRASHES_IN_A_ROW => {
                    finished(State::Poisoned, Some(Reason::Crashed))
                }
                OnCrash::Rerun => Next::Ready,
            }
        }
        Outcome::Lost => {
            counts.losses = counts.losses.saturating_add(1);
            match options.on_crash {
                OnCrash::Fail => finished(State::Failed, Some(Reason::OutcomeUnknown)),
                OnCrash::Rerun if counts.losses >= LOSSES => finished(State::Poisoned, Some(Reason::Lost)),
                OnCrash::Rerun => Next::Ready,
            }
        }
        Outcome::Interrupted => {
            counts.interruptions = counts.interruptions.saturating_add(1);
            match options.on_crash {
                OnCrash::Fail => finished(State::Failed, Some(Reason::Interrupted)),
                OnCrash::Rerun if counts.interruptions >= INTERRUPTIONS => {
                    finished(State::Failed, Some(Reason::InterruptedTooOften))
                }
                OnCrash::Rerun => Next::Ready,
            }
        }
        // As if a worker had stopped under it: it was not the handler that failed.
        Outcome::Conflict { .. } => {
            counts.crashes = 0;
            counts.interruptions = counts.interruptions.saturating_add(1);
            match options.on_crash {
                _ if retries_conflict(claimed, options) => {
                    later(AFTER_A_CONFLICT.delay(counts.interruptions, claimed.roll()))
                }
                _ => finished(State::Failed, Some(Reason::Conflict)),
            }
        }
        Outcome::Cancelled { .. } => finished(State::Cancelled, None),
        Outcome::Expired => finished(State::Failed, Some(Reason::Expired)),
        Outcome::Incompatible { .. } if has_waited_enough(claimed, options) => {
            finished(State::Failed, Some(Reason::Incompatible))
        }
        Outcome::Incompatible { .. } => Next::Scheduled { delay: until_the_next_deploy(claimed) },
        Outcome::HandedBack => Next::Ready,
    };
    (counts, next)
}

// An attempt that came to an end of its own: whatever cut others short before says nothing about the job any more. One
// that lives for months meets many deploys, and a host that dies now and then.
fn forgive(counts: &mut Counts) {
    (counts.crashes, counts.losses, counts.interruptions) = (0, 0, 0);
}

fn after_failure(
    claimed: &Claimed,
    options: &Options,
    failures: u32,
    (reason, classes, advice): (Reason, &[String], Advice),
) -> Next {
    let retried = retried_classes(claimed, options);
    let may = classes.iter().any(|class| retried.contains(&class.as_str()));
    match advice {
        _ if !may => finished(State::Failed, Some(reason)),
        Advice::GiveUp => finished(State::Failed, Some(Reason::GivenUp)),
        Advice::After(delay) => later(delay),
        Advice::ByOptions => later(options.backoff.delay(failures, claimed.roll())),
    }
}

/// The classes of exceptions, by `module.qualname`, after which this attempt's job is tried again; none where it has been
/// tried often enough. Its runner is told them, to know whether a failure is the last one.
pub fn retried_classes<'a>(claimed: &Claimed, options: &'a Options) -> Vec<&'a str> {
    let failures = claimed.counts.failures.saturating_add(1);
    match &options.retry_on {
        _ if options.max_attempts.is_some_and(|most| failures >= most) => Vec::new(),
        None => vec!["builtins.Exception"],
        Some(named) => named.iter().map(String::as_str).collect(),
    }
}

/// Whether this attempt's job is tried again where the database undoes it for the sake of others.
pub fn retries_conflict(claimed: &Claimed, options: &Options) -> bool {
    options.on_crash == OnCrash::Rerun && claimed.counts.interruptions.saturating_add(1) < INTERRUPTIONS
}

fn postponed(options: &Options, postpones: u32, until: &Until, after: Option<&[JobId]>) -> Next {
    if options.max_postpones.is_some_and(|most| postpones > most) {
        return finished(State::Failed, Some(Reason::PostponedTooOften));
    }
    if after.is_some() {
        return match until {
            Until::Default => Next::Waiting { delay: Duration::ZERO },
            Until::After(delay) => Next::Waiting { delay: *delay },
            Until::At(moment) => Next::WaitingUntil(moment.clone()),
        };
    }
    match until {
        Until::Default => later(bounded(options.postpone_delay)),
        Until::After(delay) => later(*delay),
        Until::At(moment) => Next::ScheduledAt(moment.clone()),
    }
}

/// A job that waits for other code is looked at again after a quarter of its age: often while the deploy that it
/// waits for may be under way, seldom when nobody has come for days.
fn until_the_next_deploy(claimed: &Claimed) -> Duration {
    let age = claimed.claimed_at.since(&claimed.enqueued_at).unwrap_or_default();
    (age / 4).clamp(Duration::from_secs(10), Duration::from_mins(10))
}

// So often and for so long, whichever is later: a deploy takes its time, and so may workers that were all away.
fn has_waited_enough(claimed: &Claimed, options: &Options) -> bool {
    let tries = claimed.misfits.count.saturating_add(1);
    let first_at = claimed.misfits.first_at.as_ref();
    let age = first_at.and_then(|first_at| claimed.claimed_at.since(first_at)).unwrap_or_default();
    options.incompatible_tries.is_some_and(|most| tries >= most) && age >= bounded(options.incompatible_for)
}

fn later(delay: Duration) -> Next {
    if delay.is_zero() { Next::Ready } else { Next::Scheduled { delay } }
}

fn finished(state: State, reason: Option<Reason>) -> Next {
    Next::Finished { state, reason }
}

#[cfg(test)]
mod tests;
