//! What can go wrong between the engine and a database.

use gristmill_core::JobId;

/// The result of a store verb.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Told apart by what the caller should do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings cannot work; trying again will not help.
    #[error("{0}")]
    Settings(String),
    /// The database has no Gristmill tables, or those of another version.
    #[error("{0}")]
    Schema(String),
    /// The database is away, busy, or closed the connection: drop the session, wait, open a new one.
    /// Whether the last write took place is unknown.
    #[error("database unavailable: {0}")]
    Unavailable(String),
    /// A statement was refused: a defect of ours, or a table that someone changed.
    #[error("database refused a statement: {0}")]
    Refused(String),
    /// A job is to wait for one that is not there.
    #[error("job {0} is unknown: it was never enqueued here, or its result was kept no longer than its retention")]
    UnknownJob(JobId),
    /// Jobs were asked for that wait for each other in a circle.
    #[error("these jobs would wait for each other for ever: {0}")]
    Cycle(String),
}

impl Error {
    /// Whether a new session may succeed where this one failed.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}
