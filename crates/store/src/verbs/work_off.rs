//! Works off errands.

use gristmill_core::Band;

use crate::{Result, Session};

/// What working off errands did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkedOff {
    /// There may be more: call again at once.
    pub more: bool,
    /// Errands that were taken up.
    pub errands: u64,
    /// What it did to the jobs that wait.
    pub moved: Moved,
}

/// What became of jobs that wait for others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Bands of jobs that are ready now, each with the earliest deadline of these.
    pub bands: Vec<Band>,
    /// Jobs that are ready now.
    pub readied: u64,
    /// Jobs that may run when their date has come.
    pub scheduled: u64,
    /// Jobs that wait again.
    pub taken_back: u64,
    /// Jobs too many of whose preconditions have failed.
    pub stranded: u64,
    /// Jobs that were stranded and are not any more.
    pub healed: u64,
    /// Jobs that failed because their preconditions did, or because they wait for themselves.
    pub failed: u64,
}

impl Session {
    /// One short transaction.
    #[allow(clippy::unused_async, reason = "a stub")]
    pub async fn work_off(&mut self, _limit: u32) -> Result<WorkedOff> {
        Ok(WorkedOff::default())
    }
}
