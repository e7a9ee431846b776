//! Wishes that running jobs may end: what a worker learns of those about its own, and what becomes of the others.

use gristmill_core::{JobId, Token, WorkerId};

use crate::statement::{Sql, sql};
use crate::verbs::{count, id_and_token};
use crate::{Bind, Result, Session};

static CONTROLS: Sql = sql!("controls");
static SETTLE_CONTROLS: Sql = sql!("settle_controls");

impl Session {
    /// The open attempts of `worker` that someone wants cancelled.
    pub async fn controls(&mut self, worker: WorkerId) -> Result<Vec<(JobId, Token)>> {
        let rows = self.carry_out(&CONTROLS, &[worker.to_string().into()]).await?;
        rows.into_iter().map(id_and_token).collect()
    }

    /// Carries out, for at most `limit`, the wishes about jobs that do not run any more: one that is to run again is
    /// cancelled where it waits; of one that has ended the wish is dropped. Gives how many it settled.
    pub async fn settle_controls(&mut self, limit: u32) -> Result<u64> {
        let binds = [self.now(), Bind::Int(limit.into())];
        count(self.carry_out(&SETTLE_CONTROLS, &binds).await?)
    }
}
