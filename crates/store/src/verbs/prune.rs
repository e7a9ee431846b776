//! Forgets finished jobs, with everything about them.

use std::time::Duration;

use crate::statement::{Sql, sql};
use crate::verbs::count;
use crate::{Bind, Result, Session};

pub(crate) static PRUNE: Sql = sql!("prune");

impl Session {
    /// Forgets at most `limit` finished jobs: those past a retention of their own, and those without one that ended
    /// longer ago than `retention`, which is at least 60 s. What another worker is pruning is skipped. Gives how many it
    /// forgot.
    pub async fn prune(&mut self, retention: Duration, limit: u32) -> Result<u64> {
        let binds = [self.now(), Bind::Float(retention.as_secs_f64()), Bind::Int(limit.into())];
        count(self.carry_out(&PRUNE, &binds).await?)
    }
}
