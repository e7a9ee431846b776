//! Works off errands: carries what became of a job to the jobs that wait for it, in short transactions.
//!
//! The keeper does so at its own pace. The mill does as soon as it knows of some, so that what waits for its own jobs
//! starts at once; what it knows is in [`Errands`], which is pure.

use std::time::{Duration, Instant};

use gristmill_store::{Dialect, Moved, Result, Session, WorkedOff};
use tracing::{debug, warn};

use crate::Sessions;
use crate::link::{Link, within};

/// Jobs that one transaction judges at most: it locks them, and holds SQLite's only write lock.
pub(crate) const BATCH: u32 = 1_000;
/// A worker whose ends made other jobs ready is prepared for so long that they do so again.
const MEMORY: Duration = Duration::from_mins(10);

/// The keeper's pause between two batches.
const BETWEEN_BATCHES: Duration = Duration::from_millis(50);
/// Longest breath after a batch.
const LONGEST_BREATH: Duration = Duration::from_millis(50);

/// Works off one batch and says how it went.
pub(crate) async fn work_off<S: Sessions>(link: &mut Link<S>) -> Result<WorkedOff> {
    let deadline = link.deadline();
    let answer = match link.session().await {
        Ok(session) => within(deadline, batch(session)).await,
        Err(error) => Err(error),
    };
    let (worked_off, breath) = link.judge(answer)?;
    tell(&worked_off);
    tokio::time::sleep(breath).await;
    Ok(worked_off)
}

/// One batch, and how long to leave errands alone then: on SQLite twice the time that it took while there are more, because
/// who waits for the one write lock only looks now and then whether it is free.
pub(crate) async fn batch(session: &mut Session) -> Result<(WorkedOff, Duration)> {
    let began = Instant::now();
    let worked_off = session.work_off(BATCH).await?;
    let breathes = worked_off.more && session.dialect() == Dialect::Sqlite;
    let breath = if breathes { (began.elapsed() * 2).min(LONGEST_BREATH) } else { Duration::ZERO };
    Ok((worked_off, breath))
}

/// What that did, for people.
pub(crate) fn tell(worked_off: &WorkedOff) {
    let errands = worked_off.errands;
    let Moved { readied, scheduled, taken_back, stranded, healed, failed, .. } = worked_off.moved;
    tell_failed(failed);
    if errands > 0 {
        debug!(
            target: "gristmill::errands", errands, readied, scheduled, taken_back, stranded, healed, failed,
            "worked off"
        );
    }
}

/// What the ends of a turn did to the jobs that wait for them, for people.
pub(crate) fn tell_moved(moved: &Moved) {
    let Moved { readied, scheduled, taken_back, stranded, healed, failed, .. } = *moved;
    tell_failed(failed);
    if readied + scheduled + taken_back + stranded + healed + failed > 0 {
        debug!(target: "gristmill::mill", readied, scheduled, taken_back, stranded, healed, failed, "spread");
    }
}

fn tell_failed(failed: u64) {
    if failed > 0 {
        warn!(target: "gristmill::errands", failed, "failed: jobs whose preconditions failed, or that waited for themselves");
    }
}

/// When to look again: soon while there are more, as a mill that has room is at them too; else after the poll interval.
pub(crate) fn pause(worked_off: &WorkedOff, poll_interval: Duration) -> Duration {
    let pause = if worked_off.more { BETWEEN_BATCHES.min(poll_interval) } else { poll_interval };
    // Jitter, so that the workers of a fleet do not all come at once.
    pause.mul_f64(0.75 + fastrand::f64() / 2.0)
}

/// What the mill knows of errands, and whether to expect any.
// Independent facts, not a state machine in disguise.
#[allow(clippy::struct_excessive_bools)]
#[derive(Default)]
pub(crate) struct Errands {
    due: bool,
    /// A turn was answered since it last worked off some, or there were none then: they come before the next.
    first: bool,
    /// Some were worked off, and nobody has said since that there are no more.
    under_way: bool,
    /// The database refuses to have them worked off.
    refused: bool,
    /// When there were some last.
    seen_at: Option<Instant>,
    /// Until then they are left alone.
    rests_until: Option<Instant>,
}

impl Errands {
    /// A survey says whether there are any.
    pub(crate) fn surveyed(&mut self, errands: bool, now: Instant) {
        if errands {
            self.found(now);
        } else {
            self.due = false;
        }
    }

    /// A turn was answered: its ends made jobs ready, or left errands behind, or neither.
    pub(crate) fn turned(&mut self, readied: bool, more: bool, now: Instant) {
        self.first = true;
        if readied {
            self.seen_at = Some(now);
        }
        if more {
            self.found(now);
        }
    }

