//! Takes over from workers that vanished, in two phases, by the database's clock alone; on SQLite by the locks that
//! living workers hold.

use gristmill_core::{Attempt, Outcome, WorkerId};

use crate::row::Fields;
use crate::statement::{Sql, sql};
use crate::verbs::claim::claimed;
use crate::verbs::json;
use crate::{Bind, Result, Row, Session};

/// On PostgreSQL nobody asks for it: there the lease alone decides.
static LIVE_WORKERS: Sql = sql!(some: "live_workers");
static LEFT_BEHIND: Sql = sql!(some: "left_behind");
static SUSPECT: Sql = sql!("suspect");
static DECLARE_LOST: Sql = sql!("declare_lost");
static ORPHANS: Sql = sql!("orphans");

impl Session {
    /// First phase: marks live workers whose lease has run out as suspect; their next heartbeat takes it back.
    pub async fn suspect(&mut self, asking: WorkerId) -> Result<Vec<WorkerId>> {
        self.begin().await?;
        let suspected = self.suspect_within(asking).await;
        self.end(suspected).await
    }

    async fn suspect_within(&mut self, asking: WorkerId) -> Result<Vec<WorkerId>> {
        let binds = self.silence(asking).await?;
        self.run(&SUSPECT, &binds).await?.into_iter().map(id).collect()
    }

    /// Second phase: declares suspects lost that kept silent for three of their own heartbeats since they
    /// were suspected.
    pub async fn declare_lost(&mut self, asking: WorkerId) -> Result<Vec<WorkerId>> {
        self.begin().await?;
        let lost = self.declare_lost_within(asking).await;
        let lost = self.end(lost).await?;
        if let Some(lives) = &self.lives {
            for &worker in &lost {
                lives.forget(worker);
            }
        }
        Ok(lost)
    }

    /// Declares workers lost in the transaction that is open.
    pub async fn declare_lost_within(&mut self, asking: WorkerId) -> Result<Vec<WorkerId>> {
        let binds = self.silence(asking).await?;
        self.run(&DECLARE_LOST, &binds).await?.into_iter().map(id).collect()
    }

    /// Open attempts of lost and closed workers, at most `limit`, each with the outcome `Lost`, ready to be
    /// finished like any other.
    pub async fn orphans(&mut self, limit: u32) -> Result<Vec<Attempt>> {
        let rows = self.carry_out(&ORPHANS, &[Bind::Int(limit.into())]).await?;
        rows.into_iter().map(|row| Ok(Attempt::unstarted(claimed(row)?, Outcome::Lost))).collect()
    }

    /// Whether a worker that has ended without a word, which its lock shows at once, has left an attempt behind. `false` also
    /// where there are no locks to see.
    pub(crate) async fn is_left_by_the_dead(&mut self) -> Result<bool> {
        let silent = self.without_a_lock().await?.unwrap_or_default();
        if silent.is_empty() {
            return Ok(false);
        }
        let answer = self.carry_out(&LEFT_BEHIND, &[json(&silent)]).await?;
        answer.into_iter().next().map_or(Ok(false), |row| Fields::of(row).bool())
    }

    /// The binds of both phases. On SQLite the workers without a lock are named; where there is no seeing the locks
    /// (a connection that someone else opened), the lease decides as on PostgreSQL.
    async fn silence(&mut self, asking: WorkerId) -> Result<Vec<Bind<'static>>> {
        let mut binds = vec![asking.to_string().into(), self.now()];
        if self.dialect().shows_life_by_locks() {
            binds.push(self.without_a_lock().await?.map_or(Bind::Null, |silent| json(&silent)));
        }
        Ok(binds)
    }

    /// Workers that ought to hold a lock and do not; `None` where locks cannot be seen.
    async fn without_a_lock(&mut self) -> Result<Option<Vec<WorkerId>>> {
        let Some(lives) = self.lives.clone() else { return Ok(None) };
        let live = self.run(&LIVE_WORKERS, &[]).await?.into_iter().map(id);
        let mut silent: Vec<WorkerId> = live.collect::<Result<_>>()?;
        silent.retain(|&worker| !lives.is_held(worker));
        Ok(Some(silent))
    }
}

fn id(row: Row) -> Result<WorkerId> {
    Fields::of(row).id()
}
