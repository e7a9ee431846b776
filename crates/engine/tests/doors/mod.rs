//! What a worker makes of a server that lets nobody in for a while: maintenance, a rotated password, a failover.

use std::time::Duration;

use crate::common::{Database, Faulty, Running, WAIT, job, quick, soon, success};
use gristmill_engine::{Ending, Options};
use gristmill_store::NewJob;

#[tokio::test]
async fn a_success_is_kept_until_a_server_that_lets_nobody_in_does_so_again() {
    let database = Database::fresh().await;
    let (sessions, faults) = Faulty::new(&database.store);
    let id = database.enqueue(WAIT, &[0]).await[0];
    let mut worker = Running::start(&sessions, 1, 0, Options::default());
    worker.until_started(1).await;
    database.place.close_doors().await;
    worker.control.end(id, success());
    // A deploy, meanwhile.
    worker.stopper.request();
    // More often than a refusal may speak of what was to be written.
    let opened = faults.opened();
    soon(async {
        while faults.opened() < opened + 24 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    database.place.open_doors().await;
    worker.until(|progress| progress.done + progress.failed == 1).await;
    assert_eq!(worker.ending().await, Ending::Drained);
    database.look_anew().await;
    assert_eq!(database.state(id).await, "successful");
    assert_eq!(database.outcomes(id).await, ["successful"]);
}

#[tokio::test]
async fn what_cannot_be_written_within_the_grace_is_left_to_rescue_and_told_as_nothing_that_it_was_not() {
    let database = Database::fresh().await;
    let (sessions, _) = Faulty::new(&database.store);
    let once = NewJob { options_json: Some(r#"{"on_crash": "fail"}"#.into()), ..job(WAIT, "default", 0) };
    let ids = database.enqueue_jobs(&[once, job(WAIT, "default", 0)]).await;
    let options = Options { grace: Duration::from_millis(500), ..quick() };
    let worker = Running::start(&sessions, 2, 0, options);
    worker.until_started(2).await;
    database.place.close_doors().await;
    for id in &ids {
        worker.control.end(*id, success());
    }
    let ending = worker.stop().await;
    assert_eq!(ending, Ending::HandedBack(2));
    assert_eq!(ending.exit_status(), 77);

    database.place.open_doors().await;
    database.look_anew().await;
    assert_eq!(database.states().await, "running 2");
    let mut other = Running::start(&sessions, 1, 0, quick());
    other.until_started(1).await;
    other.control.end(ids[1], success());
    other.until(|progress| progress.done == 1).await;
    database.until_state(ids[0], "failed").await;
    assert_eq!(database.outcomes(ids[0]).await, ["lost"]);
    assert_eq!(database.outcomes(ids[1]).await, ["lost", "successful"]);
    let rows = database.sql("select reason from gristmill_result where state = 'failed'").await;
    assert_eq!(crate::common::text(&rows[0][0]), "outcome unknown");
    other.stop().await;
}
