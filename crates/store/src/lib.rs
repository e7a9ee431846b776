//! The only place in Gristmill that speaks SQL.
//!
//! A [`Store`] opens [`Session`]s; a session carries out one verb after another. Each long-lived part of the
//! engine owns a session of its own and opens a new one when it breaks. Each verb is one method
//! (`verbs/claim.rs`) and one SQL file a database (`postgres/claim.sql`, `sqlite/claim.sql`), of one name.

#[cfg(feature = "conformance")]
pub mod conformance;
mod connection;
mod error;
pub mod hosted;
mod inspect;
mod life;
mod migrate;
#[cfg(feature = "postgres")]
mod postgres;
mod row;
mod session;
mod settings;
#[cfg(feature = "sqlite")]
mod sqlite;
mod statement;
mod store;
mod verbs;
mod wake_ups;

pub use connection::{Answer, Bind, Connection, Dialect, Row, Value};
pub use error::{Error, Result};
pub use gristmill_core::UniqueUntil;
pub use inspect::{AttemptView, JobView};
pub use life::LifeLock;
pub use migrate::{MIGRATIONS, Migrated, Migration};
pub use session::Session;
pub use settings::{Settings, Synchronous};
pub use store::Store;
pub use verbs::enqueue::{Enqueued, NewJob};
pub use verbs::errands::{Moved, WorkedOff};
pub use verbs::finish::{Finished, Turned, Wanted};
pub use verbs::operate::{Acted, operation, operations};
pub use verbs::promote::Promoted;
pub use verbs::register::NewWorker;
pub use verbs::schedules::{Defined, Registered, Served, Ticked};
pub use verbs::survey::Survey;
pub use wake_ups::WakeUps;
