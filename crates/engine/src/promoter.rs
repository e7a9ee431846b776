//! Moves scheduled jobs to ready when their date has come.

use std::time::Duration;

use gristmill_store::{Promoted, Result};
use tracing::debug;

use crate::Sessions;
use crate::link::{Link, within};

/// Jobs moved in one transaction: enough for a full day's burst to take seconds, few enough to lock briefly.
pub(crate) const BATCH: u32 = 1_000;

/// Moves one batch and says how it went.
pub(crate) async fn promote<S: Sessions>(link: &mut Link<S>) -> Result<Promoted> {
    let deadline = link.deadline();
    let answer = match link.session().await {
        Ok(session) => within(deadline, session.promote(BATCH)).await,
        Err(error) => Err(error),
    };
    let promoted = link.judge(answer)?;
    if promoted.moved > 0 {
        debug!(target: "gristmill::promoter", moved = promoted.moved, "promoted");
    }
    Ok(promoted)
}

/// When to look again: at once after a full batch, else when the next job is due or after the poll interval.
pub(crate) fn pause(promoted: &Promoted, poll_interval: Duration) -> Duration {
    if promoted.moved >= u64::from(BATCH) {
        return Duration::ZERO;
    }
    // Others may schedule something earlier meanwhile, and several workers should not all come at once.
    let poll = poll_interval.mul_f64(0.75 + fastrand::f64() / 2.0);
    match promoted.next_due {
        Some(due) => due.max(SHORTEST_PAUSE).min(poll),
        None => poll,
    }
}

/// What is due now may be locked by another worker that is moving it.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    const POLL: Duration = Duration::from_secs(2);

    #[test]
    fn a_full_batch_is_followed_at_once() {
        assert_eq!(pause(&Promoted { moved: 1_000, next_due: Some(Duration::ZERO) }, POLL), Duration::ZERO);
    }

    #[test]
    fn it_sleeps_until_the_next_job_is_due_but_no_longer_than_the_poll_interval() {
        let soon = Duration::from_millis(300);
        assert_eq!(pause(&Promoted { moved: 1, next_due: Some(soon) }, POLL), soon);
        assert_eq!(pause(&Promoted { moved: 0, next_due: Some(Duration::ZERO) }, POLL), SHORTEST_PAUSE);
        for next_due in [None, Some(Duration::from_hours(1))] {
            assert!(pause(&Promoted { moved: 0, next_due }, POLL) <= POLL.mul_f64(1.25));
        }
    }
}
