//! Puts jobs in place.

use gristmill_core::{JobId, Lane, Moment};

use crate::{Result, Session};

/// A job to be asked for.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Its id.
    pub id: JobId,
    /// Where it queues up.
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
    pub options_json: Option<String>,
}

impl Session {
    /// Enqueues all of them in one transaction; gives back when, by the database's clock.
    pub async fn enqueue(&mut self, jobs: &[NewJob]) -> Result<Moment> {
        let _ = jobs;
        unimplemented!()
    }
}
