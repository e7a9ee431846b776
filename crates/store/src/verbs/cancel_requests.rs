//! Requests to cancel running jobs: what a worker learns of those about its own, and what becomes of the others.

use gristmill_core::{JobId, Token, WorkerId};

use crate::statement::{Sql, sql};
use crate::verbs::{count, id_and_token};
use crate::{Bind, Result, Session};

static CANCEL_REQUESTS: Sql = sql!("cancel_requests");
static SWEEP_CANCEL_REQUESTS: Sql = sql!("sweep_cancel_requests");

impl Session {
    /// The open attempts of `worker` that someone wants cancelled.
    pub async fn cancel_requests(&mut self, worker: WorkerId) -> Result<Vec<(JobId, Token)>> {
        let rows = self.carry_out(&CANCEL_REQUESTS, &[worker.to_string().into()]).await?;
        rows.into_iter().map(id_and_token).collect()
    }

    /// Carries out, for at most `limit`, the cancel requests about jobs that do not run any more: one that is to run
    /// again is cancelled where it waits; of one that has ended the request is dropped. Gives how many were swept up.
    pub async fn sweep_cancel_requests(&mut self, limit: u32) -> Result<u64> {
        let binds = [self.now(), Bind::Int(limit.into())];
        count(self.carry_out(&SWEEP_CANCEL_REQUESTS, &binds).await?)
    }
}
