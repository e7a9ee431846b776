//! Puts jobs in place.

use gristmill_core::{JobId, Lane, Moment};
use serde::Serialize;

use crate::row::Fields;
use crate::statement::{Sql, sql};
use crate::verbs::json;
use crate::{Error, Result, Session};

/// A job to be asked for.
#[derive(Clone, Debug, Serialize)]
pub struct NewJob {
    /// Its id.
    pub id: JobId,
    /// Where it queues up.
    #[serde(flatten)]
    pub lane: Lane,
    /// -100 to 100; larger first.
    pub priority: i16,
    /// Not before this date.
    pub run_after: Option<Moment>,
    /// A JSON array.
    pub args: String,
    /// A JSON object.
    pub kwargs: String,
    /// A JSON object of options.
    #[serde(rename = "options")]
    pub options_json: Option<String>,
}

static ENQUEUE: Sql = sql!("enqueue");

impl Session {
    /// Enqueues all of them in one transaction; gives back when, by the database's clock.
    pub async fn enqueue(&mut self, jobs: &[NewJob]) -> Result<Moment> {
        let binds = [json(&jobs), self.now()];
        let mut rows = self.carry_out(&ENQUEUE, &binds).await?;
        Fields::of(rows.pop().ok_or_else(|| Error::Refused("enqueue gave no moment".into()))?).moment()
    }
}
