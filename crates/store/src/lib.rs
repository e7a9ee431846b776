//! The only place in Gristmill that speaks SQL.
//!
//! A [`Store`] opens [`Session`]s; a session carries out one verb after another. Each long-lived part of the
//! engine owns a session of its own and opens a new one when it breaks. Each verb is one method
//! (`verbs/claim.rs`) and one SQL file a database (`postgres/claim.sql`, `sqlite/claim.sql`), of one name.

mod connection;
mod error;
mod migrate;
mod session;
mod settings;
mod verbs;

pub use connection::{Bind, Connection, Dialect, Row, Value};
pub use error::{Error, Result};
pub use migrate::{MIGRATIONS, Migration};
pub use session::{Session, Store, WakeUps};
pub use settings::Settings;
pub use verbs::enqueue::NewJob;
pub use verbs::promote::Promoted;
pub use verbs::register::NewWorker;
