//! What a worker makes of a database that does not take the ends of its attempts.

use crate::common::{Database, Faulty, Running, WAIT, quick, soon, success};
use gristmill_core::Outcome;
use gristmill_engine::{Ending, Options};

#[tokio::test]
async fn what_a_handler_printed_is_given_up_before_its_success_is() {
    let database = Database::fresh().await;
    let (sessions, faults) = Faulty::new(&database.store);
    let id = database.enqueue(WAIT, &[0]).await[0];
    let mut worker = Running::start(&sessions, 1, 0, quick());
    worker.until_started(1).await;
    faults.refuse_binds_with("unspeakable", "22P05");
    worker.control.end_printing(id, Outcome::Successful { return_value: "1".into() }, "unspeakable");
    worker.until(|progress| progress.done + progress.failed == 1).await;
    assert_eq!(database.state(id).await, "successful");
    assert_eq!(worker.stop().await, Ending::Drained);
}

#[tokio::test]
async fn an_end_that_says_nothing_wrong_is_tried_until_the_database_takes_it() {
    // A table that someone changed, a right that was taken away, a trigger of someone's, a disk that fails.
    for sqlstate in ["42P01", "42501", "P0001", "58030", "XX000"] {
        let database = Database::fresh().await;
        let (sessions, faults) = Faulty::new(&database.store);
        let ids = database.enqueue(WAIT, &[0, 0]).await;
        // It is refusals that this waits for, however slowly they come; no lease runs out meanwhile.
        let patient = Options { lease: Options::default().lease, ..quick() };
        let mut worker = Running::start(&sessions, 2, 0, patient);
        worker.until_started(2).await;
        faults.refuse_binds_with("speakable", sqlstate);
        worker.control.end(ids[0], Outcome::Successful { return_value: "\"speakable\"".into() });
        soon(async {
            while faults.refused() < 4 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        faults.refuse_nothing();
        worker.control.end(ids[1], success());
        worker.until(|progress| progress.done + progress.failed == 2).await;
        assert_eq!(database.states().await, "successful 2", "{sqlstate}");
        assert_eq!(worker.stop().await, Ending::Drained);
    }
}
