//! What the tables hold, in the form that the model has it too.

use std::collections::BTreeMap;

use gristmill_core::{Counts, JobId};
use gristmill_store::{Connection, Row, Value};

/// Everything that the model knows.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Picture {
    /// Each place row: a job that has two would be here twice.
    pub(crate) places: Vec<(JobId, Standing)>,
    /// The jobs that were asked for and are not forgotten.
    pub(crate) jobs: Vec<JobId>,
    /// Who holds each key.
    pub(crate) keys: BTreeMap<String, JobId>,
    /// The cancel requests, with their tokens.
    pub(crate) cancel_requests: BTreeMap<JobId, i64>,
    /// How many attempts of each job were written down, and how many acts of people.
    pub(crate) written: BTreeMap<JobId, (i64, i64)>,
}

/// Where a job is, and what its place row says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Standing {
    /// `ready`, `scheduled`, `held`, `running`, or the state in which it ended.
    pub(crate) place: String,
    /// Why it ended so.
    pub(crate) reason: Option<String>,
    /// token, generation, priority
    pub(crate) numbers: [i64; 3],
    /// Its queue's name.
    pub(crate) queue: String,
    /// What it has been through.
    pub(crate) counts: Counts,
    /// Whether its place row has a start; whether it has a date to be forgotten.
    pub(crate) flags: [bool; 2],
}

macro_rules! place {
    ($table:literal, $place:literal, $reason:literal, $prune_at:literal) => {
        concat!(
            "select cast(id as text), ",
            $place,
            ", ",
            $reason,
            ", cast(token as bigint), cast(generation as bigint), cast(priority as bigint), queue_name, counts,
            cast(cast(started_at is not null as integer) as bigint), cast(cast(",
            $prune_at,
            " is not null as integer) as bigint) from gristmill_",
            $table
        )
    };
}

const PLACES: &str = concat!(
    place!("ready", "'ready'", "cast(null as text)", "null"),
    " union all ",
    place!("scheduled", "'scheduled'", "null", "null"),
    " union all ",
    place!("waiting where held", "'held'", "null", "null"),
    " union all ",
    place!("running", "'running'", "null", "null"),
    " union all ",
    place!("result", "state", "reason", "prune_at"),
);
const JOBS: &str = "select cast(id as text) from gristmill_job";
const KEYS: &str = "select key, cast(job_id as text) from gristmill_unique_key";
const CANCEL_REQUESTS: &str = "select cast(job_id as text), cast(token as bigint) from gristmill_cancel_request";
const WRITTEN: &str = "select cast(job_id as text), cast(sum(attempts) as bigint), cast(sum(acts) as bigint) from (
        select job_id, 1 as attempts, 0 as acts from gristmill_attempt
        union all
        select job_id, 0, 1 from gristmill_action
    ) as all_of_it group by job_id";

impl Picture {
    pub(crate) async fn take(connection: &mut dyn Connection) -> Self {
        let mut picture = Self::default();
        for row in connection.run(PLACES, &[]).await.expect("reads") {
            let standing = Standing {
                place: text(&row[1]).expect("is text"),
                reason: text(&row[2]),
                numbers: std::array::from_fn(|n| int(&row[3 + n])),
                queue: text(&row[6]).expect("is text"),
                counts: Counts::read(text(&row[7]).as_deref()).expect("counts"),
                flags: [int(&row[8]) != 0, int(&row[9]) != 0],
            };
            picture.places.push((id(&row[0]), standing));
        }
        picture.places.sort_by_key(|(id, _)| *id);
        picture.jobs = connection.run(JOBS, &[]).await.expect("reads").iter().map(|row| id(&row[0])).collect();
        picture.jobs.sort();
        for row in connection.run(KEYS, &[]).await.expect("reads") {
            picture.keys.insert(text(&row[0]).expect("is text"), id(&row[1]));
        }
        for row in connection.run(CANCEL_REQUESTS, &[]).await.expect("reads") {
            picture.cancel_requests.insert(id(&row[0]), int(&row[1]));
        }
        for row in connection.run(WRITTEN, &[]).await.expect("reads") {
            picture.written.insert(id(&row[0]), (int(&row[1]), int(&row[2])));
        }
        picture
    }
}

impl Picture {
    /// What differs, in the tables and in the model.
    pub(crate) fn unlike(&self, model: &Self) -> String {
        let mine = |place: &&(JobId, Standing)| !model.places.contains(*place);
        let theirs = |place: &&(JobId, Standing)| !self.places.contains(*place);
        let tables: Vec<_> = self.places.iter().filter(mine).collect();
        let model_has: Vec<_> = model.places.iter().filter(theirs).collect();
        format!(
            "places {tables:?}, in the model {model_has:?}; keys {:?} and {:?}; cancel requests {:?} and {:?}; \
             written {:?} and {:?}; {} jobs and {}",
            self.keys,
            model.keys,
            self.cancel_requests,
            model.cancel_requests,
            self.written,
            model.written,
            self.jobs.len(),
            model.jobs.len()
        )
    }
}

/// Empties every table, for the next case.
pub(crate) async fn clear(connection: &mut dyn Connection) {
    for statement in [
        "delete from gristmill_ready",
        "delete from gristmill_scheduled",
        "delete from gristmill_waiting",
        "delete from gristmill_running",
        "delete from gristmill_result",
        "delete from gristmill_attempt",
        "delete from gristmill_unique_key",
        "delete from gristmill_cancel_request",
        "delete from gristmill_action",
        "delete from gristmill_queue",
        "delete from gristmill_job",
    ] {
        let _: Vec<Row> = connection.run(statement, &[]).await.expect("empties");
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Text(text) => Some(text.clone()),
        other => panic!("{other:?}"),
    }
}

fn int(value: &Value) -> i64 {
    match value {
        Value::Int(int) => *int,
        other => panic!("{other:?}"),
    }
}

fn id(value: &Value) -> JobId {
    text(value).expect("is text").parse().expect("an id")
}
