//! The loops of one worker. Knows the store and an [`Executor`]; knows neither SQL nor Python.

pub mod executor;
pub mod options;

pub use executor::{Event, Executor};
pub use options::Options;
