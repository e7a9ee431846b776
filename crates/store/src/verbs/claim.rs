//! Makes ready jobs running: their open attempts are committed before any handler starts.

use gristmill_core::{Band, Claimed, JobId, Token, WorkerId};

use crate::{Result, Session};

impl Session {
    /// Claims up to `limit` jobs behind the marks of `bands` (at most [`Session::BANDS_PER_CLAIM`], all of one
    /// priority), in order of (deadline, id), skipping what others are claiming. Nothing when the worker's row
    /// is lost or closed.
    pub async fn claim(&mut self, worker: WorkerId, bands: &[Band], limit: u32) -> Result<Vec<Claimed>> {
        let _ = (worker, bands, limit);
        unimplemented!()
    }

    /// The open attempts of a worker, as the database has them: to find what an unanswered claim left behind.
    pub async fn owned(&mut self, worker: WorkerId) -> Result<Vec<(JobId, Token)>> {
        let _ = worker;
        unimplemented!()
    }

    /// Bounds the rows that one claim may lock and leave: bands × limit.
    pub const BANDS_PER_CLAIM: usize = 8;
}
