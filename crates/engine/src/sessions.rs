//! Where the loops get their sessions from: a store, or a test that puts faults between.

use std::future::Future;

use gristmill_core::WorkerId;
use gristmill_store::{LifeLock, Result, Session, Store, WakeUps};

/// Opens sessions; cheap to clone, as each loop has its own.
pub trait Sessions: Clone + Send + Sync + 'static {
    /// Opens a session.
    fn open(&self) -> impl Future<Output = Result<Session>> + Send;

    /// Starts to watch for commits of others.
    fn wake_ups(&self) -> impl Future<Output = Result<WakeUps>> + Send;

    /// Shows that a worker lives for as long as the lock is held, where the database knows such locks.
    fn hold_life(&self, worker: WorkerId) -> Result<Option<LifeLock>>;
}

impl Sessions for Store {
    async fn open(&self) -> Result<Session> {
        Store::open(self).await
    }

    async fn wake_ups(&self) -> Result<WakeUps> {
        Store::wake_ups(self).await
    }

    fn hold_life(&self, worker: WorkerId) -> Result<Option<LifeLock>> {
        Store::hold_life(self, worker).map(|lock| Some(lock).filter(LifeLock::decides))
    }
}
