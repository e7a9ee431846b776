//! The loops of one worker. Knows the store and an [`Executor`]; knows neither SQL nor Python.
//!
//! [`Worker::run`] starts five loops, each the owner of its own session: the *dispatcher* claims, starts and
//! finishes jobs; the *heartbeat* keeps the worker's row alive and the lease that all else depends on;
//! *maintenance* promotes due jobs, carries ends to the jobs that wait for them, rescues those of vanished workers, sweeps up
//! cancels, prunes, and appends what was counted; the *ticker* has the jobs of schedules made when they are due; the *notifier* passes on wake-ups.

mod cancel_sweeper;
mod clock;
mod dispatcher;
pub mod events;
pub mod executor;
mod failing;
mod heartbeat;
pub mod inline;
mod link;
mod maintenance;
mod notifier;
pub mod options;
mod promoter;
mod propagation;
mod pruner;
mod pulse;
mod rescuer;
mod schedules;
mod sessions;
pub mod shutdown;
#[cfg(test)]
mod sim;
mod ticker;
mod watchdog;
mod worker;

pub use events::Figures;
pub use executor::{Ended, Event, Executor};
pub use heartbeat::Standing;
pub use options::Options;
pub use sessions::Sessions;
pub use shutdown::{Shutdown, Stage, Stopper};
pub use worker::{Ending, Error, REFUSED, Worker};
