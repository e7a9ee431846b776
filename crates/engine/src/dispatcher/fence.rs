//! Whether what this worker holds is its own: as long as its heartbeats are acknowledged, and as long as it keeps its name.

use std::time::Instant;

use gristmill_core::WorkerId;
use tokio::sync::watch;

use crate::Standing;

/// The fence: what runs past the lease may run elsewhere already.
pub(super) struct Fence {
    standing: watch::Receiver<Standing>,
    worker: WorkerId,
    is_down: bool,
    is_quiet: bool,
}

/// What has changed since it was looked at last.
pub(super) struct Change {
    /// The worker as it was called until now.
    pub(super) was: WorkerId,
    /// The worker's name was lost, and it has another.
    pub(super) renamed: bool,
    /// The lease has passed.
    pub(super) cut_off: bool,
    /// There is a lease again, or it may claim again.
    pub(super) lifted: bool,
}

impl Fence {
    /// Down until the first heartbeat is acknowledged.
    pub(super) fn new(standing: watch::Receiver<Standing>) -> Self {
        let worker = standing.borrow().worker;
        Self { standing, worker, is_down: true, is_quiet: false }
    }

    /// Takes in how the worker stands.
    pub(super) fn heed(&mut self, now: Instant) -> Change {
        let standing = *self.standing.borrow();
        let (holds, was_down) = (standing.holds(now), self.is_down);
        self.is_down = !holds;
        let was_quiet = std::mem::replace(&mut self.is_quiet, standing.is_quiet);
        let was = std::mem::replace(&mut self.worker, standing.worker);
        let cut_off = !holds && !was_down;
        Change {
            was,
            renamed: standing.worker != was,
            cut_off,
            lifted: (was_down || was_quiet) && holds && !self.is_quiet,
        }
    }

    /// The worker as it is called.
    pub(super) fn worker(&self) -> WorkerId {
        self.worker
    }

    /// The worker had no lease when that was looked at last.
    pub(super) fn is_down(&self) -> bool {
        self.is_down
    }

    /// Somebody wanted it to claim nothing when that was looked at last.
    pub(super) fn is_quiet(&self) -> bool {
        self.is_quiet
    }

    /// Whether its lease lasts now.
    pub(super) fn holds(&self, now: Instant) -> bool {
        self.standing.borrow().holds(now)
    }

    /// When its lease ends.
    pub(super) fn runs_until(&self) -> Option<Instant> {
        self.standing.borrow().runs_until()
    }

    /// Waits for the next heartbeat that is acknowledged, or is not any more. Cancel safe.
    pub(super) async fn changed(&mut self) {
        if self.standing.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::heartbeat::Sent;

    #[test]
    fn a_lease_that_passes_is_told_once_and_so_is_another_name() {
        let (one, other) = (WorkerId::new(), WorkerId::new());
        let (says, standing) = watch::channel(Standing::none(one));
        let (mut fence, now) = (Fence::new(standing), Instant::now());
        let change = fence.heed(now);
        assert!(fence.is_down() && !change.cut_off && !change.lifted, "it had none to lose");

        says.send_replace(Standing::of(one, Sent::now(), Duration::from_secs(55)));
        assert!(fence.heed(now).lifted && !fence.is_down());
        let late = Instant::now() + Duration::from_mins(1);
        assert!(fence.heed(late).cut_off && !fence.heed(late).cut_off);

        says.send_replace(Standing::none(other));
        let change = fence.heed(late);
        assert!(change.renamed && change.was == one && fence.worker() == other);
        assert!(!fence.heed(late).renamed);
    }
}
