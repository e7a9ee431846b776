//! Until when a worker may run anything.

use std::time::Duration;

use gristmill_core::Lease;
use gristmill_engine::Options;

use crate::common::{Database, Faulty, Running, quick, soon};

#[tokio::test]
async fn the_fence_counts_from_when_a_heartbeat_was_sent_and_not_from_when_its_answer_came() {
    let database = Database::fresh().await;
    let (sessions, faults) = Faulty::new(&database.store);
    // So long that there is no other heartbeat before the test has looked.
    let options = Options { lease: Lease::new(Duration::from_secs(1)), ..quick() };
    let fence = options.lease.fence();
    let mut worker = Running::start(&sessions, 1, 0, options);
    worker.until(|progress| progress.idle).await;

    faults.hold_answers_to("suspect_at = null");
    // From here on, the others' clock counts.
    let carried_out = soon(faults.until_one_is_held()).await;
    let before = worker.standing.borrow().until;
    faults.let_answers_go();
    let until = soon(worker.standing.wait_for(|standing| standing.until > before)).await.unwrap().until;

    assert!(until.unwrap() <= carried_out + fence, "it thinks that it lives longer than the others do");
    worker.stop().await;
}
