//! The pulse: what became of attempts, counted by the minute, and how long they waited and ran, in buckets. Pure.
//!
//! Rows of jobs are pruned, so they cannot be counted afterwards; these counts stay.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Attempt, Claimed, Lane, Next, Outcome, decide};

/// Upper bounds of the buckets, in milliseconds; what is longer than the last is in one more. `inspect/pulse.py` reads by
/// the same.
pub const BOUNDS_MS: [u64; 25] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 60_000, 120_000, 300_000, 600_000,
    1_200_000, 3_600_000, 7_200_000, 14_400_000, 28_800_000, 43_200_000, 86_400_000,
];
const BUCKETS: usize = BOUNDS_MS.len() + 1;
/// Different (backend, queue, task) that are counted by themselves between two appends; what comes beyond is counted
/// together, under empty names.
pub const LANES: usize = 250;

/// How many durations fell into which bucket, and their sum.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    buckets: [u64; BUCKETS],
    /// Of all of them.
    pub seconds: f64,
}

impl Histogram {
    /// Takes a duration in.
    pub fn add(&mut self, duration: Duration) {
        let millis = duration.as_nanos().div_ceil(1_000_000);
        let bucket = BOUNDS_MS.partition_point(|bound| u128::from(*bound) < millis);
        self.buckets[bucket] = self.buckets[bucket].saturating_add(1);
        self.seconds += duration.as_secs_f64();
    }

    /// Takes in what another has.
    pub fn merge(&mut self, other: &Self) {
        for (mine, others) in self.buckets.iter_mut().zip(other.buckets) {
            *mine = mine.saturating_add(others);
        }
        self.seconds += other.seconds;
    }

    /// As persisted: a JSON list up to the last bucket that has any; none where there are none.
    pub fn stored(&self) -> Option<String> {
        let used = self.buckets.iter().rposition(|count| *count > 0)? + 1;
        serde_json::to_string(&self.buckets[..used]).ok()
    }

    /// Reads what was persisted; of what is no such list, nothing.
    pub fn read(stored: Option<&str>, seconds: f64) -> Self {
        let counts: Vec<u64> = stored.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let mut read = Self { seconds, ..Self::default() };
        read.buckets.iter_mut().zip(counts).for_each(|(bucket, count)| *bucket = count);
        read
    }
}

/// What counts are kept by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Beat {
    /// Where the jobs came from.
    #[serde(flatten)]
    pub lane: Lane,
    /// What became of the attempts: an outcome's word, but of those that failed `retried` where the job goes on.
    pub outcome: String,
}

/// How many attempts there were, how long they had been due when they started, and how long they ran.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Attempts.
    pub attempts: u64,
    /// From when they were due to their start, of those of which it is known.
    pub waits: Histogram,
    /// From their start to their end, of those that started.
    pub runs: Histogram,
}

impl Tally {
    /// Takes in what another has.
    pub fn merge(&mut self, other: &Self) {
        self.attempts = self.attempts.saturating_add(other.attempts);
        self.waits.merge(&other.waits);
        self.runs.merge(&other.runs);
    }
}

/// What one worker has counted since it last appended.
#[derive(Clone, Debug, Default)]
pub struct Pulse {
    lanes: HashMap<Lane, HashMap<&'static str, Tally>>,
}

impl Pulse {
    /// Counts an attempt whose end the database has accepted. `took` is the time from its claim; none for one that never
    /// started. `cancelled`: somebody's request has ended the job, whatever the attempt came to.
    pub fn count(&mut self, attempt: &Attempt, took: Option<Duration>, cancelled: bool) {
        let Some(word) = word(attempt, cancelled) else { return };
        let lane = &attempt.claimed.lane;
        let room = self.lanes.len() < LANES;
        let tallies = match self.lanes.get_mut(lane) {
            Some(tallies) => tallies,
            None => self.lanes.entry(if room { lane.clone() } else { other(lane) }).or_default(),
        };
        let tally = tallies.entry(word).or_default();
        tally.attempts += 1;
        if let Some(started_after) = attempt.started_after {
            if let Some(due) = waited(&attempt.claimed) {
                tally.waits.add(due + started_after);
            }
            tally.runs.add(took.unwrap_or_default().saturating_sub(started_after));
        }
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// What was counted, in order.
    pub fn into_tallies(self) -> Vec<(Beat, Tally)> {
        let tallies = self.lanes.into_iter().flat_map(|(lane, tallies)| {
            let beat = move |outcome: &str| Beat { lane: lane.clone(), outcome: outcome.to_owned() };
            tallies.into_iter().map(move |(outcome, tally)| (beat(outcome), tally))
        });
        let mut tallies: Vec<_> = tallies.collect();
        tallies.sort_by(|(left, _), (right, _)| left.cmp(right));
        tallies
    }
}

/// All lanes of a backend that have no place of their own.
fn other(lane: &Lane) -> Lane {
    Lane { backend: lane.backend.clone(), queue_name: String::new(), task_name: String::new() }
}

// What goes back as if nothing had happened is nothing.
fn word(attempt: &Attempt, cancelled: bool) -> Option<&'static str> {
    match &attempt.outcome {
        Outcome::HandedBack => None,
        _ if cancelled => Some("cancelled"),
        outcome @ Outcome::Failed { .. } => {
            let (_, next) = decide(&attempt.claimed, attempt.claimed.options(), outcome);
            Some(if matches!(next, Next::Finished { .. }) { outcome.word() } else { "retried" })
        }
        outcome => Some(outcome.word()),
    }
}

/// How long it had been due when it was claimed. Of one that was tried again at once nobody knows.
fn waited(claimed: &Claimed) -> Option<Duration> {
    let due = claimed.run_after.as_ref().map_or(&claimed.enqueued_at, |run_after| run_after.max(&claimed.enqueued_at));
    let is_known = claimed.started_at.as_ref().is_none_or(|first| due > first);
    is_known.then(|| claimed.claimed_at.since(due).unwrap_or_default())
}

#[cfg(test)]
mod tests;
