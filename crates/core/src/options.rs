//! What a job was asked to do beyond its arguments, as far as the engine decides by it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Backoff, Moment, OnFailure};

/// How often a job that postpones itself may do so, unless its options say otherwise.
pub const MAX_POSTPONES: u32 = 100;
/// How long a job that postpones itself without a date waits, unless its options say otherwise.
pub const POSTPONE_DELAY: f64 = 5.0;

/// Per-task options as persisted on the job: a JSON object in which what is the default is left out. Unknown
/// keys belong to someone else and are left alone. All durations are seconds.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct Options {
    /// The handler takes a context as its first argument.
    pub takes_context: bool,
    /// The handler's writes and the job's end are one commit.
    pub transactional: bool,
    /// Attempts that may fail before the job does; `None` is no bound.
    pub max_attempts: Option<u32>,
    /// How long to wait between two attempts.
    pub backoff: Backoff,
    /// Classes of exceptions, by `module.qualname`, that are tried again; `None` is `builtins.Exception`.
    pub retry_on: Option<Vec<String>>,
    /// What a run that was cut short means.
    pub on_crash: OnCrash,
    /// How long an attempt may run.
    pub timeout: Option<f64>,
    /// How much memory its runner may use, in MiB.
    pub max_memory_mb: Option<u64>,
    /// Not started by then, it fails.
    pub expires: Option<Expiry>,
    /// How long its result is kept; `None` is as long as the worker says.
    pub retention: Option<f64>,
    /// How often it may postpone itself; `None` is no bound.
    pub max_postpones: Option<u32>,
    /// How long it waits when it postpones itself without a date.
    pub postpone_delay: f64,
    /// How many of the jobs that it waits for have to be done; `None` is all of them.
    pub needed: Option<u32>,
    /// What becomes of it when too many of them have failed.
    pub on_failure: OnFailure,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            takes_context: false,
            transactional: false,
            max_attempts: Some(1),
            backoff: Backoff::default(),
            retry_on: None,
            on_crash: OnCrash::Rerun,
            timeout: None,
            max_memory_mb: None,
            expires: None,
            retention: None,
            max_postpones: Some(MAX_POSTPONES),
            postpone_delay: POSTPONE_DELAY,
            needed: None,
            on_failure: OnFailure::Strand,
        }
    }
}

impl Options {
    /// The limit on an attempt's time, where there is one that makes sense.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).filter(|limit| !limit.is_zero())
    }
}

/// What a run that was cut short means: by a crash, a lost worker, or a worker that had to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnCrash {
    /// It runs again.
    #[default]
    Rerun,
    /// It fails: its effects must never happen twice.
    Fail,
}

/// When a job is too old to start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Expiry {
    /// Seconds after it was asked for.
    After(f64),
    /// A moment of the database's clock.
    At(Moment),
}
