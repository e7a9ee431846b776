//! Ends open attempts: whatever the outcome, one statement moves the jobs to where `decide` sends them.

use gristmill_core::{Attempt, Band, Claimed, JobId, Token, WorkerId};

use crate::{Result, Session};

impl Session {
    /// Ends these attempts and says which of them it accepted. One that is missing from the answer was
    /// superseded: its token is not the job's any more, and nothing was changed.
    pub async fn finish(&mut self, attempts: &[Attempt]) -> Result<Vec<(JobId, Token)>> {
        let _ = attempts;
        unimplemented!()
    }

    /// [`Session::finish`] and [`Session::claim`] in one commit: the turn of a busy worker.
    pub async fn finish_and_claim(
        &mut self,
        attempts: &[Attempt],
        worker: WorkerId,
        bands: &[Band],
        limit: u32,
    ) -> Result<(Vec<(JobId, Token)>, Vec<Claimed>)> {
        let _ = (attempts, worker, bands, limit);
        unimplemented!()
    }

    /// Puts open attempts that never started back to ready, uncharged, naming them by token only: for claims
    /// whose answer was lost.
    pub async fn hand_back(&mut self, attempts: &[(JobId, Token)]) -> Result<Vec<(JobId, Token)>> {
        let _ = attempts;
        unimplemented!()
    }
}
