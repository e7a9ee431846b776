//! The pool's rules, asked of an actor whose zygote and runners are played by the test.

mod async_jobs;
mod cancels;
mod fake;
mod forks;
mod limits;
mod lingering;
mod transactions;
