//! Works off errands.

use crate::{Result, Session};

/// What working off errands did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkedOff {
    /// There are more: ask again at once.
    pub more: bool,
    /// Jobs whose gate holds.
    pub readied: u64,
    /// Jobs whose gate is hopeless.
    pub stranded: u64,
    /// Jobs whose gate is so no more.
    pub healed: u64,
    /// Jobs that have failed by their gate or by a cycle.
    pub failed: u64,
    /// Errands that are done with.
    pub errands: u64,
}

impl Session {
    /// One short transaction.
    #[allow(clippy::unused_async, reason = "a stub")]
    pub async fn work_off(&mut self, _limit: u32) -> Result<WorkedOff> {
        Ok(WorkedOff::default())
    }
}
