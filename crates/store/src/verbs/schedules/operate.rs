//! What people do to schedules.

use gristmill_core::JobId;
use gristmill_core::schedule::Announced;

use crate::row::Fields;
use crate::statement::{Sql, sql};
use crate::verbs::json;
use crate::verbs::operate::text;
use crate::{Bind, Error, Result, Session};

pub(crate) static PAUSE: Sql = sql!("schedule_pause");
pub(crate) static RESUME: Sql = sql!("schedule_resume");
pub(crate) static DEFINE: Sql = sql!("schedule_define");
pub(crate) static REMOVE: Sql = sql!("schedule_remove");
pub(crate) static BY_HAND: Sql = sql!("tick_by_hand");

/// What defining a schedule did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defined {
    /// The schedule is new.
    Created,
    /// The schedule was there, and is what was asked for.
    Changed,
}

impl Session {
    /// Pauses a schedule, or gives the pause another reason: it does not tick any more. False: there is none of that name.
    pub async fn pause_schedule(&mut self, backend: &str, name: &str, reason: &str) -> Result<bool> {
        self.did(&PAUSE, &[backend.into(), name.into(), text(reason), self.now()]).await
    }

    /// Ends a pause; nothing is owed for the time that it lasted. False: it was not paused.
    pub async fn resume_schedule(&mut self, backend: &str, name: &str) -> Result<bool> {
        self.did(&RESUME, &[backend.into(), name.into(), self.now()]).await
    }

    /// Makes or changes a schedule that people keep. `None`: the name belongs to code.
    pub async fn define_schedule(&mut self, backend: &str, schedule: &Announced) -> Result<Option<Defined>> {
        let mut rows = self.carry_out(&DEFINE, &[backend.into(), json(schedule), self.now()]).await?;
        let Some(row) = rows.pop() else { return Ok(None) };
        match Fields::of(row).text()?.as_str() {
            "created" => Ok(Some(Defined::Created)),
            "changed" => Ok(Some(Defined::Changed)),
            other => Err(Error::Refused(format!("defining a schedule did the unknown {other:?}").into())),
        }
    }

    /// Forgets a schedule that people keep. False: there is none of that name, or it belongs to code.
    pub async fn remove_schedule(&mut self, backend: &str, name: &str) -> Result<bool> {
        self.did(&REMOVE, &[backend.into(), name.into()]).await
    }

    /// Records that someone asks for a job of a schedule at this moment; the job has to be enqueued too. False: that
    /// instant is taken, ask again.
    pub async fn tick_by_hand(&mut self, backend: &str, schedule: &str, job: JobId) -> Result<bool> {
        self.did(&BY_HAND, &[backend.into(), schedule.into(), job.to_string().into(), self.now()]).await
    }

    async fn did(&mut self, sql: &'static Sql, binds: &[Bind<'_>]) -> Result<bool> {
        Ok(!self.carry_out(sql, binds).await?.is_empty())
    }
}
