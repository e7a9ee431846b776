//! PostgreSQL: one connection a session, its plans pinned, its limits short.

mod connection;
mod wake_ups;

pub(crate) use connection::{Postgres, options};
pub(crate) use wake_ups::Notifications;
