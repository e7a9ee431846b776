//! Takes over from workers that vanished, in two phases, by the database's clock alone.

use gristmill_core::{Attempt, WorkerId};

use crate::{Result, Session};

impl Session {
    /// First phase: marks live workers whose lease has run out as suspect; their next heartbeat takes it back.
    pub async fn suspect(&mut self, asking: WorkerId) -> Result<Vec<WorkerId>> {
        let _ = asking;
        unimplemented!()
    }

    /// Second phase: declares suspects lost that kept silent for three of their own heartbeats since they
    /// were suspected.
    pub async fn declare_lost(&mut self, asking: WorkerId) -> Result<Vec<WorkerId>> {
        let _ = asking;
        unimplemented!()
    }

    /// Open attempts of lost and closed workers, at most `limit`, each with the outcome `Lost`, ready to be
    /// finished like any other.
    pub async fn orphans(&mut self, limit: u32) -> Result<Vec<Attempt>> {
        let _ = limit;
        unimplemented!()
    }
}