    /// A handler's own transaction wrote an end. Whoever has seen errands lately looks whether it left any.
    pub(crate) fn ended_elsewhere(&mut self, now: Instant) {
        if self.are_expected(now) {
            self.first |= !self.due;
            self.due = true;
        }
    }

    /// A batch is being worked off.
    pub(crate) fn working_off(&mut self) {
        self.first = false;
    }

    /// So many were worked off. Whether they were the last of some; where others are at it, there is nothing to do.
    pub(crate) fn worked_off(&mut self, errands: u64, more: bool, now: Instant) -> bool {
        self.refused = false;
        self.due = more;
        if errands > 0 {
            self.under_way = true;
            self.seen_at = Some(now);
        }
        !more && std::mem::take(&mut self.under_way)
    }

    /// They are left alone until then; turns go on.
    pub(crate) fn rest(&mut self, until: Instant) {
        self.rests_until = Some(until);
    }

    /// Until when they are left alone, where there are any.
    pub(crate) fn rests_until(&self) -> Option<Instant> {
        self.rests_until.filter(|_| self.due)
    }

    /// The database refuses it, and would however often it is asked.
    pub(crate) fn refused(&mut self) {
        self.due = false;
        self.refused = true;
    }

    /// Whether there are any to work off now.
    pub(crate) fn are_due(&self, now: Instant) -> bool {
        self.due && self.rests_until.is_none_or(|until| until <= now)
    }

    /// Whether they come before the next turn: what is ready has waited for them, but they never put off ends and
    /// claims for longer than one batch takes.
    pub(crate) fn come_first(&self) -> bool {
        self.first
    }

    /// Whether the next end may well make another job ready. Only then is a claim sent with it for whatever that may
    /// be, so that it costs nothing where no job waits for another.
    pub(crate) fn are_expected(&self, now: Instant) -> bool {
        self.seen_at.is_some_and(|at| now.saturating_duration_since(at) < MEMORY)
    }

    /// Whether a worker that goes on until all is done has to see to them first.
    pub(crate) fn may_ready_more(&self) -> bool {
        self.due && !self.refused
    }

    fn found(&mut self, now: Instant) {
        self.first |= !self.due;
        self.due = true;
        self.seen_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLL: Duration = Duration::from_secs(2);

    #[test]
    fn a_batch_is_followed_soon_while_there_are_more() {
        assert!(pause(&WorkedOff { more: true, ..WorkedOff::default() }, POLL) <= BETWEEN_BATCHES.mul_f64(1.25));
        let pause = pause(&WorkedOff::default(), POLL);
        assert!(pause >= POLL.mul_f64(0.75) && pause <= POLL.mul_f64(1.25));
    }

    #[test]
    fn between_two_batches_there_may_be_a_turn() {
        let (mut errands, now) = (Errands::default(), Instant::now());
        errands.surveyed(true, now);
        assert!(errands.are_due(now) && errands.come_first());
        errands.working_off();
        assert!(!errands.worked_off(9, true, now));
        errands.surveyed(true, now);
        assert!(errands.are_due(now) && !errands.come_first(), "a survey that finds the same ones is no turn");
        errands.turned(false, false, now);
        assert!(errands.are_due(now) && errands.come_first());
    }

    #[test]
    fn who_has_seen_none_expects_none_and_who_has_does_so_for_a_while() {
        let (mut errands, now) = (Errands::default(), Instant::now());
        errands.ended_elsewhere(now);
        errands.turned(false, false, now);
        assert!(!errands.are_due(now) && !errands.are_expected(now));
        errands.turned(true, false, now);
        assert!(errands.are_expected(now) && !errands.are_expected(now + MEMORY));
        errands.ended_elsewhere(now);
        assert!(errands.are_due(now) && errands.come_first());
    }

    #[test]
    fn the_last_of_some_is_told_once_and_what_others_are_at_is_not_waited_for() {
        let (mut errands, now) = (Errands::default(), Instant::now());
        assert!(!errands.worked_off(0, false, now));
        assert!(!errands.worked_off(3, true, now) && errands.worked_off(0, false, now));
        assert!(!errands.worked_off(0, false, now));
        assert!(errands.worked_off(1, false, now));
    }

    #[test]
    fn what_the_database_refuses_keeps_no_worker_from_ending() {
        let (mut errands, now) = (Errands::default(), Instant::now());
        errands.surveyed(true, now);
        assert!(errands.may_ready_more());
        errands.refused();
        errands.surveyed(true, now);
        assert!(errands.are_due(now) && !errands.may_ready_more(), "it is tried again all the same");
        errands.worked_off(1, false, now);
        errands.surveyed(true, now);
        assert!(errands.may_ready_more());
    }
}
