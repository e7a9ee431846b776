//! Schedules: what programs and people say of them, and the ticks that come of it.

pub(crate) mod announce;
pub(crate) mod operate;
pub(crate) mod settle;
pub(crate) mod tick;

pub use announce::Registered;
pub use operate::Defined;
pub use tick::{Served, Ticked};
