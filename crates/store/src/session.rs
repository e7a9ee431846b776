//! Opens sessions, and tells when someone may have enqueued.

use gristmill_core::Moment;

use crate::{Connection, Result, Settings};

/// Knows how to reach one database; cheap to clone.
#[derive(Clone)]
pub struct Store {
    settings: Settings,
}

impl Store {
    /// Checks the settings; opens nothing yet.
    pub fn new(settings: Settings) -> Result<Self> {
        Ok(Self { settings })
    }

    /// Opens a session and checks that the schema is the one this program knows.
    pub async fn open(&self) -> Result<Session> {
        let _ = &self.settings;
        unimplemented!()
    }

    /// Starts to watch for commits of others; see [`WakeUps`].
    pub async fn wake_ups(&self) -> Result<WakeUps> {
        unimplemented!()
    }
}

/// One connection with the verbs. After an [`crate::Error::Unavailable`] it is spent: drop it.
pub struct Session {
    pub(crate) connection: Box<dyn Connection>,
    /// What the statements take for the present; the database's own clock when `None`.
    pub(crate) now: Option<Moment>,
}

impl Session {
    /// A session over any connection: a hosted one, or one that injects faults.
    pub fn over(connection: Box<dyn Connection>) -> Self {
        Self { connection, now: None }
    }

    /// From now on the present is `now`; for virtual clocks.
    pub fn set_now(&mut self, now: Option<Moment>) {
        self.now = now;
    }
}

/// Hints that new jobs may be there. A hint is never needed for correctness: polling is the truth.
///
/// PostgreSQL: a NOTIFY on channel `gristmill`. SQLite: the header of the write-ahead log's index changed.
pub struct WakeUps {
    _private: (),
}

impl WakeUps {
    /// Waits for the next hint. Cancel safe. An error means: open a new one after a while, poll meanwhile.
    pub async fn next(&mut self) -> Result<()> {
        unimplemented!()
    }
}
