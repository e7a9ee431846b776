//! Makes ready jobs running: their open attempts are committed before any handler starts.

use std::time::Duration;

use gristmill_core::{ClaimCursor, Claimed, Counts, JobId, Lane, Misfits, StoredOptions, Token, WorkerId};

use crate::row::Fields;
use crate::statement::{Sql, sql};
use crate::verbs::finish::LONGEST_DELAY;
use crate::verbs::json;
use crate::{Bind, Error, Result, Row, Session};

static CLAIM: Sql = sql!("claim");
static OWNED: Sql = sql!("owned");

impl Session {
    /// Bounds the rows that one claim may lock and leave: cursors × limit.
    pub const CURSORS_PER_CLAIM: usize = 8;

    /// Claims up to `limit` jobs behind the watermarks of `cursors` (at most [`Session::CURSORS_PER_CLAIM`], all of one
    /// priority), in order of (deadline, id), skipping what others are claiming; only jobs whose deadline is no later
    /// than `horizon` from now. Nothing when the worker's row is lost or closed. A job whose key somebody holds is left
    /// for later.
    pub async fn claim(
        &mut self,
        worker: WorkerId,
        cursors: &[ClaimCursor],
        limit: u32,
        horizon: Option<Duration>,
    ) -> Result<Vec<Claimed>> {
        let claimed = self.claim_once(worker, cursors, limit, horizon).await;
        if self.goes_around(&claimed) { self.claim_once(worker, cursors, limit, horizon).await } else { claimed }
    }

    async fn claim_once(
        &mut self,
        worker: WorkerId,
        cursors: &[ClaimCursor],
        limit: u32,
        horizon: Option<Duration>,
    ) -> Result<Vec<Claimed>> {
        if CLAIM.file(self.dialect()).statements > 1 {
            // The time is read once the wait for SQLite's write lock is over: a job enqueued meanwhile is not claimed
            // before that.
            self.begin().await?;
            let claimed = self.claim_within(worker, cursors, limit, horizon).await;
            return self.end(claimed).await;
        }
        let given = self.claim_binds(worker, cursors, limit, horizon)?;
        in_order(self.carry_out(&CLAIM, &given).await?)
    }

    /// Claims in the transaction that is open.
    pub async fn claim_within(
        &mut self,
        worker: WorkerId,
        cursors: &[ClaimCursor],
        limit: u32,
        horizon: Option<Duration>,
    ) -> Result<Vec<Claimed>> {
        let given = self.claim_binds(worker, cursors, limit, horizon)?;
        in_order(self.run(&CLAIM, &given).await?)
    }

    fn claim_binds(
        &self,
        worker: WorkerId,
        cursors: &[ClaimCursor],
        limit: u32,
        horizon: Option<Duration>,
    ) -> Result<[Bind<'static>; 6]> {
        if cursors.len() > Self::CURSORS_PER_CLAIM {
            return Err(Error::Refused(format!("a claim was asked for {} cursors at once", cursors.len()).into()));
        }
        let is_wary = Bind::Int(self.is_wary().into());
        Ok([worker.to_string().into(), self.now(), json(&cursors), Bind::Int(limit.into()), latest(horizon), is_wary])
    }

    /// The open attempts of a worker, as the database has them: to find what an unanswered claim left behind.
    pub async fn owned(&mut self, worker: WorkerId) -> Result<Vec<(JobId, Token)>> {
        let rows = self.carry_out(&OWNED, &[worker.to_string().into()]).await?;
        rows.into_iter().map(super::id_and_token).collect()
    }
}

/// How many seconds from now a deadline may be.
pub(super) fn latest(horizon: Option<Duration>) -> Bind<'static> {
    horizon.map_or(Bind::Null, |horizon| Bind::Float(horizon.min(LONGEST_DELAY).as_secs_f64()))
}

fn in_order(rows: Vec<Row>) -> Result<Vec<Claimed>> {
    let mut jobs: Vec<Claimed> = rows.into_iter().map(claimed).collect::<Result<_>>()?;
    jobs.sort_by(|one, other| (&one.deadline, one.id).cmp(&(&other.deadline, other.id)));
    Ok(jobs)
}

/// Reads the columns that `claim.sql` and `orphans.sql` name, in their order.
pub(super) fn claimed(row: Row) -> Result<Claimed> {
    let mut fields = Fields::of(row);
    let mut unreadable = None;
    Ok(Claimed {
        id: fields.id()?,
        token: Token(fields.int()?),
        lane: Lane { backend: fields.text()?, queue_name: fields.text()?, task_name: fields.text()? },
        priority: fields.int()?,
        deadline: fields.moment()?,
        run_after: fields.optional_moment()?,
        enqueued_at: fields.moment()?,
        claimed_at: fields.moment()?,
        started_at: fields.optional_moment()?,
        generation: fields.int()?,
        counts: Counts::read(fields.optional_text()?.as_deref()).unwrap_or_else(|why| {
            unreadable = Some(why);
            Counts::default()
        }),
        args: fields.text()?,
        kwargs: fields.text()?,
        stored_options: {
            let options = StoredOptions::of(fields.optional_text()?).kept_for(fields.optional_float()?);
            match unreadable {
                None => options,
                Some(why) => options.beside_unreadable(why),
            }
        },
        worker_id: fields.id()?,
        misfits: Misfits { count: fields.int()?, first_at: fields.optional_moment()? },
    })
}
