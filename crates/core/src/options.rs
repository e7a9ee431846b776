//! What a job was asked to do beyond its arguments, as far as the engine decides by it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Backoff, Moment, OnPreconditionFailure};

/// How often a job that postpones itself may do so, unless its options say otherwise.
pub const MAX_POSTPONES: u32 = 100;
/// How long a job that postpones itself without a date waits, unless its options say otherwise.
pub const POSTPONE_DELAY: f64 = 5.0;

/// How often a job is tried with code that its arguments do not fit, unless its options say otherwise.
pub const INCOMPATIBLE_TRIES: u32 = 20;
/// Seconds for which such a job is tried again at least.
pub const INCOMPATIBLE_FOR: f64 = 3_600.0;

/// Characters of a value that are shown where it cannot be read.
const SHOWN: usize = 60;

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
    /// How long its result is kept; `None` is as long as the worker says. A column of the job's own, which every end goes
    /// by: what the JSON says of it is for people.
    #[serde(skip)]
    pub retention: Option<f64>,
    /// How often it may postpone itself; `None` is no bound.
    pub max_postpones: Option<u32>,
    /// How long it waits when it postpones itself without a date.
    pub postpone_delay: f64,
    /// How often it is tried with code that its arguments or options do not fit; `None` is no bound.
    pub incompatible_tries: Option<u32>,
    /// Seconds for which such a job is tried again at least.
    pub incompatible_for: f64,
    /// How many of the jobs that it waits for have to be done; `None` is all of them.
    pub needed: Option<u32>,
    /// What becomes of it when too many of them have failed.
    pub on_precondition_failure: OnPreconditionFailure,
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
            incompatible_tries: Some(INCOMPATIBLE_TRIES),
            incompatible_for: INCOMPATIBLE_FOR,
            needed: None,
            on_precondition_failure: OnPreconditionFailure::Strand,
        }
    }
}

impl Options {
    /// The limit on an attempt's time, where there is one that makes sense.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).filter(|limit| !limit.is_zero())
    }
}

/// Options as they were stored with a job, read once. Which of them somebody else has written is not known: what cannot
/// be read is no default, so who holds a claim asks [`StoredOptions::unreadable`] before anything starts.
#[derive(Clone, Debug, Default)]
pub struct StoredOptions {
    json: Option<String>,
    read: Options,
    unreadable: Option<String>,
}

impl StoredOptions {
    /// Reads a JSON object; `None` is all defaults.
    pub fn of(json: Option<String>) -> Self {
        let Some(text) = &json else { return Self::default() };
        let (read, unreadable) = match serde_json::from_str(text) {
            // A list would do for an object too.
            Ok(read) if text.trim_start().starts_with('{') => (read, None),
            Ok(_) => as_far_as_possible(text, None),
            Err(error) => as_far_as_possible(text, Some(&error)),
        };
        Self { json, read, unreadable }
    }

    /// The JSON object that was stored.
    pub fn json(&self) -> Option<&str> {
        self.json.as_deref()
    }

    /// What the engine reads of it. Where something cannot be read this is the rest; and where that may be what a run
    /// that was cut short means, it must not happen twice.
    pub fn read(&self) -> &Options {
        &self.read
    }

    /// The same with the retention that the job's row has.
    #[must_use]
    pub fn kept_for(mut self, retention: Option<f64>) -> Self {
        self.read.retention = retention;
        self
    }

    /// The same for a job of which something else cannot be read that it must not start without. Whether a run that was
    /// cut short may happen again is not known either, so it must not.
    #[must_use]
    pub fn beside_unreadable(mut self, why: String) -> Self {
        self.unreadable.get_or_insert(why);
        self.read.on_crash = OnCrash::Fail;
        self
    }

    /// What cannot be read, by its key, and why: the job must not start here.
    pub fn unreadable(&self) -> Option<&str> {
        self.unreadable.as_deref()
    }
}

/// The JSON says it all.
impl PartialEq for StoredOptions {
    fn eq(&self, other: &Self) -> bool {
        self.json == other.json
    }
}

impl Eq for StoredOptions {}

