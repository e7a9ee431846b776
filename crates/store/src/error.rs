//! What can go wrong between the engine and a database.

use std::fmt;

use gristmill_core::{JobId, Moment};

use crate::codes::About;

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
    /// The SQLite file that was opened has another name by now, or none: what is written to it is read by nobody.
    #[error("{0}")]
    Moved(String),
    /// The database is away, busy, lets nobody in, or closed the connection: drop the session, wait, open a new one.
    /// Nothing is said about what was asked. Whether the last write took place is unknown.
    #[error("database unavailable: {0}")]
    Unavailable(String),
    /// Someone else's transaction holds what this needs, or two were in each other's way. Nothing was done, and the
    /// session is as good as before: do the rest, and come again for this a little later.
    #[error("held by another transaction: {0}")]
    Locked(String),
    /// A statement was refused: for what it was to write, for a defect of ours, or for a table that someone changed.
    #[error("database refused a statement: {0}")]
    Refused(Refusal),
    /// A job is to wait for one that is not there.
    #[error("job {0} is unknown: it was never enqueued here, or its result was kept no longer than its retention")]
    UnknownJob(JobId),
    /// A job was asked for with a date that no job may have.
    #[error("{what} must be a date between 0001-01-08 and 9999-12-24, in UTC; got {date}")]
    NoDate {
        /// Which of its dates.
        what: &'static str,
        /// What was given.
        date: Moment,
    },
    /// Jobs were asked for that wait for each other in a circle.
    #[error("these jobs would wait for each other for ever: {0}")]
    Cycle(String),
}

/// Why a statement was refused.
#[derive(Debug)]
pub struct Refusal {
    about: About,
    why: String,
}

impl Refusal {
    /// Whether it is for what was to be written: the same again is refused again, and something else may not be.
    pub fn is_about_the_row(&self) -> bool {
        self.about == About::Row
    }

    pub(crate) fn new(about: About, why: String) -> Self {
        Self { about, why }
    }
}

impl<T: Into<String>> From<T> for Refusal {
    /// Not for what was to be written.
    fn from(why: T) -> Self {
        Self::new(About::Statement, why.into())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl Error {
    /// Whether the same may succeed a little later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Locked(_))
    }
}
