//! A worker's row: made at boot, kept alive by heartbeats, which bring what people ask of it, closed at the end.

use gristmill_core::{Lease, WorkerId};

use crate::row::Fields;
use crate::statement::{Sql, sql};
use crate::verbs::operate::text;
use crate::{Bind, Result, Row, Session};

/// A worker that boots.
#[derive(Clone, Debug)]
pub struct NewWorker {
    /// Fresh for every boot.
    pub id: WorkerId,
    /// For people.
    pub label: String,
    /// Host name.
    pub host: String,
    /// Process id of the supervisor.
    pub pid: u32,
    /// `TASKS` alias served.
    pub backend: String,
    /// What it serves, as JSON: `{"include": [...] | null, "exclude": [...]}`.
    pub queues_json: String,
    /// Registered task names, as a JSON array.
    pub tasks_json: String,
    /// Runners.
    pub processes: u32,
    /// Its lease.
    pub lease: Lease,
    /// Its id before it was declared lost: what people asked of it then they ask of it still.
    pub before: Option<WorkerId>,
}

/// What people ask of a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Asked {
    /// Nothing, or nothing any more.
    #[default]
    Nothing,
    /// To claim nothing; what it holds goes on.
    Quiet {
        /// Who wants that.
        by: String,
    },
    /// To stop, as by a first signal. Nobody takes that back.
    Stop {
        /// Who wants that.
        by: String,
    },
}

impl Asked {
    fn stored(&self) -> (Option<&'static str>, &str) {
        match self {
            Self::Nothing => (None, ""),
            Self::Quiet { by } => (Some("quiet"), by),
            Self::Stop { by } => (Some("stop"), by),
        }
    }

    // What a later version may ask this one does not know, and so does not do.
    fn of(row: Row) -> Result<Self> {
        let mut fields = Fields::of(row);
        let asked = fields.optional_text()?;
        let by = fields.optional_text()?.unwrap_or_default();
        Ok(match asked.as_deref() {
            Some("quiet") => Self::Quiet { by },
            Some("stop") => Self::Stop { by },
            _ => Self::Nothing,
        })
    }
}

static REGISTER: Sql = sql!("register");
static HEARTBEAT: Sql = sql!("heartbeat");
static ASK_WORKER: Sql = sql!("ask_worker");
static IDLE: Sql = sql!("idle");
static KNOW: Sql = sql!("know");
static SIGN_OFF: Sql = sql!("sign_off");

impl Session {
    /// Makes the worker's row.
    pub async fn register(&mut self, worker: &NewWorker) -> Result<()> {
        let binds = [
            worker.id.to_string().into(),
            worker.label.as_str().into(),
            worker.host.as_str().into(),
            Bind::Int(worker.pid.into()),
            env!("CARGO_PKG_VERSION").into(),
            worker.backend.as_str().into(),
            worker.queues_json.as_str().into(),
            worker.tasks_json.as_str().into(),
            Bind::Int(worker.processes.into()),
            Bind::Float(worker.lease.heartbeat.as_secs_f64()),
            Bind::Float(worker.lease.length().as_secs_f64()),
            self.now(),
            worker.before.map_or(Bind::Null, |before| before.to_string().into()),
        ];
        self.carry_out(&REGISTER, &binds).await.map(drop)
    }

    /// Says "I live", takes a suspicion back, and gives what people ask of the worker. `None`: it was declared lost, so it must
    /// end its runs and start again under a new id.
    pub async fn heartbeat(&mut self, id: WorkerId) -> Result<Option<Asked>> {
        let binds = [id.to_string().into(), self.now()];
        self.carry_out(&HEARTBEAT, &binds).await?.pop().map(Asked::of).transpose()
    }

    /// Asks something of a worker, or takes back that it be quiet. False: it has ended, it is to stop already, or there is
    /// nothing to take back.
    pub async fn ask_worker(&mut self, id: WorkerId, asked: &Asked) -> Result<bool> {
        let (what, by) = asked.stored();
        let binds = [id.to_string().into(), what.map_or(Bind::Null, Bind::from), text(by), self.now()];
        Ok(!self.carry_out(&ASK_WORKER, &binds).await?.is_empty())
    }

    /// Sets the flag that asks enqueuers for wake-ups.
    pub async fn idle(&mut self, id: WorkerId, idle: bool) -> Result<()> {
        self.carry_out(&IDLE, &[id.to_string().into(), Bind::Int(idle.into())]).await.map(drop)
    }

    /// Tells which tasks it knows, as a JSON array, once its code was loaded anew.
    pub async fn know(&mut self, id: WorkerId, tasks_json: &str) -> Result<()> {
        self.carry_out(&KNOW, &[id.to_string().into(), tasks_json.into()]).await.map(drop)
    }

    /// Closes the worker's row with its exit status and last error.
    pub async fn sign_off(&mut self, id: WorkerId, exit_status: i32, last_error: Option<&str>) -> Result<()> {
        let last_error = last_error.map_or(Bind::Null, |text| text.replace('\0', "\\0").into());
        let binds = [id.to_string().into(), Bind::Int(exit_status.into()), last_error, self.now()];
        self.carry_out(&SIGN_OFF, &binds).await.map(drop)
    }
}
