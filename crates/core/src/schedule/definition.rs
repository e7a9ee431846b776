//! A schedule as it is announced and stored: JSON in which nothing is worked out yet. What an older program does not
//! know is ignored, and what is missing is the default, so that workers of two versions read each other's rows.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{CatchUp, Error, Overlap, Policy, Schedule, Zone};
use crate::UniqueUntil;

/// The longest of all spans of time that are read, in seconds: a hundred years.
const LONGEST: f64 = 100.0 * 366.0 * 86_400.0;

/// The most ticks that one look lists, whatever the definition says: they are one transaction.
const MOST_LISTED: usize = 10_000;

/// All that a program says of schedules as it starts: what is not in it is gone from the code.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Announcement {
    /// The schedules that its code defines.
    pub schedules: Vec<Announced>,
    /// The tasks for which people may define schedules in the database, by name, and what their jobs are like.
    pub schedulable: BTreeMap<String, JobTemplate>,
}

/// A schedule: who ticks it, when, and what it makes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Announced {
    /// Unique in its backend.
    pub name: String,
    /// The workers that serve this queue tick it.
    #[serde(default = "default_queue")]
    pub queue_name: String,
    /// The task that its jobs call.
    pub task_name: String,
    /// When it ticks, and what its jobs are given.
    #[serde(default)]
    pub definition: Definition,
    /// What its jobs are like.
    #[serde(default)]
    pub job: JobTemplate,
}

/// When a schedule ticks, and what its jobs are given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Definition {
    /// A cron expression or `manual`; exactly one of this and `every` is there.
    pub cron: Option<String>,
    /// Seconds between two ticks, to the microsecond.
    pub every: Option<f64>,
    /// The IANA name of the zone whose clock the expression means.
    pub timezone: String,
    /// What becomes of ticks that nobody was there for.
    pub catch_up: CatchUp,
    /// How old a missed tick may be, in seconds; `None` is [`Policy`]'s default.
    pub window: Option<f64>,
    /// How many missed ticks are listed by themselves; `None` is [`Policy`]'s default.
    pub cap: Option<u32>,
    /// What becomes of a tick while the job of an earlier one has not ended.
    pub overlap: Overlap,
    /// Jobs are spread over so many seconds after their nominal instants.
    pub jitter: f64,
    /// The schedule begins with the tick before it was made.
    pub run_on_creation: bool,
    /// The keyword argument that is given the nominal instant.
    pub datetime_kwarg: Option<String>,
    /// A JSON array, passed on unread.
    pub args: String,
    /// A JSON object, passed on unread.
    pub kwargs: String,
}

/// What the jobs of a schedule are like, beyond their arguments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobTemplate {
    /// Where they queue up.
    pub queue_name: String,
    /// -100 to 100; larger first.
    pub priority: i16,
    /// Options persisted with each job: [`crate::Options`] and what belongs to others.
    pub options: Option<serde_json::Map<String, serde_json::Value>>,
    /// Seconds from the nominal instant to the deadline.
    pub deadline_after: Option<f64>,
    /// While a job holds this key, no other with it is made.
    pub unique_key: Option<String>,
    /// Until when it holds the key; `None` is until it has started.
    pub unique_until: Option<UniqueUntil>,
    /// So many seconds after its enqueue it keeps nobody away any more; `None` is no bound.
    pub unique_period: Option<f64>,
    /// How long their results are kept, in seconds; `None` is as long as the worker says.
    pub retention: Option<f64>,
    /// Kept back until someone releases them.
    pub held: bool,
}

impl Default for Definition {
    fn default() -> Self {
        Self {
            cron: None,
            every: None,
            timezone: "UTC".into(),
            catch_up: CatchUp::default(),
            window: None,
            cap: None,
            overlap: Overlap::default(),
            jitter: 0.0,
            run_on_creation: false,
            datetime_kwarg: None,
            args: "[]".into(),
            kwargs: "{}".into(),
        }
    }
}

impl Default for JobTemplate {
    fn default() -> Self {
        Self {
            queue_name: default_queue(),
            priority: 0,
            options: None,
            deadline_after: None,
            unique_key: None,
            unique_until: None,
            unique_period: None,
            retention: None,
            held: false,
        }
    }
}

impl Definition {
    /// When it ticks; an error says what is wrong with the definition.
    pub fn schedule(&self) -> Result<Schedule, Error> {
        match (&self.cron, self.every) {
            (Some(cron), None) => Schedule::cron(cron, Zone::named(&self.timezone)?),
            (None, Some(every)) => Schedule::every(span(every)),
            _ => Err(Error::Rule),
        }
    }

    /// How its ticks are settled.
    pub fn policy(&self) -> Policy {
        let default = Policy::default();
        Policy {
            catch_up: self.catch_up,
            window: self.window.map_or(default.window, span),
            cap: self.cap.map_or(default.cap, |cap| usize::try_from(cap).unwrap_or(MOST_LISTED)).min(MOST_LISTED),
            overlap: self.overlap,
        }
    }

    /// Over how long its jobs are spread.
    pub fn jitter(&self) -> Duration {
        span(self.jitter)
    }

    /// Whether both tick at the same instants.
    pub fn has_the_rule_of(&self, other: &Self) -> bool {
        (&self.cron, self.every, &self.timezone) == (&other.cron, other.every, &other.timezone)
    }
}

impl JobTemplate {
    /// How long after its nominal instant a job's deadline is.
    pub fn deadline_after(&self) -> Option<Duration> {
        self.deadline_after.map(span)
    }
}

fn default_queue() -> String {
    "default".into()
}

/// Seconds as a span, to the microsecond: no finer one is stored. What is no number or negative is nothing.
fn span(seconds: f64) -> Duration {
    let nanos = Duration::try_from_secs_f64(seconds.clamp(0.0, LONGEST)).unwrap_or_default().as_nanos();
    Duration::from_micros(u64::try_from((nanos + 500) / 1_000).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
