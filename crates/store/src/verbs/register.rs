//! A worker's row: made at boot, kept alive by heartbeats, closed at the end.

use gristmill_core::{Lease, WorkerId};

use crate::{Result, Session};

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
}

impl Session {
    /// Makes the worker's row.
    pub async fn register(&mut self, worker: &NewWorker) -> Result<()> {
        let _ = worker;
        unimplemented!()
    }

    /// Says "I live", and takes a suspicion back. False: the worker was declared lost, so it must end its
    /// runs and start again under a new id.
    pub async fn heartbeat(&mut self, id: WorkerId) -> Result<bool> {
        let _ = id;
        unimplemented!()
    }

    /// Sets the flag that asks enqueuers for wake-ups.
    pub async fn idle(&mut self, id: WorkerId, idle: bool) -> Result<()> {
        let _ = (id, idle);
        unimplemented!()
    }

    /// Closes the worker's row with its exit status and last error.
    pub async fn sign_off(&mut self, id: WorkerId, exit_status: i32, last_error: Option<&str>) -> Result<()> {
        let _ = (id, exit_status, last_error);
        unimplemented!()
    }
}
