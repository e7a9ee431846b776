//! The only place in Gristmill that speaks SQL.
//!
//! A [`Store`] opens [`Session`]s; a session carries out one verb after another. Each long-lived part of the
//! engine owns a session of its own and opens a new one when it breaks. Each verb is one method
//! (`verbs/claim.rs`) and one SQL file a database (`postgres/claim.sql`, `sqlite/claim.sql`), of one name.

pub mod codes;
mod connection;
mod dialect;
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
#[doc(hidden)]
pub mod testing;
mod verbs;
mod wake_ups;

pub use connection::{Answer, Bind, Connection, Row, Value};
pub use dialect::Dialect;
pub use error::{Error, Refusal, Result};
pub use gristmill_core::UniqueUntil;
pub use inspect::{AttemptView, JobView};
pub use life::LifeLock;
pub use migrate::{MIGRATIONS, Migrated, Migration};
pub use session::Session;
pub use settings::{Host, Server, Settings, Synchronous, Whereabouts};
pub use store::Store;
pub use verbs::enqueue::{Enqueued, Holder, NewJob, OnConflict};
pub use verbs::finish::{Finished, Turned, Wanted};
pub use verbs::operate::{Acted, Change};
pub use verbs::promote::Promoted;
pub use verbs::propagation::{Moved, Propagated};
pub use verbs::pulse::{PulseRow, Sampled};
pub use verbs::register::{Asked, NewWorker};
pub use verbs::schedules::{Defined, Registered, Served, Ticked};
pub use verbs::survey::Survey;
pub use wake_ups::WakeUps;
