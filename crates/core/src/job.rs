//! A job as the engine sees it: where it waits, what it has been through, and what a claim hands over.

use serde::{Deserialize, Serialize};

use crate::backoff::bounded;
use crate::{Counts, Expiry, JobId, Moment, Options, StoredOptions, Token, WorkerId};

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

/// Where to claim next among the jobs of one lane with one priority, which are in order of (deadline, id): how far claims
/// have come there is its watermark.
///
/// A claim looks behind the watermark only, so that it never walks over what earlier claims left dead in the
/// index. The watermark is a hint of this process: a survey resets it, so nothing before it is missed for long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimCursor {
    /// The lane it belongs to.
    #[serde(flatten)]
    pub lane: Lane,
    /// -100 to 100; larger is claimed first.
    pub priority: i16,
    /// Deadline of the watermark. After a survey: of the first job.
    pub deadline: Moment,
    /// Id of the watermark; `None` when the job at `deadline` is still to be claimed.
    pub id: Option<JobId>,
}

/// How often a job met code that its arguments or options do not fit, since it was enqueued or last retried by hand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Misfits {
    /// Attempts that ended so.
    pub count: u32,
    /// When the first of them did.
    pub first_at: Option<Moment>,
}

/// How long a job holds its unique key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UniqueUntil {
    /// Until it is claimed; again when it comes back without having started.
    #[default]
    Started,
    /// Whenever it waits, unless another has taken it meanwhile.
    EachStart,
    /// Until it has ended.
    Finished,
    /// Until it is forgotten.
    Pruned,
}

impl UniqueUntil {
    /// The word stored in the database.
    pub fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::EachStart => "each_start",
            Self::Finished => "finished",
            Self::Pruned => "pruned",
        }
    }
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
    /// The job's place in the order of its lane and priority.
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
    /// How often it did not fit before.
    pub misfits: Misfits,
    /// Positional arguments: a JSON array, passed on unread.
    pub args: String,
    /// Keyword arguments: a JSON object, passed on unread.
    pub kwargs: String,
    /// The options that were stored with the job.
    pub stored_options: StoredOptions,
    /// Who claimed it.
    pub worker_id: WorkerId,
}

impl Claimed {
    /// What the engine itself reads of the job's options.
    pub fn options(&self) -> &Options {
        self.stored_options.read()
    }

    /// A number in 0..1 that is this attempt's own: what jitter rolls, so that decisions stay pure.
    pub fn roll(&self) -> f64 {
        // SplitMix64's finalizer spreads the bits of an id whose neighbours were made in the same millisecond.
        let (high, low) = self.id.0.as_u64_pair();
        let mut bits = high ^ low ^ self.token.0.cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        f64::from(u32::try_from((bits ^ (bits >> 31)) >> 32).unwrap_or(0)) / 4_294_967_296.0
    }

    /// Whether it was claimed when it was too old to start, by the database's clock. One that has started before, and is
    /// tried again, does not expire any more.
    pub fn is_expired(&self) -> bool {
        match &self.options().expires {
            None => false,
            Some(_) if self.started_at.is_some() => false,
            Some(Expiry::At(moment)) => *moment <= self.claimed_at,
            Some(Expiry::After(seconds)) => {
                let limit = bounded(*seconds).as_micros();
                self.claimed_at.since(&self.enqueued_at).is_some_and(|age| age.as_micros() >= limit)
            }
        }
    }

    /// Started runs that count so far, this one included: Django's `attempts`. One that a stop has cut short does not.
    pub fn attempt_number(&self) -> u32 {
        let before = self.counts;
        before.failures + before.crashes + before.losses + 1
    }
}
