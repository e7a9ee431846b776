//! A job as the engine sees it: where it waits, what it has been through, and what a claim hands over.

use serde::{Deserialize, Serialize};

use crate::{JobId, Moment, Options, Token};

/// Where ready jobs queue up. A claim visits only lanes that its worker serves, so the jobs of unknown
/// tasks and other queues cost nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lane {
    /// The `TASKS` alias that the job was enqueued through.
    pub backend: String,
    /// Django's `queue_name`.
    pub queue_name: String,
    /// The registered task's name: its module path.
    pub task_name: String,
}

/// The jobs of one lane with one priority, in order of (deadline, id); and how far claims have come in it.
///
/// A claim looks behind the mark only, so that it never walks over what earlier claims left dead in the
/// index. The mark is a hint of this process: a survey resets it, so nothing before it is missed for long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Band {
    /// The lane it belongs to.
    #[serde(flatten)]
    pub lane: Lane,
    /// -100 to 100; larger is claimed first.
    pub priority: i16,
    /// Deadline of the mark. After a survey: of the first job.
    pub deadline: Moment,
    /// Id of the mark; `None` when the job at `deadline` is still to be claimed.
    pub id: Option<JobId>,
}

/// What a job has been through since it was enqueued or last retried by hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Attempts that ended with an error, a timeout, a memory limit or a bad result.
    pub failures: u32,
    /// Attempts in a row that killed their runner.
    pub crashes: u32,
    /// Attempts lost together with their worker.
    pub losses: u32,
    /// Times the handler postponed itself.
    pub postpones: u32,
    /// Attempts cut short by a worker that had to stop.
    pub interruptions: u32,
}

/// A job that this worker has claimed and not yet ended: its open attempt. Only this can be finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The job.
    pub id: JobId,
    /// Fences every write made for this attempt.
    pub token: Token,
    /// Where it came from.
    pub lane: Lane,
    /// -100 to 100.
    pub priority: i16,
    /// Its place in the order of its band.
    pub deadline: Moment,
    /// The date it was asked to run after, if any.
    pub run_after: Option<Moment>,
    /// When it was asked for.
    pub enqueued_at: Moment,
    /// When this attempt was claimed.
    pub claimed_at: Moment,
    /// When its first attempt started; none before.
    pub started_at: Option<Moment>,
    /// Grows with every retry by hand.
    pub generation: u32,
    /// What it has been through before this attempt.
    pub counts: Counts,
    /// Positional arguments: a JSON array, passed on unread.
    pub args: String,
    /// Keyword arguments: a JSON object, passed on unread.
    pub kwargs: String,
    /// Options persisted with the job, as the JSON object that was stored.
    pub options_json: Option<String>,
}

impl Claimed {
    /// What the engine itself reads of the job's options.
    pub fn options(&self) -> Options {
        self.options_json.as_deref().and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
    }

    /// Started runs that count so far, this one included: Django's `attempts`.
    pub fn attempt_number(&self) -> u32 {
        let before = self.counts;
        before.failures + before.crashes + before.losses + before.interruptions + 1
    }
}