// Option by option: what can be read is, and the first that cannot is named.
fn as_far_as_possible(text: &str, error: Option<&serde_json::Error>) -> (Options, Option<String>) {
    let careful = || Options { on_crash: OnCrash::Fail, ..Options::default() };
    let whole = error.map_or_else(|| "a list".into(), ToString::to_string);
    let Ok(stored) = serde_json::from_str::<BTreeMap<String, &RawValue>>(text) else {
        return (careful(), Some(format!("its options are no JSON object: {whole}")));
    };
    let alone = |key: &str, value: &RawValue| {
        let json = serde_json::to_string(&BTreeMap::from([(key, value)])).unwrap_or_default();
        serde_json::from_str::<Options>(&json)
    };
    let (mut rest, mut unreadable, mut says_on_crash) = (BTreeMap::new(), None, true);
    for (key, value) in &stored {
        match alone(key, value) {
            Ok(_) => drop(rest.insert(key, value)),
            Err(why) => {
                says_on_crash &= key != "on_crash";
                // Where in a line that nobody wrote is of no use.
                let why = why.to_string();
                let why = why.split(" at line ").next().unwrap_or_default();
                let value: String = value.get().chars().take(SHOWN).collect();
                unreadable.get_or_insert_with(|| format!("its option {key} ({value}) cannot be read here: {why}"));
            }
        }
    }
    let json = serde_json::to_string(&rest).unwrap_or_default();
    let mut read = serde_json::from_str(&json).unwrap_or_else(|_| careful());
    if !says_on_crash {
        read.on_crash = OnCrash::Fail;
    }
    // Nothing is wrong with any of them alone: one is there twice.
    (read, Some(unreadable.unwrap_or_else(|| format!("its options cannot be read here: {whole}"))))
}

/// What a run that was cut short means: by a crash, a lost worker, or a worker that had to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnCrash {
    /// The job runs again.
    #[default]
    Rerun,
    /// The job fails: its effects must never happen twice.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(json: &str) -> StoredOptions {
        StoredOptions::of(Some(json.into()))
    }

    #[test]
    fn options_that_can_be_read_are_and_keys_of_others_are_left_alone() {
        let options = stored(r#"{"timeout": 2.5, "transactional": true, "colour": 1e400, "schedule": {"name": "x"}}"#);
        assert_eq!(options.unreadable(), None);
        assert_eq!((options.read().timeout, options.read().transactional), (Some(2.5), true));
        assert_eq!(*StoredOptions::of(None).read(), Options::default());
    }

    #[test]
    fn what_cannot_be_read_is_named_and_takes_nothing_else_with_it() {
        for (json, key) in [
            (r#"{"max_memory_mb": 1e400, "transactional": true, "on_crash": "fail"}"#, "max_memory_mb (1e400)"),
            (r#"{"transactional": true, "on_crash": "fail", "backoff": {"kind": "fibonacci"}}"#, "backoff ("),
            (
                r#"{"on_crash": "fail", "on_precondition_failure": "ask", "transactional": true}"#,
                "on_precondition_failure (\"ask\")",
            ),
            (r#"{"on_crash": "fail", "timeout": "soon", "transactional": true}"#, "timeout (\"soon\")"),
            (r#"{"on_crash": "fail", "max_attempts": -1, "transactional": true}"#, "max_attempts (-1)"),
        ] {
            let options = stored(json);
            let why = options.unreadable().unwrap_or_default();
            assert!(why.starts_with(&format!("its option {key}")) && !why.contains(" at line "), "{why}");
            assert!(options.read().transactional && options.read().on_crash == OnCrash::Fail, "{json}");
        }
    }

    #[test]
    fn what_may_have_said_that_a_job_must_not_run_twice_is_taken_to_have_said_so() {
        for json in [r#"{"on_crash": "ask"}"#, r#"{"on_crash": "#, "[]", "7", "", r#"{"a": 1} {"#] {
            let options = stored(json);
            assert!(options.unreadable().is_some(), "{json}");
            assert_eq!(options.read().on_crash, OnCrash::Fail, "{json}");
        }
        let options = stored(r#"{"timeout": 1, "timeout": 2}"#);
        assert!(options.unreadable().is_some_and(|why| why.contains("duplicate field `timeout`")));
    }
}
