//! What people do to jobs and queues.

use gristmill_core::{JobId, Token};

use crate::row::Fields;
use crate::statement::{Sql, sql};
use crate::verbs::json;
use crate::verbs::prune::FORGET;
use crate::verbs::storable;
use crate::{Bind, Result, Row, Session};

/// What was done to one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acted {
    /// The job.
    pub id: JobId,
    /// Its token then.
    pub token: Token,
    /// `added`, `asked`, `cancelled`, `changed`, `enqueued`, `forgotten`, `held`, `readied`, `released`, `retried`, `thinned`,
    /// or `refused: …` in words.
    pub done: String,
}

/// What becomes of jobs that have not started; what is `None` stays as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change<'a> {
    /// -100 to 100.
    pub priority: Option<i16>,
    /// Another queue.
    pub queue_name: Option<&'a str>,
    /// The backends that have that queue; `None` is any.
    pub backends: Option<&'a [&'a str]>,
}

/// Cancels jobs, or asks for it.
pub static CANCEL: Sql = sql!("cancel");
static HOLD: Sql = sql!("hold");
static RELEASE: Sql = sql!("release");
static RETRY: Sql = sql!("retry");
static RUN_NOW: Sql = sql!("run_now");
static CHANGE: Sql = sql!("change");
static ENQUEUE_AGAIN: Sql = sql!("enqueue_again");
/// Has a job wait for more.
pub static ADD_PRECONDITIONS: Sql = sql!("add_preconditions");
static PAUSE: Sql = sql!("pause");
static RESUME: Sql = sql!("resume");

impl Session {
    /// Cancels jobs that do not run, and asks for those that do. A job that is missing from the answer has ended, or is
    /// being moved at this moment: ask again.
    pub async fn cancel(&mut self, jobs: &[JobId], actor: &str) -> Result<Vec<Acted>> {
        let binds = [json(&jobs), text(actor), self.now()];
        self.act(&CANCEL, &binds).await
    }

    /// Keeps back jobs that are ready or scheduled. Others are missing from the answer.
    pub async fn hold(&mut self, jobs: &[JobId], actor: &str, reason: Option<&str>) -> Result<Vec<Acted>> {
        let binds = [json(&jobs), text(actor), reason.map_or(Bind::Null, text), self.now()];
        self.act(&HOLD, &binds).await
    }

    /// Lets held jobs go: ready, or scheduled when their date is still to come. Others are missing from the answer.
    pub async fn release(&mut self, jobs: &[JobId], actor: &str) -> Result<Vec<Acted>> {
        let binds = [json(&jobs), text(actor), self.now()];
        self.act(&RELEASE, &binds).await
    }

    /// Begins a new generation of jobs that have ended: fresh counts, ready at once, a greater token at the next claim.
    /// One whose unique key another job holds now is refused. Jobs that have not ended are missing from the answer.
    pub async fn retry(&mut self, jobs: &[JobId], actor: &str) -> Result<Vec<Acted>> {
        let binds = [json(&jobs), text(actor), self.now()];
        self.act(&RETRY, &binds).await
    }

    /// Makes scheduled jobs due now, those too that wait for their next try. Others are missing from the answer.
    pub async fn run_now(&mut self, jobs: &[JobId], actor: &str) -> Result<Vec<Acted>> {
        let binds = [json(&jobs), text(actor), self.now()];
        self.act(&RUN_NOW, &binds).await
    }

    /// Gives jobs that have not started another priority or queue. Refused are those that are like that already, and those
    /// whose backend is none of `backends`, where these say who has that queue. What has started or ended is missing from
    /// the answer.
    pub async fn change(&mut self, jobs: &[JobId], actor: &str, change: Change<'_>) -> Result<Vec<Acted>> {
        let Change { priority, queue_name, backends } = change;
        let priority = priority.map_or(Bind::Null, |priority| Bind::Int(priority.into()));
        let backends = backends.map_or(Bind::Null, |backends| json(&backends));
        let binds = [json(&jobs), text(actor), priority, queue_name.map_or(Bind::Null, text), backends, self.now()];
        self.act(&CHANGE, &binds).await
    }

    /// Writes down that a new job was enqueued because of another, with other arguments. Nothing: one of them is not there.
    pub async fn enqueue_again(&mut self, former: JobId, made: JobId, actor: &str) -> Result<Vec<Acted>> {
        let binds = [former.to_string().into(), made.to_string().into(), text(actor), self.now()];
        self.act(&ENQUEUE_AGAIN, &binds).await
    }

    /// Has a job that has not started wait for more: `added`, or `refused: …`. Nothing when it has started or ended, or
    /// someone is moving it. Whether that closes a circle turns out later: then the job fails.
    pub async fn add_preconditions(&mut self, job: JobId, after: &[JobId], actor: &str) -> Result<Vec<Acted>> {
        let binds = [job.to_string().into(), json(&after), text(actor), self.now()];
        self.act(&ADD_PRECONDITIONS, &binds).await
    }

    /// Pauses a queue: its jobs are not claimed any more. What runs goes on.
    pub async fn pause(&mut self, backend: &str, queue_name: &str, reason: &str) -> Result<()> {
        let binds = [backend.into(), queue_name.into(), text(reason), self.now()];
        self.carry_out(&PAUSE, &binds).await.map(drop)
    }

    /// Ends a pause. False: it was not paused.
    pub async fn resume(&mut self, backend: &str, queue_name: &str) -> Result<bool> {
        Ok(!self.carry_out(&RESUME, &[backend.into(), queue_name.into()]).await?.is_empty())
    }

    /// Forgets jobs that have ended, as pruning does, however long ago that was: `forgotten`, or `refused: …` where a job
    /// waits for one that has not ended itself. `thinned` has very many preconditions: ask again. What has not ended, or
    /// is being moved at this moment, is missing from the answer.
    pub async fn forget(&mut self, jobs: &[JobId]) -> Result<Vec<Acted>> {
        self.act(&FORGET, &[json(&jobs)]).await
    }

    async fn act(&mut self, sql: &'static Sql, binds: &[Bind<'_>]) -> Result<Vec<Acted>> {
        self.carry_out(sql, binds).await?.into_iter().map(acted).collect()
    }
}

pub(super) fn text(given: &str) -> Bind<'static> {
    storable(given).into_owned().into()
}

fn acted(row: Row) -> Result<Acted> {
    let mut fields = Fields::of(row);
    Ok(Acted { id: fields.id()?, token: Token(fields.int()?), done: fields.text()? })
}
