//! What a worker makes of people's cancel requests, and of what its handlers say.

use std::time::Duration;

use crate::common::{
    CRASH, Database, Faulty, Running, WAIT, WORK, error, job, mortal, quick, soon, success, until_done,
};
use gristmill_core::{JobId, Outcome, Token};
use gristmill_engine::{Ending, Options, Stage};
use gristmill_store::{NewJob, Value};

/// A worker learns of a cancel within a second; the machine may have other things to do.
const LEARNED: Duration = Duration::from_secs(30);

async fn cancel(database: &Database, id: JobId) -> String {
    let mut session = database.store.open().await.unwrap();
    session.cancel(&[id], "someone").await.unwrap().remove(0).done
}

#[tokio::test]
async fn a_cancel_reaches_a_running_job_within_a_second_and_once() {
    let database = Database::fresh().await;
    let ids = database.enqueue(WAIT, &[0, 0]).await;
    let mut worker = Running::start(&database.store, 2, 0, Options::default());
    worker.until_started(2).await;
    worker.control.turn_deaf();
    assert_eq!(cancel(&database, ids[0]).await, "asked");
    let asked = std::time::Instant::now();
    soon(async {
        while worker.control.cancels().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(asked.elapsed() < LEARNED, "{:?}", asked.elapsed());
    // Two more times the worker asks, and is told of the same request.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(worker.control.cancels(), [(ids[0], Token(1))]);
    worker.control.end(ids[0], Outcome::Cancelled { how: "raised".into() });
    worker.control.end(ids[1], success());
    worker.until(|figures| figures.done == 1 && figures.failed == 1).await;
    worker.stop().await;
    assert_eq!(database.states().await, "cancelled 1, successful 1");
}

#[tokio::test]
async fn a_cancelled_job_that_crashes_or_fails_is_cancelled_and_not_tried_again() {
    let database = Database::fresh().await;
    let options = Some(r#"{"max_attempts": null, "backoff": {"kind": "constant", "seconds": 0}}"#.to_owned());
    let jobs = [WAIT; 2].map(|task| NewJob { options_json: options.clone(), ..job(task, "default", 0) });
    let ids = database.enqueue_jobs(&jobs).await;
    let worker = Running::start(&database.store, 2, 0, quick());
    worker.until_started(2).await;
    worker.control.turn_deaf();
    for id in &ids {
        cancel(&database, *id).await;
    }
    worker.control.end(ids[0], Outcome::Crashed { how: "signal 9 (SIGKILL)".into() });
    worker.control.end(ids[1], error());
    database.until_state(ids[0], "cancelled").await;
    database.until_state(ids[1], "cancelled").await;
    assert_eq!(worker.stop().await, Ending::Drained);
}

#[tokio::test]
async fn a_success_that_comes_first_wins_over_a_cancel() {
    let database = Database::fresh().await;
    let id = database.enqueue(WAIT, &[0]).await[0];
    let mut worker = Running::start(&database.store, 1, 0, quick());
    worker.until_started(1).await;
    worker.control.turn_deaf();
    cancel(&database, id).await;
    worker.control.end(id, success());
    worker.until(|figures| figures.done == 1).await;
    worker.stop().await;
    assert_eq!(database.state(id).await, "successful");
}

#[tokio::test]
async fn a_busy_worker_learns_of_a_cancel_too() {
    let database = Database::fresh().await;
    let id = database.enqueue(WAIT, &[9]).await[0];
    let worker = Running::start(&database.store, 3, 3, Options::default());
    worker.until_started(1).await;
    cancel(&database, id).await;
    let until = std::time::Instant::now() + LEARNED;
    let mut enqueued = 0;
    while database.state(id).await != "cancelled" {
        assert!(std::time::Instant::now() < until, "not learned while {enqueued} jobs came");
        database.enqueue(WORK, &[0; 20]).await;
        enqueued += 20;
    }
    worker.stopper.advance(Stage::Stopping);
    worker.ending().await;
}

#[tokio::test]
async fn a_cancel_request_about_a_job_whose_worker_vanished_is_carried_out_by_another() {
    let database = Database::fresh().await;
    let (sessions, _faults) = Faulty::new(&database.store);
    let id = database.enqueue(WAIT, &[0]).await[0];
    let dead = Running::start(&sessions, 1, 0, mortal());
    dead.until_started(1).await;
    dead.kill().await;
    cancel(&database, id).await;
    let worker = Running::start(&sessions, 1, 0, mortal());
    database.until_state(id, "cancelled").await;
    assert!(worker.control.started().borrow().is_empty());
    worker.stop().await;
}

#[tokio::test]
async fn what_a_handler_says_is_written_while_it_runs_and_at_last_before_its_end() {
    let database = Database::fresh().await;
    let id = database.enqueue(WAIT, &[0]).await[0];
    let mut worker = Running::start(&database.store, 1, 0, Options::default());
    worker.until_started(1).await;
    worker.control.progress(id, 1.0);
    soon(async {
        while said(&database).await != [1.0] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    // These come within a second: the last of them is written with the end.
    worker.control.progress(id, 2.0);
    worker.control.progress(id, 3.0);
    worker.control.end(id, success());
    worker.until(|figures| figures.done == 1).await;
    assert_eq!(said(&database).await, [3.0]);
    worker.stop().await;
}

async fn said(database: &Database) -> Vec<f64> {
    let rows = database.sql("select done from gristmill_progress").await;
    rows.iter().map(|row| if let Value::Float(done) = row[0] { done } else { panic!("{row:?}") }).collect()
}

#[tokio::test]
async fn a_worker_forgets_jobs_whose_retention_is_over_and_no_others() {
    let database = Database::fresh().await;
    let jobs = [job(WORK, "default", 0), job(CRASH, "default", 0)];
    database.enqueue_jobs(&jobs).await;
    Running::start(&database.store, 1, 0, until_done()).ending().await;
    database.sql("update gristmill_result set finished_at = '2001-01-01 00:00:00' where state = 'successful'").await;
    let waiting = job("tests.unknown", "default", 0);
    database.enqueue_jobs(&[waiting]).await;
    // A retention of nothing still leaves people a minute to look.
    let options = Options { retention: Duration::ZERO, ..quick() };
    let worker = Running::start(&database.store, 1, 0, options);
    soon(async {
        while database.states().await != "poisoned 1, ready 1" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    worker.stop().await;
    assert_eq!(database.sql("select cast(id as text) from gristmill_job").await.len(), 2);
}
