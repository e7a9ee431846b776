//! What taking over from vanished workers promises.

use gristmill_core::WorkerId;

use super::scene::at;
use super::{Fixture, asks};
use crate::Session;

asks![placeholder,];

async fn placeholder(_fixture: &dyn Fixture) {}

/// Lets every worker fall silent, be suspected and be declared lost, from the beginning on.
pub(super) async fn declare_lost(session: &mut Session) -> Vec<WorkerId> {
    session.set_now(Some(at(60)));
    session.suspect(WorkerId::new()).await.expect("suspects");
    session.set_now(Some(at(75)));
    session.declare_lost(WorkerId::new()).await.expect("declares")
}
