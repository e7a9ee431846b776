//! What the engine asks of a database, one verb a file.

mod claim;
pub mod enqueue;
mod finish;
pub mod promote;
pub mod register;
mod rescue;
mod survey;
