//! What a worker tells of ends, and what it waits for after them.

use std::time::Duration;

use crate::common::{Database, Faulty, Running, WAIT, WORK, error, job, quick, soon, success, until_done};
use gristmill_core::{JobId, Note, Outcome, State, Token};
use gristmill_engine::{Ending, Event, Options, Stage};
use gristmill_store::{NewJob, Value};

const RETRIED: &str = r#"{"max_attempts": null, "backoff": {"kind": "constant", "seconds": 3600}}"#;

fn retried() -> NewJob {
    NewJob { options_json: Some(RETRIED.into()), ..job(WAIT, "default", 0) }
}

async fn until(condition: impl Fn() -> bool) {
    soon(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn who_asks_hears_what_became_of_an_end_once_it_is_written() {
    let database = Database::fresh().await;
    let ids = database.enqueue_jobs(&[job(WAIT, "default", 0), retried(), job(WAIT, "default", 0)]).await;
    let worker = Running::start(&database.store, 3, 0, quick());
    worker.until_started(3).await;
    for (id, outcome, told, state) in [
        (ids[0], success(), Some(State::Successful), "successful"),
        (ids[1], error(), None, "scheduled"),
        (ids[2], error(), Some(State::Failed), "failed"),
    ] {
        let before = worker.control.settled().len();
        worker.control.end_asking(id, outcome);
        until(|| worker.control.settled().len() > before).await;
        assert_eq!(worker.control.settled()[before..], [(id, told)]);
        assert_eq!(database.state(id).await, state);
        worker.control.rest();
    }
    worker.stop().await;
}

#[tokio::test]
async fn a_cancel_request_that_won_over_a_retry_is_told() {
    let database = Database::fresh().await;
    let id = database.enqueue_jobs(&[retried()]).await[0];
    let worker = Running::start(&database.store, 1, 0, quick());
    worker.until_started(1).await;
    worker.control.turn_deaf();
    database.store.open().await.unwrap().cancel(&[id], "someone").await.unwrap();
    worker.control.end_asking(id, error());
    until(|| !worker.control.settled().is_empty()).await;
    assert_eq!(worker.control.settled(), [(id, Some(State::Cancelled))]);
    worker.control.hear_again();
    worker.control.rest();
    worker.stop().await;
}

#[tokio::test]
async fn nobody_hears_of_an_end_before_the_database_has_accepted_it() {
    let database = Database::fresh().await;
    let (sessions, faults) = Faulty::new(&database.store);
    let id = database.enqueue(WAIT, &[0]).await[0];
    let worker = Running::start(&sessions, 1, 0, Options::default());
    worker.until_started(1).await;
    faults.set_down(true);
    worker.control.end_asking(id, success());
    let tried = faults.tried();
    // It has tried, and the database was away.
    until(|| faults.tried() > tried + 1).await;
    assert_eq!(worker.control.settled(), []);
    faults.set_down(false);
    until(|| !worker.control.settled().is_empty()).await;
    assert_eq!(worker.control.settled(), [(id, Some(State::Successful))]);
    worker.control.rest();
    worker.stop().await;
}

#[tokio::test]
async fn an_end_whose_answer_was_lost_is_told_all_the_same() {
    let database = Database::fresh().await;
    let (sessions, faults) = Faulty::new(&database.store);
    let id = database.enqueue(WAIT, &[0]).await[0];
    let worker = Running::start(&sessions, 1, 0, Options::default());
    worker.until_started(1).await;
    faults.lose_answer_to("insert into gristmill_result");
    worker.control.end_asking(id, success());
    until(|| !worker.control.settled().is_empty()).await;
    assert_eq!(worker.control.settled(), [(id, Some(State::Successful))]);
    assert_eq!(database.outcomes(id).await, ["successful"]);
    worker.control.rest();
    worker.stop().await;
}

#[tokio::test]
async fn nobody_hears_of_an_end_that_came_too_late() {
    let database = Database::fresh().await;
    let id = database.enqueue(WAIT, &[0]).await[0];
    let worker = Running::start(&database.store, 1, 0, Options::default());
    worker.until_started(1).await;
    let claimed = worker.control.claimed(id);
    database.store.open().await.unwrap().hand_back(&[(claimed.id, claimed.token)]).await.unwrap();
    worker.control.end_asking(id, success());
    until(|| !worker.control.settled().is_empty()).await;
    assert_eq!(worker.control.settled()[0], (id, None));
    worker.stopper.advance(Stage::Stopping);
    worker.ending().await;
}

#[tokio::test]
async fn a_worker_that_works_until_all_is_done_waits_for_what_follows_an_end_and_for_what_that_enqueues() {
    let database = Database::fresh().await;
    let id = database.enqueue(WAIT, &[0]).await[0];
    let mut worker = Running::start(&database.store, 1, 0, until_done());
    worker.until_started(1).await;
    worker.control.end_asking(id, success());
    worker.until(|figures| figures.done == 1).await;
    until(|| !worker.control.settled().is_empty()).await;
    let late = database.enqueue(WORK, &[0]).await[0];
    worker.control.rest();
    assert_eq!(worker.ending().await, Ending::Drained);
    assert_eq!(database.state(late).await, "successful");
}

#[tokio::test]
async fn a_worker_that_stops_leaves_what_follows_an_end_its_grace() {
    let database = Database::fresh().await;
    let id = database.enqueue(WAIT, &[0]).await[0];
    let worker = Running::start(&database.store, 1, 0, quick());
    worker.until_started(1).await;
    let control = worker.control.clone();
    control.end_asking(id, success());
    until(|| !control.settled().is_empty()).await;
    worker.stopper.request();
    // A job that comes now is not claimed; the worker is still there when the receivers have done their part.
    database.enqueue(WORK, &[0]).await;
    control.rest();
    assert_eq!(worker.ending().await, Ending::Drained);
    assert_eq!(control.interrupts(), 1, "as ever when nothing is left");

    let options = Options { grace: Duration::from_millis(50), ..quick() };
    let id = database.enqueue(WAIT, &[9]).await[0];
    let worker = Running::start(&database.store, 1, 0, options);
    worker.until_started(1).await;
    worker.control.end_asking(id, success());
    assert_eq!(worker.stop().await, Ending::Drained, "nothing was handed back");
    assert_eq!(database.state(id).await, "successful");
}

#[tokio::test]
async fn what_is_said_of_an_attempt_after_its_end_is_added_to_it() {
    let database = Database::fresh().await;
    let (sessions, faults) = Faulty::new(&database.store);
    let id = database.enqueue(WAIT, &[0]).await[0];
    let worker = Running::start(&sessions, 1, 0, Options::default());
    worker.until_started(1).await;
    faults.set_down(true);
    worker.control.end_printing(id, success(), "so far");
    worker.control.say(Event::Noted(note(id, "a hook failed\n")));
    faults.set_down(false);
    database.until_state(id, "successful").await;
    // It is not left behind either.
    assert_eq!(worker.stop().await, Ending::Drained);
    let output = database.sql("select output from gristmill_attempt").await;
    assert_eq!(output, [[Value::Text("so far\na hook failed\n".into())]]);
}

fn note(job: JobId, text: &str) -> Note {
    Note { job, token: Token(1), text: text.into() }
}

#[tokio::test]
async fn an_end_that_the_handler_wrote_itself_is_told_at_once() {
    let database = Database::fresh().await;
    let id = database.enqueue(WAIT, &[0]).await[0];
    let worker = Running::start(&database.store, 1, 0, Options::default());
    worker.until_started(1).await;
    let claimed = worker.control.claimed(id);
    let attempt = gristmill_core::Attempt::unstarted(claimed, Outcome::HandedBack);
    database.store.open().await.unwrap().finish(&[attempt]).await.unwrap();
    worker.control.end_written_asking(id, success());
    until(|| !worker.control.settled().is_empty()).await;
    assert_eq!(worker.control.settled()[0], (id, Some(State::Successful)));
    worker.stopper.advance(Stage::Stopping);
    worker.ending().await;
}
