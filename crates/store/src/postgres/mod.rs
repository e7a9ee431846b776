//! PostgreSQL: one connection a session, its plans pinned, its limits short.
//!
//! A plan does not depend on luck: what a statement reads follows from its shape, whatever statistics say of the tables.
//! ANALYZE sees the tables that rows move through empty, or a backlog that is gone, and the planner then begins where the
//! rows really are. So none of the SQL beside this leaves it a choice of where to begin:
//!
//! - A table is probed from the batch's side, in a lateral subquery with `offset 0` (or a lock), which is planned by itself
//!   and cannot become the outer side of a join; so is what `exists` asks.
//! - What is changed or deleted is named by `key = any (array(select key from batch))`, which joins nothing. Values that
//!   differ from row to row are looked up in arrays beside it, or an insert brings them, which finds what is there by its key.
//!   Where the rows are locked by then, or of no use to anybody once they have changed, their `ctid` is their key.
//! - Two lists of a statement's own that are both long are put together by a full join, which is hashed; a nested loop
//!   compares each with each.
//!
//! `tests/plans` explains every statement under statistics that are made up. Where one has to read all of a table, its head
//! says so, and why that is no more than it should: `-- Reads all of …`.

mod connection;
mod login;
mod wake_ups;

pub(crate) use connection::Postgres;
pub(crate) use login::check;
pub(crate) use wake_ups::Notifications;
