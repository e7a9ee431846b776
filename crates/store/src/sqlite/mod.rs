//! SQLite: one file on one host, in WAL mode, one writer at a time.
//!
//! A plan does not depend on luck: where someone has run ANALYZE, `sqlite_stat1` says how many rows there were then, and of a
//! table with a few SQLite reads all. So none of the SQL beside this leaves it a choice:
//!
//! - `cross join` keeps the batch outermost.
//! - `indexed by` names the index. By that a search always wins over a walk through the same index, and nothing skips through
//!   an index whose first column it was not given. The tables without a row number need it only where they have more than one.
//! - A condition on a joined table alone may make SQLite read all of it, for a Bloom filter: such a one stands in an `iif` that
//!   asks for the batch's row too.
//! - What an update takes from a list it looks up; one that joins may begin with the table.
//!
//! `tests/plans` holds the plan of every statement under made-up statistics against the one without any.

mod connection;
mod log_writes;
mod wake_ups;

pub(crate) use connection::{Sqlite, check_path, turn_wal_on};
pub(crate) use wake_ups::Commits;
