//! An [`Executor`](gristmill_engine::Executor) made of Python processes: a zygote that imported the project once,
//! and runners forked from it, each with one sync job at a time or many async ones. Knows no database;
//! `docs/design/wire.md` is what it speaks.

mod actor;
mod clock;
mod config;
pub mod error;
pub mod frame;
mod messages;
mod orphans;
mod pace;
mod pool;
mod runner;
mod zygote;

pub use config::Config;
pub use error::Error;
pub use messages::Lease;
pub use pool::Pool;
