//! What the engine's handle and the pool's own task say to each other, and who vouches for what runs.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use gristmill_core::schedule::Announcement;
use gristmill_core::{Claimed, JobId, State, Token, WorkerId};
use gristmill_engine::executor::Event;
use tokio::sync::oneshot;

/// Who vouches for what the runners do, and until when: they are killed at that instant unless a later one is told
/// in time.
#[derive(Clone, Debug)]
pub struct Lease {
    /// Under which id this worker claims.
    pub worker_id: WorkerId,
    /// When nothing of it may run any more.
    pub until: Instant,
    /// What shows that something of it may still run: zygotes keep it open until all their runners are gone.
    pub life: Option<Arc<OwnedFd>>,
}

/// What the handle orders.
pub(crate) enum Command {
    Start(Vec<Claimed>),
    Cancel(JobId, Token),
    Settled(JobId, Token, Option<State>),
    Recall,
    Interrupt,
    Close(oneshot::Sender<()>),
}

/// What the task says.
#[expect(clippy::large_enum_variant, reason = "nearly all of them are the large one")]
pub(crate) enum Said {
    Event(Event),
    /// After the end that comes next something is still called, until [`Event::Rested`].
    Lingers,
    /// The project was imported anew: its tasks, and what it announces.
    Imported(Vec<String>, Option<Announcement>),
}
