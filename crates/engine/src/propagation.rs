//! Carries out propagations: takes what became of a job to the jobs that wait for it, in short transactions.
//!
//! Maintenance does so at its own pace. The dispatcher does as soon as it knows of some, so that what waits for its own jobs
//! starts at once; what it knows is in [`Propagations`], which is pure.

use std::time::{Duration, Instant};

use gristmill_store::{Moved, Propagated, Result, Session};
use tracing::{debug, warn};

use crate::Sessions;
use crate::link::{Link, within};

/// Jobs that one transaction evaluates at most: it locks them, and holds SQLite's only write lock.
pub(crate) const BATCH: u32 = 1_000;
/// A worker whose ends made other jobs ready is prepared for so long that they do so again.
const MEMORY: Duration = Duration::from_mins(10);

/// Maintenance's pause between two batches.
const BETWEEN_BATCHES: Duration = Duration::from_millis(50);
/// Longest breath after a batch.
const LONGEST_BREATH: Duration = Duration::from_millis(50);

/// Carries out one batch and says how it went.
pub(crate) async fn propagate<S: Sessions>(link: &mut Link<S>) -> Result<Propagated> {
    let deadline = link.deadline();
    let answer = match link.session().await {
        Ok(session) => within(deadline, batch(session)).await,
        Err(error) => Err(error),
    };
    let (propagated, breath) = link.judge(answer)?;
    tell(&propagated);
    tokio::time::sleep(breath).await;
    Ok(propagated)
}

/// One batch, and how long to leave propagations alone then: on SQLite twice the time that it took while there are
/// more, because who waits for the one write lock only looks now and then whether it is free.
pub(crate) async fn batch(session: &mut Session) -> Result<(Propagated, Duration)> {
    let began = Instant::now();
    let propagated = session.propagate(BATCH).await?;
    let breathes = propagated.more && !session.dialect().has_row_locks();
    let breath = if breathes { (began.elapsed() * 2).min(LONGEST_BREATH) } else { Duration::ZERO };
    Ok((propagated, breath))
}

/// What that did, for people.
pub(crate) fn tell(propagated: &Propagated) {
    let propagations = propagated.propagations;
    let Moved { readied, scheduled, taken_back, stranded, healed, failed, .. } = propagated.moved;
    tell_failed(failed);
    if propagations > 0 {
        debug!(
            target: "gristmill::propagation", propagations, readied, scheduled, taken_back, stranded, healed, failed,
            "propagated"
        );
    }
}

/// What the ends of a turn did to the jobs that wait for them, for people.
pub(crate) fn tell_moved(moved: &Moved) {
    let Moved { readied, scheduled, taken_back, stranded, healed, failed, .. } = *moved;
    tell_failed(failed);
    if readied + scheduled + taken_back + stranded + healed + failed > 0 {
        debug!(target: "gristmill::dispatcher", readied, scheduled, taken_back, stranded, healed, failed, "notified");
    }
}

fn tell_failed(failed: u64) {
    if failed > 0 {
        warn!(
            target: "gristmill::propagation", failed,
            "failed: jobs whose preconditions failed, or that waited for themselves"
        );
    }
}

/// When to look again: soon while there are more, as a dispatcher that has room is at them too; else after the poll interval.
pub(crate) fn pause(propagated: &Propagated, poll_interval: Duration) -> Duration {
    let pause = if propagated.more { BETWEEN_BATCHES.min(poll_interval) } else { poll_interval };
    // Jitter, so that the workers of a fleet do not all come at once.
    pause.mul_f64(0.75 + fastrand::f64() / 2.0)
}

/// What the dispatcher knows of propagations, and whether to expect any.
// Independent facts, not a state machine in disguise.
#[allow(clippy::struct_excessive_bools)]
#[derive(Default)]
pub(crate) struct Propagations {
    due: bool,
    /// A turn was answered since it last carried out some, or there were none then: they come before the next.
    first: bool,
    /// Some were carried out, and nobody has said since that there are no more.
    under_way: bool,
    /// The database refuses to have them carried out.
    refused: bool,
    /// When there were some last.
    seen_at: Option<Instant>,
    /// Until then they are left alone.
    rests_until: Option<Instant>,
}

