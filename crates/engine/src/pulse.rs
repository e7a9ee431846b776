//! The worker's part of the pulse: what is counted as ends are accepted, and appended once a minute; how deep the queues are; and
//! what old counts are folded to.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use gristmill_core::{Attempt, Pulse, PulseId};
use gristmill_store::{PulseRow, Result};
use tracing::debug;

use crate::link::{Link, within};
use crate::{Sessions, clock};

/// Old rows that are put together in one transaction: it holds SQLite's only write lock for some milliseconds.
const BATCH: u32 = 1_000;
/// Wait when there was nothing more to put together.
const PAUSE: Duration = Duration::from_mins(1);
/// Bounds of the wait between two batches.
const BETWEEN_BATCHES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Counts are appended so soon after a minute of the database's has begun, each worker at a moment of its own.
const INTO_THE_MINUTE: (f64, f64) = (0.2, 3.0);

/// What has been counted and not appended. Loops of one worker share it.
pub(crate) struct Counter(Mutex<Counting>);

struct Counting {
    pulse: Pulse,
    since: Instant,
    /// Sent before, and not known to be written: the same rows are sent again, so that they count once.
    sending: Option<(Vec<PulseRow>, Instant)>,
}

impl Counter {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Counting { pulse: Pulse::default(), since: clock::now(), sending: None }))
    }

    /// Counts an attempt whose end the database has accepted; see [`Pulse::count`].
    pub(crate) fn count(&self, attempt: &Attempt, took: Option<Duration>, cancelled: bool) {
        self.lock().pulse.count(attempt, took, cancelled);
    }

    /// What is to be appended, and how long ago the middle of the time was in which it was counted.
    fn send(&self) -> (Vec<PulseRow>, Duration) {
        let (mut counting, now) = (self.lock(), clock::now());
        if counting.sending.is_none() {
            let middle = counting.since + now.saturating_duration_since(counting.since) / 2;
            counting.since = now;
            let tallies = std::mem::take(&mut counting.pulse).into_tallies();
            let rows = tallies.into_iter().map(|(beat, tally)| PulseRow { id: PulseId::new(), beat, tally });
            counting.sending = Some((rows.collect(), middle));
        }
        let (rows, middle) = counting.sending.as_ref().expect("was filled above");
        (rows.clone(), now.saturating_duration_since(*middle))
    }

    fn sent(&self) {
        self.lock().sending = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Appends what has been counted; what the database refuses is given up, so that it does not stand in the way of what
/// comes after it.
pub(crate) async fn append<S: Sessions>(link: &mut Link<S>, counter: &Counter) -> Result<u64> {
    let deadline = link.deadline();
    let (rows, age) = counter.send();
    if rows.is_empty() {
        counter.sent();
        return Ok(0);
    }
    let answer = match link.session().await {
        Ok(session) => within(deadline, session.append_pulse(&rows, age)).await,
        Err(error) => Err(error),
    };
    let answer = link.judge(answer);
    if matches!(answer, Ok(()) | Err(gristmill_store::Error::Refused(_))) {
        counter.sent();
    }
    answer.map(|()| rows.len() as u64)
}

/// Writes how deep the queues are, if nobody has in this minute. Gives how long to leave both alone: until a little after
/// the database's next minute has begun.
pub(crate) async fn sample<S: Sessions>(link: &mut Link<S>) -> Result<Duration> {
    let deadline = link.deadline();
    let answer = match link.session().await {
        Ok(session) => within(deadline, session.sample_depth()).await,
        Err(error) => Err(error),
    };
    let (soonest, latest) = INTO_THE_MINUTE;
    let into = Duration::from_secs_f64(soonest + fastrand::f64() * (latest - soonest));
    link.judge(answer).map(|sampled| sampled.left + into)
}

/// Puts a batch of old rows together, and forgets what is too old. Gives how many it took.
pub(crate) async fn fold<S: Sessions>(link: &mut Link<S>) -> Result<u64> {
    let deadline = link.deadline();
    let answer = match link.session().await {
        Ok(session) => within(deadline, session.fold_pulse(BATCH)).await,
        Err(error) => Err(error),
    };
    let folded = link.judge(answer)?;
    let answer = match link.session().await {
        Ok(session) => within(deadline, session.prune_pulse(BATCH)).await,
        Err(error) => Err(error),
    };
    let pruned = link.judge(answer)?;
    if folded + pruned > 0 {
        debug!(target: "gristmill::pulse", folded, pruned, "folded");
    }
    Ok(folded.max(pruned))
}

/// When to fold again, after a batch that took so long; see [`crate::pruner::pause`].
pub(crate) fn pause(folded: u64, took: Duration) -> Duration {
    let is_full = folded >= u64::from(BATCH);
    let pause = if is_full { (took * 2).clamp(BETWEEN_BATCHES.0, BETWEEN_BATCHES.1) } else { PAUSE };
    pause.mul_f64(0.75 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use gristmill_core::{Claimed, Counts, JobId, Lane, Misfits, Moment, Outcome, StoredOptions, Token, WorkerId};

    use super::*;

    fn attempt() -> Attempt {
        let moment = Moment::from_unix_micros(0);
        let claimed = Claimed {
            id: JobId::new(),
            token: Token(1),
            lane: Lane { backend: "default".into(), queue_name: "mail".into(), task_name: "send".into() },
            priority: 0,
            deadline: moment.clone(),
            run_after: None,
            enqueued_at: moment.clone(),
            claimed_at: moment,
            started_at: None,
            generation: 1,
            counts: Counts::default(),
            misfits: Misfits::default(),
            args: "[]".into(),
            kwargs: "{}".into(),
            stored_options: StoredOptions::default(),
            worker_id: WorkerId::new(),
        };
        Attempt::unstarted(claimed, Outcome::Successful { return_value: "null".into() })
    }

    #[test]
    fn what_is_not_known_to_be_written_is_sent_again_as_it_was_and_what_is_counted_meanwhile_after_it() {
        let counter = Counter::new();
        counter.count(&attempt(), None, false);
        let (first, _) = counter.send();
        counter.count(&attempt(), None, false);
        counter.count(&attempt(), None, false);

        assert_eq!((first.len(), first[0].tally.attempts), (1, 1));
        assert_eq!(counter.send().0, first, "nobody has said that it was written");
        counter.sent();
        let (second, _) = counter.send();
        assert_eq!(second[0].tally.attempts, 2);
        assert_ne!(second[0].id, first[0].id);
        counter.sent();
        assert!(counter.send().0.is_empty());
    }

    #[test]
    fn full_batches_follow_each_other_with_a_pause_between() {
        for took in [Duration::ZERO, Duration::from_mins(5)] {
            let pause = pause(BATCH.into(), took);
            assert!(pause >= BETWEEN_BATCHES.0.mul_f64(0.75) && pause <= BETWEEN_BATCHES.1.mul_f64(1.25), "{pause:?}");
        }
        assert!(pause(0, Duration::ZERO) >= PAUSE.mul_f64(0.75));
    }
}
