//! What became of a job: for a program in Rust that wants to know, as Django asks by its models. In this tree the tests alone do.

use gristmill_core::{Counts, JobId, Lane, Moment, Token, WorkerId};

use crate::row::Fields;
use crate::statement::{Sql, sql};
use crate::{Result, Row, Session};

/// A job as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobView {
    /// Which job.
    pub id: JobId,
    /// Where it came from.
    pub lane: Lane,
    /// -100 to 100.
    pub priority: i16,
    /// `ready`, `scheduled`, `held`, `running`, `successful`, `failed`, `cancelled`, `poisoned`.
    pub state: String,
    /// Why it failed, is poisoned or is held.
    pub reason: Option<String>,
    /// The job's claims so far.
    pub token: Token,
    /// Grows with every retry by hand.
    pub generation: u32,
    /// What it has been through.
    pub counts: Counts,
    /// When it was asked for.
    pub enqueued_at: Moment,
    /// When it runs next, or was to run: its date or the end of a delay.
    pub due_at: Option<Moment>,
    /// The job's place in the order of its lane and priority.
    pub deadline: Moment,
    /// When its first attempt started.
    pub started_at: Option<Moment>,
    /// When it ended.
    pub finished_at: Option<Moment>,
    /// Who runs it, or ran it last.
    pub worker_id: Option<WorkerId>,
    /// What its handler returned: JSON text.
    pub return_value: Option<String>,
    /// Class of the newest exception.
    pub exception_class_path: Option<String>,
    /// The newest exception's traceback.
    pub traceback: Option<String>,
}

/// An attempt that has ended, as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptView {
    /// The claim that began it.
    pub token: Token,
    /// The retry by hand it belongs to.
    pub generation: u32,
    /// Who ran it.
    pub worker_id: WorkerId,
    /// In which process.
    pub runner_pid: Option<u32>,
    /// When it was claimed.
    pub claimed_at: Moment,
    /// When the handler's first instruction ran.
    pub started_at: Option<Moment>,
    /// When it ended.
    pub ended_at: Moment,
    /// How: [`gristmill_core::Outcome::word`].
    pub outcome: String,
    /// Why it failed; of a crash, how the runner died.
    pub reason: Option<String>,
    /// What its handler returned: JSON text.
    pub return_value: Option<String>,
    /// The exception's class.
    pub exception_class_path: Option<String>,
    /// The exception's traceback.
    pub traceback: Option<String>,
    /// What it printed and logged.
    pub output: Option<String>,
}

static GET: Sql = sql!("get");
static ATTEMPTS: Sql = sql!("attempts");

impl Session {
    /// One job, wherever it is.
    pub async fn get(&mut self, id: JobId) -> Result<Option<JobView>> {
        let rows = self.carry_out(&GET, &[id.to_string().into()]).await?;
        rows.into_iter().next().map(job).transpose()
    }

    /// A job's attempts that have ended, oldest first.
    pub async fn attempts(&mut self, id: JobId) -> Result<Vec<AttemptView>> {
        self.carry_out(&ATTEMPTS, &[id.to_string().into()]).await?.into_iter().map(attempt).collect()
    }
}

fn job(row: Row) -> Result<JobView> {
    let mut fields = Fields::of(row);
    Ok(JobView {
        id: fields.id()?,
        lane: Lane { backend: fields.text()?, queue_name: fields.text()?, task_name: fields.text()? },
        priority: fields.int()?,
        state: fields.text()?,
        reason: fields.optional_text()?,
        token: Token(fields.int()?),
        generation: fields.int()?,
        counts: Counts {
            failures: fields.int()?,
            crashes: fields.int()?,
            losses: fields.int()?,
            postpones: fields.int()?,
            interruptions: fields.int()?,
        },
        enqueued_at: fields.moment()?,
        due_at: fields.optional_moment()?,
        deadline: fields.moment()?,
        started_at: fields.optional_moment()?,
        finished_at: fields.optional_moment()?,
        worker_id: fields.optional_id()?,
        return_value: fields.optional_text()?,
        exception_class_path: fields.optional_text()?,
        traceback: fields.optional_text()?,
    })
}

fn attempt(row: Row) -> Result<AttemptView> {
    let mut fields = Fields::of(row);
    Ok(AttemptView {
        token: Token(fields.int()?),
        generation: fields.int()?,
        worker_id: fields.id()?,
        runner_pid: fields.optional_int()?.and_then(|pid| u32::try_from(pid).ok()),
        claimed_at: fields.moment()?,
        started_at: fields.optional_moment()?,
        ended_at: fields.moment()?,
        outcome: fields.text()?,
        reason: fields.optional_text()?,
        return_value: fields.optional_text()?,
        exception_class_path: fields.optional_text()?,
        traceback: fields.optional_text()?,
        output: fields.optional_text()?,
    })
}