impl Propagations {
    /// A survey says whether there are any.
    pub(crate) fn surveyed(&mut self, propagations: bool, now: Instant) {
        if propagations {
            self.found(now);
        } else {
            self.due = false;
        }
    }

    /// A turn was answered: its ends made jobs ready, or left propagations behind, or neither.
    pub(crate) fn turned(&mut self, readied: bool, more: bool, now: Instant) {
        self.first = true;
        if readied {
            self.seen_at = Some(now);
        }
        if more {
            self.found(now);
        }
    }

    /// A handler's own transaction wrote an end. Whoever has seen propagations lately looks whether it left any.
    pub(crate) fn ended_elsewhere(&mut self, now: Instant) {
        if self.are_expected(now) {
            self.first |= !self.due;
            self.due = true;
        }
    }

    /// A batch is being carried out.
    pub(crate) fn propagating(&mut self) {
        self.first = false;
    }

    /// So many were carried out. Whether they were the last of some; where others are at it, there is nothing to do.
    pub(crate) fn propagated(&mut self, propagations: u64, more: bool, now: Instant) -> bool {
        self.refused = false;
        self.due = more;
        if propagations > 0 {
            self.under_way = true;
            self.seen_at = Some(now);
        }
        !more && std::mem::take(&mut self.under_way)
    }

    /// Propagations are left alone until then; turns go on.
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

    /// Whether there are any to carry out now.
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

    /// Whether they come to nothing, so that nobody waits for what they would bring.
    pub(crate) fn are_refused(&self) -> bool {
        self.refused
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
        assert!(pause(&Propagated { more: true, ..Propagated::default() }, POLL) <= BETWEEN_BATCHES.mul_f64(1.25));
        let pause = pause(&Propagated::default(), POLL);
        assert!(pause >= POLL.mul_f64(0.75) && pause <= POLL.mul_f64(1.25));
    }

    #[test]
    fn between_two_batches_there_may_be_a_turn() {
        let (mut propagations, now) = (Propagations::default(), Instant::now());
        propagations.surveyed(true, now);
        assert!(propagations.are_due(now) && propagations.come_first());
        propagations.propagating();
        assert!(!propagations.propagated(9, true, now));
        propagations.surveyed(true, now);
        assert!(
            propagations.are_due(now) && !propagations.come_first(),
            "a survey that finds the same ones is no turn"
        );
        propagations.turned(false, false, now);
        assert!(propagations.are_due(now) && propagations.come_first());
    }

    #[test]
    fn who_has_seen_none_expects_none_and_who_has_does_so_for_a_while() {
        let (mut propagations, now) = (Propagations::default(), Instant::now());
        propagations.ended_elsewhere(now);
        propagations.turned(false, false, now);
        assert!(!propagations.are_due(now) && !propagations.are_expected(now));
        propagations.turned(true, false, now);
        assert!(propagations.are_expected(now) && !propagations.are_expected(now + MEMORY));
        propagations.ended_elsewhere(now);
        assert!(propagations.are_due(now) && propagations.come_first());
    }

    #[test]
    fn the_last_of_some_is_told_once_and_what_others_are_at_is_not_waited_for() {
        let (mut propagations, now) = (Propagations::default(), Instant::now());
        assert!(!propagations.propagated(0, false, now));
        assert!(!propagations.propagated(3, true, now) && propagations.propagated(0, false, now));
        assert!(!propagations.propagated(0, false, now));
        assert!(propagations.propagated(1, false, now));
    }

    #[test]
    fn what_the_database_refuses_keeps_no_worker_from_ending() {
        let (mut propagations, now) = (Propagations::default(), Instant::now());
        propagations.surveyed(true, now);
        assert!(propagations.may_ready_more());
        propagations.refused();
        propagations.surveyed(true, now);
        assert!(propagations.are_due(now) && !propagations.may_ready_more(), "it is tried again all the same");
        propagations.propagated(1, false, now);
        propagations.surveyed(true, now);
        assert!(propagations.may_ready_more());
    }
}
