//! The questions that every database answers, and what it takes to ask them.
//!
//! A question is a claim about the verbs; its name says it. The store's `tests/sqlite.rs` and `tests/postgres.rs` ask
//! all of them, each on a database of its own; then once more over connections that someone else keeps; and a third time with
//! Python keeping them, over Django's drivers, where an interpreter is named.

mod asked;
mod cancel;
mod change;
mod claim;
pub mod cluster;
mod conflict;
mod copies;
mod enqueue;
mod fingerprint;
mod finish;
mod gates;
mod graph;
mod hold;
mod hosted;
mod life;
mod locks;
mod note;
mod pause;
mod postponing;
mod progress;
mod propagation;
mod prune;
mod pulse;
mod python;
mod rescue;
mod retry;
mod run_now;
pub mod runner;
mod scene;
mod schedules;
mod schedules_announced;
mod schedules_kept;
mod schedules_rounds;
mod schema;
mod turn;
mod unique;
mod wake_ups;

use std::future::Future;
use std::pin::Pin;

use gristmill_store::{Session, Store};

/// A future that a fixture or a question gives back.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// A database made for one question.
pub trait Fixture {
    /// A new session on it.
    fn session(&self) -> Pending<'_, Session>;
    /// What opens them, where it is a [`Store`].
    fn store(&self) -> Option<Store> {
        None
    }
    /// Removes the database; called whatever became of the question.
    fn close(self: Box<Self>) -> Pending<'static, ()>;
}

/// Makes databases.
pub trait Databases: Sync {
    /// A new one with Gristmill's tables and nothing in them.
    fn fresh(&self) -> Pending<'_, Box<dyn Fixture>>;
}

/// Something to ask a database.
pub struct Question {
    /// The claim, as a sentence.
    pub name: &'static str,
    /// Panics when the database gives another answer.
    pub ask: for<'a> fn(&'a dyn Fixture) -> Pending<'a, ()>,
}

/// Every question of the suite.
pub fn questions() -> Vec<Question> {
    [
        schema::questions(),
        copies::questions(),
        enqueue::questions(),
        claim::questions(),
        fingerprint::questions(),
        finish::questions(),
        turn::questions(),
        gates::questions(),
        postponing::questions(),
        propagation::questions(),
        rescue::questions(),
        life::questions(),
        asked::questions(),
        locks::questions(),
        cancel::questions(),
        hold::questions(),
        run_now::questions(),
        change::questions(),
        retry::questions(),
        unique::questions(),
        conflict::questions(),
        pause::questions(),
        schedules::questions(),
        schedules_announced::questions(),
        schedules_rounds::questions(),
        schedules_kept::questions(),
        note::questions(),
        progress::questions(),
        prune::questions(),
        pulse::questions(),
        hosted::questions(),
        wake_ups::questions(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Lists a module's questions. They are private, so the compiler names one that is left out.
macro_rules! asks {
    ($($name:ident,)+) => {
        pub(super) fn questions() -> Vec<super::Question> {
            vec![$(super::Question { name: stringify!($name), ask: |fixture| Box::pin($name(fixture)) },)+]
        }
    };
}
use asks;
