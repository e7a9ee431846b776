//! What a worker makes of being asked to be quiet or to stop.

use std::time::Duration;

use gristmill_core::WorkerId;
use gristmill_engine::{Ending, Options};
use gristmill_store::Asked;

use crate::common::{Database, Running, WAIT, WORK, int, quick, soon, success};

fn quiet() -> Asked {
    Asked::Quiet { by: "lea".into() }
}

fn stop() -> Asked {
    Asked::Stop { by: "lea".into() }
}

async fn ask(database: &Database, worker: WorkerId, asked: &Asked) {
    let mut session = database.store.open().await.unwrap();
    assert!(session.ask_worker(worker, asked).await.unwrap());
}

/// A worker that runs one job which waits, and has heard that it is to be quiet.
async fn quieted(database: &Database) -> Running {
    let mut worker = Running::start(&database.store, 2, 0, quick());
    worker.until_started(1).await;
    let id = worker.standing.borrow().worker;
    ask(database, id, &quiet()).await;
    soon(worker.standing.wait_for(|standing| standing.is_quiet)).await.unwrap();
    worker
}

/// Two heartbeats more: time enough for a worker that polls five times a second to claim what it may.
async fn beats_twice(worker: &mut Running) {
    for _ in 0..2 {
        let before = worker.standing.borrow().until;
        soon(worker.standing.wait_for(|standing| standing.until > before)).await.unwrap();
    }
}

#[tokio::test]
async fn a_quiet_worker_finishes_what_runs_and_claims_nothing_until_that_is_taken_back() {
    let database = Database::fresh().await;
    let id = database.enqueue(WAIT, &[0]).await[0];
    let mut worker = quieted(&database).await;
    database.enqueue(WORK, &[0]).await;

    beats_twice(&mut worker).await;
    worker.control.end(id, success());
    worker.until(|progress| progress.done == 1).await;
    beats_twice(&mut worker).await;
    assert_eq!(database.states().await, "ready 1, successful 1");

    let its_id = worker.standing.borrow().worker;
    ask(&database, its_id, &Asked::Nothing).await;
    worker.until(|progress| progress.done == 2).await;
    assert_eq!(worker.stop().await, Ending::Drained);
}

#[tokio::test]
async fn a_quiet_worker_asks_for_no_wake_ups() {
    let database = Database::fresh().await;
    let mut worker = Running::start(&database.store, 1, 0, quick());
    worker.until(|progress| progress.idle).await;
    let idle = "select cast(count(*) as bigint) from gristmill_worker where idle";
    soon(async {
        while int(&database.sql(idle).await[0][0]) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;

    let its_id = worker.standing.borrow().worker;
    ask(&database, its_id, &quiet()).await;

    soon(async {
        while int(&database.sql(idle).await[0][0]) > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(worker.stop().await, Ending::Drained);
}

#[tokio::test]
async fn a_quiet_worker_stays_quiet_when_it_has_to_register_anew() {
    let database = Database::fresh().await;
    let id = database.enqueue(WAIT, &[0]).await[0];
    let mut worker = quieted(&database).await;
    let before = worker.standing.borrow().worker;
    database.enqueue(WORK, &[0]).await;

    database.sql("update gristmill_worker set lost_at = heartbeat_at").await;

    soon(worker.standing.wait_for(|standing| standing.worker != before && standing.until.is_some())).await.unwrap();
    beats_twice(&mut worker).await;
    assert!(worker.standing.borrow().is_quiet);
    assert_eq!(worker.control.started().borrow().as_slice(), [id]);
    let its_id = worker.standing.borrow().worker;
    ask(&database, its_id, &Asked::Nothing).await;
    worker.until_started(2).await;
    worker.stop().await;
}

#[tokio::test]
async fn who_is_asked_to_stop_drains_as_by_a_first_signal() {
    let database = Database::fresh().await;
    let ids = database.enqueue(WAIT, &[0; 3]).await;
    let mut worker = Running::start(&database.store, 1, 2, quick());
    worker.until(|progress| progress.running == 3).await;

    let its_id = worker.standing.borrow().worker;
    ask(&database, its_id, &stop()).await;

    worker.until(|progress| progress.handed_back == 2).await;
    worker.control.end(ids[0], success());
    assert_eq!(worker.ending().await, Ending::Drained);
    assert_eq!(database.states().await, "ready 2, successful 1");
    assert_eq!(int(&database.sql("select cast(exit_status as bigint) from gristmill_worker").await[0][0]), 0);
}

#[tokio::test]
async fn who_is_asked_to_stop_hands_back_at_the_end_of_its_grace() {
    let database = Database::fresh().await;
    let id = database.enqueue(WAIT, &[0]).await[0];
    let worker = Running::start(&database.store, 1, 0, Options { grace: Duration::from_millis(100), ..quick() });
    worker.until_started(1).await;

    let its_id = worker.standing.borrow().worker;
    ask(&database, its_id, &stop()).await;

    assert_eq!(worker.ending().await, Ending::HandedBack(1));
    assert_eq!(database.state(id).await, "ready");
}

#[tokio::test]
async fn who_is_quiet_may_be_asked_to_stop() {
    let database = Database::fresh().await;
    let id = database.enqueue(WAIT, &[0]).await[0];
    let worker = quieted(&database).await;
    worker.control.end(id, success());

    let its_id = worker.standing.borrow().worker;
    ask(&database, its_id, &stop()).await;

    assert_eq!(worker.ending().await, Ending::Drained);
}
