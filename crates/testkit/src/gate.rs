//! What a gate says, said plainly: the model that the SQL which evaluates gates is held against.

use gristmill_core::OnPreconditionFailure;

/// What a job waits for, and how far that has come. The counts are of its preconditions: cancelled, poisoned and stranded
/// ones are failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    /// How many of them have to be done: all when `None`, and never more than there are.
    pub needed: Option<u32>,
    /// What it means when too many have failed.
    pub on_precondition_failure: OnPreconditionFailure,
    /// Those that have not ended.
    pub open: u64,
    /// Those that were successful.
    pub successful: u64,
    /// Those that were not.
    pub failed: u64,
}

/// What a gate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not yet.
    Waits,
    /// The job may run.
    Holds,
    /// Too few can still be done.
    Hopeless,
}

impl Gate {
    /// What it says as things stand.
    pub fn verdict(&self) -> Verdict {
        let total = self.open.saturating_add(self.successful).saturating_add(self.failed);
        let needed = self.needed.map_or(total, u64::from).min(total);
        let proceeds = self.on_precondition_failure == OnPreconditionFailure::Proceed;
        let done = self.successful.saturating_add(if proceeds { self.failed } else { 0 });
        if done >= needed {
            Verdict::Holds
        } else if !proceeds && self.successful.saturating_add(self.open) < needed {
            Verdict::Hopeless
        } else {
            Verdict::Waits
        }
    }
}
