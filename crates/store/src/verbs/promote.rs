//! Moves scheduled jobs whose date has come to ready.

use std::time::Duration;

use crate::{Result, Session};

/// What one promotion did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promoted {
    /// Jobs that are ready now.
    pub moved: u64,
    /// How long until the next scheduled job is due; zero when some are due already, `None` when there is none.
    pub next_due: Option<Duration>,
}

impl Session {
    /// Moves at most `limit` due jobs, earliest first, skipping what another worker is moving.
    pub async fn promote(&mut self, limit: u32) -> Result<Promoted> {
        let _ = limit;
        unimplemented!()
    }
}
