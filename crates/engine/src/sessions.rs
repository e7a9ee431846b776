//! Where the loops get their sessions from: a store, or a test that puts faults between.

use std::future::Future;

use gristmill_store::{Result, Session, Store, WakeUps};

/// Opens sessions; cheap to clone, as each loop has its own.
pub trait Sessions: Clone + Send + Sync + 'static {
    /// Opens a session.
    fn open(&self) -> impl Future<Output = Result<Session>> + Send;

    /// Starts to watch for commits of others.
    fn wake_ups(&self) -> impl Future<Output = Result<WakeUps>> + Send;
}

impl Sessions for Store {
    async fn open(&self) -> Result<Session> {
        Store::open(self).await
    }

    async fn wake_ups(&self) -> Result<WakeUps> {
        Store::wake_ups(self).await
    }
}
