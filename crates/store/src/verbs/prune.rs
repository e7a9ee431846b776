//! Forgets finished jobs, with everything about them, and old ticks.

use std::time::Duration;

use crate::statement::{Sql, sql};
use crate::verbs::count;
use crate::{Bind, Result, Session};

/// Deletes jobs whose time is over.
pub static PRUNE: Sql = sql!("prune");
pub(super) static FORGET: Sql = sql!("forget");
static PRUNE_TICKS: Sql = sql!("prune_ticks");

/// Ticks that are forgotten at once: small rows, of which a schedule may make one a second.
const TICKS_AT_ONCE: i64 = 5_000;

impl Session {
    /// Forgets at most `limit` finished jobs: those past a retention of their own, and those without one that ended
    /// longer ago than `retention`, which is at least 60 s. What another worker is pruning is skipped. Gives how many it
    /// forgot. When that was the last of them, old ticks and schedules go too; they do not count.
    pub async fn prune(&mut self, retention: Duration, limit: u32) -> Result<u64> {
        let binds = [self.now(), Bind::Float(retention.as_secs_f64()), Bind::Int(limit.into())];
        let pruned = count(self.carry_out(&PRUNE, &binds).await?)?;
        if pruned < u64::from(limit) {
            self.prune_ticks(retention).await?;
        }
        Ok(pruned)
    }

    /// Forgets ticks that are older than `retention`, but for the newest 20 of each schedule and those whose job has not
    /// ended, and schedules that have been gone for longer; some thousands at most. Gives how many ticks it forgot.
    pub async fn prune_ticks(&mut self, retention: Duration) -> Result<u64> {
        let binds = [self.now(), Bind::Float(retention.as_secs_f64()), Bind::Int(TICKS_AT_ONCE)];
        count(self.carry_out(&PRUNE_TICKS, &binds).await?)
    }
}
