//! What the tests of other crates lean on: the questions that every database answers, a PostgreSQL
//! server to ask, and the plain model of a gate.

pub mod conformance;
pub mod gate;
pub mod server;
