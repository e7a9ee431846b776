//! Which database, and how to reach it: as Django's settings name it, or a URL from the environment.

mod server;
mod url;

use std::path::PathBuf;

use serde::Deserialize;

pub use server::{Host, Server, Whereabouts};

use crate::Dialect;

/// Where the queue's tables are. Arrives as JSON over an inherited descriptor; never through argv.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "engine", rename_all = "lowercase")]
pub enum Settings {
    /// A PostgreSQL server.
    Postgres(Box<Server>),
    /// A SQLite file.
    Sqlite {
        /// Absolute path.
        path: PathBuf,
        /// What a commit waits for.
        #[serde(default)]
        synchronous: Synchronous,
    },
}

/// What a commit on SQLite waits for; `PRAGMA synchronous`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Synchronous {
    /// Nothing: durable when a process dies; a power cut may take the last commits back, whole.
    #[default]
    Normal,
    /// The disk: durable when the power fails too.
    Full,
}

impl Settings {
    /// Which SQL that database understands.
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Postgres(_) => Dialect::Postgres,
            Self::Sqlite { .. } => Dialect::Sqlite,
        }
    }

    /// A SQLite file with the default settings.
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        Self::Sqlite { path: path.into(), synchronous: Synchronous::default() }
    }
}
