//! The loops of one worker. Knows the store and an [`Executor`]; knows neither SQL nor Python.
//!
//! [`Worker::run`] starts five loops, each the owner of its own session: the *mill* claims, starts and
//! finishes jobs; the *heartbeat* keeps the worker's row alive and the lease that all else depends on; the
//! *keeper* promotes due jobs, carries ends to the jobs that wait for them, rescues those of vanished workers, settles
//! cancels and prunes; the *ticker* has the jobs of schedules made when they are due; the *notifier* passes on wake-ups.

mod asides;
mod bands;
mod clock;
mod errands;
pub mod events;
pub mod executor;
mod heartbeat;
mod held;
pub mod inline;
mod keeper;
mod leaving;
mod link;
mod lookout;
mod mill;
mod notifier;
pub mod options;
mod plan;
mod promoter;
mod pruner;
mod rescuer;
mod schedules;
mod sessions;
mod settler;
pub mod shutdown;
#[cfg(test)]
mod sim;
mod ticker;
mod turn;
mod unwritten;
mod watchdog;
mod worker;

pub use events::Figures;
pub use executor::{Ended, Event, Executor};
pub use heartbeat::Standing;
pub use options::Options;
pub use sessions::Sessions;
pub use shutdown::{Shutdown, Stage, Stopper};
pub use worker::{Ending, Error, Worker};
