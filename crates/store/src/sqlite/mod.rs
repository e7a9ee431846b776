//! SQLite: one file on one host, in WAL mode, one writer at a time.

mod connection;
mod wake_ups;

pub(crate) use connection::{Sqlite, check_path, turn_wal_on};
pub(crate) use wake_ups::Commits;
