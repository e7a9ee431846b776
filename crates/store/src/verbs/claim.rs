//! Makes ready jobs running: their open attempts are committed before any handler starts.

use std::time::Duration;

use gristmill_core::{Band, Claimed, Counts, JobId, Lane, Token, WorkerId};

use crate::row::Fields;
use crate::statement::{Sql, sql};
use crate::verbs::finish::LONGEST_DELAY;
use crate::verbs::json;
use crate::{Bind, Error, Result, Row, Session};

static CLAIM: Sql = sql!("claim");
static OWNED: Sql = sql!("owned");

impl Session {
    /// Bounds the rows that one claim may lock and leave: bands × limit.
    pub const BANDS_PER_CLAIM: usize = 8;

    /// Claims up to `limit` jobs behind the marks of `bands` (at most [`Session::BANDS_PER_CLAIM`], all of one
    /// priority), in order of (deadline, id), skipping what others are claiming; only jobs whose deadline is no later
    /// than `horizon` from now. Nothing when the worker's row is lost or closed.
    pub async fn claim(
        &mut self,
        worker: WorkerId,
        bands: &[Band],
        limit: u32,
        horizon: Option<Duration>,
    ) -> Result<Vec<Claimed>> {
        if CLAIM.is_several(self.dialect()) {
            // The time is read once the wait for SQLite's write lock is over: a job enqueued meanwhile is not claimed
            // before that.
            self.begin().await?;
            let claimed = self.claim_within(worker, bands, limit, horizon).await;
            return self.end(claimed).await;
        }
        let given = self.claim_binds(worker, bands, limit, horizon)?;
        in_order(self.carry_out(&CLAIM, &given).await?)
    }

    /// The same in the transaction that is open.
    pub(crate) async fn claim_within(
        &mut self,
        worker: WorkerId,
        bands: &[Band],
        limit: u32,
        horizon: Option<Duration>,
    ) -> Result<Vec<Claimed>> {
        let given = self.claim_binds(worker, bands, limit, horizon)?;
        in_order(self.run(&CLAIM, &given).await?)
    }

    fn claim_binds(
        &self,
        worker: WorkerId,
        bands: &[Band],
        limit: u32,
        horizon: Option<Duration>,
    ) -> Result<[Bind<'static>; 5]> {
        if bands.len() > Self::BANDS_PER_CLAIM {
            return Err(Error::Refused(format!("a claim was asked for {} bands at once", bands.len())));
        }
        Ok([worker.to_string().into(), self.now(), json(&bands), Bind::Int(limit.into()), latest(horizon)])
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
        counts: Counts {
            failures: fields.int()?,
            crashes: fields.int()?,
            losses: fields.int()?,
            postpones: fields.int()?,
            interruptions: fields.int()?,
        },
        args: fields.text()?,
        kwargs: fields.text()?,
        options_json: fields.optional_text()?,
    })
}
