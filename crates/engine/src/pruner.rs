//! Forgets finished jobs whose time is over.

use std::time::Duration;

use gristmill_store::Result;
use tracing::debug;

use crate::Sessions;
use crate::link::{Link, within};

/// Jobs forgotten in one statement: it holds SQLite's only write lock for some milliseconds.
pub(crate) const BATCH: u32 = 500;
/// No result vanishes under the hands of who is waiting for it.
const SHORTEST_RETENTION: Duration = Duration::from_mins(1);
/// Wait when there was nothing left to forget.
const PAUSE: Duration = Duration::from_mins(1);
/// Bounds of the wait between two batches.
const BETWEEN_BATCHES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Forgets one batch and says how many jobs that were.
pub(crate) async fn prune<S: Sessions>(link: &mut Link<S>, retention: Duration) -> Result<u64> {
    let deadline = link.deadline();
    let retention = retention.max(SHORTEST_RETENTION);
    let answer = match link.session().await {
        Ok(session) => within(deadline, session.prune(retention, BATCH)).await,
        Err(error) => Err(error),
    };
    let pruned = link.judge(answer)?;
    if pruned > 0 {
        debug!(target: "gristmill::pruner", pruned, "pruned");
    }
    Ok(pruned)
}

/// When to look again. Full batches follow each other at half speed at most: twice the time that the last one `took`
/// belongs to everybody else.
pub(crate) fn pause(pruned: u64, took: Duration) -> Duration {
    let pause = if pruned >= u64::from(BATCH) { (took * 2).clamp(BETWEEN_BATCHES.0, BETWEEN_BATCHES.1) } else { PAUSE };
    // Jitter, so that the workers of a fleet do not all come at once.
    pause.mul_f64(0.75 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_batch_is_followed_soon_and_never_without_a_pause() {
        for took in [Duration::ZERO, Duration::from_millis(50), Duration::from_mins(5)] {
            let pause = pause(BATCH.into(), took);
            assert!(pause >= BETWEEN_BATCHES.0.mul_f64(0.75) && pause <= BETWEEN_BATCHES.1.mul_f64(1.25), "{pause:?}");
        }
    }

    #[test]
    fn with_nothing_left_it_looks_about_once_a_minute() {
        for pruned in [0, 499] {
            assert!(pause(pruned, Duration::ZERO) >= PAUSE.mul_f64(0.75));
        }
    }
}
