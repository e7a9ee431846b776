//! An [`Executor`](gristmill_engine::Executor) made of Python processes: a zygote that imported the project once,
//! and runners forked from it, each with one sync job at a time or many async ones. Knows no database;
//! `docs/design/wire.md` is what it speaks.

mod actor;
pub mod error;
pub mod frame;
mod pace;
pub mod pool;
mod runner;
mod zygote;

pub use error::Error;
pub use pool::{Config, Lease, Pool};
