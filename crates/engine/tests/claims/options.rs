//! What a worker makes of the options of jobs and queues.

use std::collections::HashMap;
use std::time::Duration;

use crate::common::{Database, Running, WAIT, WORK, error, job, quick, success, text, until_done};
use gristmill_core::{Attempt, Outcome};
use gristmill_engine::{Ending, Options, Stage};
use gristmill_store::{NewJob, Value};

fn with_options(task: &str, options: &str) -> NewJob {
    NewJob { options_json: Some(options.into()), ..job(task, "default", 0) }
}

#[tokio::test]
async fn an_expired_job_never_starts_and_one_that_is_young_enough_does() {
    let database = Database::fresh().await;
    let jobs = [
        with_options(WORK, r#"{"expires": 0.01}"#),
        with_options(WORK, r#"{"expires": "2001-01-01 00:00:00.000000", "max_attempts": 5}"#),
        with_options(WORK, r#"{"expires": 3600}"#),
    ];
    let ids = database.enqueue_jobs(&jobs).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let worker = Running::start(&database.store, 1, 1, until_done());
    let started = worker.control.started();
    assert_eq!(worker.ending().await, Ending::Drained);
    assert_eq!(*started.borrow(), [ids[2]]);
    for id in &ids[..2] {
        assert_eq!(database.state(*id).await, "failed");
        assert_eq!(database.outcomes(*id).await, ["expired"]);
    }
    let reasons = database.sql("select reason from gristmill_result where reason is not null").await;
    assert_eq!(reasons.iter().map(|row| text(&row[0])).collect::<Vec<_>>(), ["expired", "expired"]);
}

#[tokio::test]
async fn a_job_whose_options_cannot_be_read_never_starts_and_says_which_it_is() {
    let database = Database::fresh().await;
    let jobs = [
        with_options(WORK, r#"{"max_memory_mb": 1e400, "on_crash": "fail", "transactional": true}"#),
        with_options(WORK, r#"{"on_crash": "ask", "transactional": true}"#),
        with_options(WORK, "no JSON"),
        with_options(WORK, r#"{"colour": "of someone else"}"#),
    ];
    let ids = database.enqueue_jobs(&jobs).await;
    let worker = Running::start(&database.store, 1, 1, until_done());
    let started = worker.control.started();
    assert_eq!(worker.ending().await, Ending::Drained);
    assert_eq!(*started.borrow(), [ids[3]]);
    assert_eq!(database.states().await, "scheduled 3, successful 1");
    let reasons = database.sql("select reason from gristmill_attempt where outcome = 'incompatible'").await;
    let mut reasons: Vec<String> = reasons.iter().map(|row| text(&row[0])).collect();
    reasons.sort();
    for (reason, names) in
        reasons.iter().zip(["option max_memory_mb (1e400)", "option on_crash (\"ask\")", "options are no JSON"])
    {
        assert!(reason.contains(names), "{reason}");
    }
}

#[tokio::test]
async fn expired_jobs_are_none_of_those_that_a_worker_was_to_run() {
    let database = Database::fresh().await;
    let mut jobs = [(); 5].map(|()| with_options(WORK, r#"{"expires": "2001-01-01 00:00:00"}"#)).to_vec();
    jobs.extend([job(WORK, "default", -1), job(WORK, "default", -1), job(WORK, "default", -1)]);
    database.enqueue_jobs(&jobs).await;
    let options = Options { max_jobs: Some(2), ..Options::default() };
    let worker = Running::start(&database.store, 1, 0, options);
    assert_eq!(worker.ending().await, Ending::Drained);
    assert_eq!(database.states().await, "failed 5, ready 1, successful 2");
}

#[tokio::test]
async fn an_end_that_the_handlers_own_transaction_has_written_is_not_written_again() {
    let database = Database::fresh().await;
    let id = database.enqueue(WAIT, &[0]).await[0];
    let mut worker = Running::start(&database.store, 1, 0, quick());
    worker.until_started(1).await;
    let claimed = worker.control.claimed(id);
    let attempt = Attempt::unstarted(claimed, success());
    assert_eq!(database.store.open().await.unwrap().finish(&[attempt]).await.unwrap().accepted.len(), 1);
    worker.control.end_written(id, success());
    let figures = worker.until(|figures| figures.running == 0).await;
    assert_eq!((figures.done, figures.stale), (1, 0));
    assert_eq!(worker.stop().await, Ending::Drained);
    assert_eq!(database.outcomes(id).await, ["successful"]);
}

#[tokio::test]
async fn no_more_jobs_of_a_queue_run_at_once_than_its_limit_allows() {
    let database = Database::fresh().await;
    let jobs = ["slow", "slow", "mail", "slow", "mail", "slow"].map(|queue| job(WAIT, queue, 0));
    let ids = database.enqueue_jobs(&jobs).await;
    let options = Options { queue_limits: HashMap::from([("slow".to_owned(), 2)]), ..quick() };
    let mut worker = Running::start(&database.store, 8, 0, options);
    let mut started = worker.until_started(4).await;
    started.sort();
    assert_eq!(started, [ids[0], ids[1], ids[2], ids[4]]);
    // It has looked again since, and found nothing that it may take.
    worker.until(|figures| figures.idle || figures.running > 4).await;
    assert_eq!(worker.control.started().borrow().len(), 4);

    // A place that becomes free is taken at once, and work for others is not overlooked meanwhile.
    worker.control.end(ids[1], success());
    assert_eq!(worker.until_started(5).await[4], ids[3]);
    let mail = database.enqueue_jobs(&[job(WAIT, "mail", -5)]).await[0];
    assert_eq!(worker.until_started(6).await[5], mail);
    worker.stopper.advance(Stage::Stopping);
    worker.ending().await;
}

#[tokio::test]
async fn a_backlog_behind_limits_is_worked_off_to_its_end() {
    let database = Database::fresh().await;
    let jobs: Vec<NewJob> = (0..60).map(|n| job(WORK, ["one", "two", "free"][n % 3], 0)).collect();
    database.enqueue_jobs(&jobs).await;
    let queue_limits = HashMap::from([("one".to_owned(), 1), ("two".to_owned(), 3)]);
    let worker = Running::start(&database.store, 8, 0, Options { queue_limits, ..until_done() });
    assert_eq!(worker.ending().await, Ending::Drained);
    assert_eq!(database.states().await, "successful 60");
}

#[tokio::test]
async fn a_queue_with_a_limit_of_nothing_is_left_alone() {
    let database = Database::fresh().await;
    database.enqueue_jobs(&[job(WORK, "never", 5), job(WORK, "mail", 0)]).await;
    let options = Options { queue_limits: HashMap::from([("never".to_owned(), 0)]), ..until_done() };
    assert_eq!(Running::start(&database.store, 2, 0, options).ending().await, Ending::Drained);
    assert_eq!(database.states().await, "ready 1, successful 1");
}

#[tokio::test]
async fn a_job_that_must_not_run_twice_goes_back_uncharged_when_it_never_started() {
    let database = Database::fresh().await;
    let job = with_options(WAIT, r#"{"on_crash": "fail"}"#);
    let other = with_options(WAIT, r#"{"on_crash": "fail"}"#);
    let ids = database.enqueue_jobs(&[job, other]).await;
    let mut worker = Running::start(&database.store, 1, 1, Options::default());
    worker.until(|figures| figures.running == 2).await;
    worker.stopper.advance(Stage::Stopping);
    worker.ending().await;
    assert_eq!(database.outcomes(ids[0]).await, ["interrupted"]);
    assert_eq!(database.state(ids[0]).await, "failed");
    assert!(database.outcomes(ids[1]).await.is_empty());
    assert_eq!(database.state(ids[1]).await, "ready");
}

#[tokio::test]
async fn a_job_that_fails_is_tried_again_after_its_backoff_and_no_oftener_than_it_may() {
    let database = Database::fresh().await;
    let options = r#"{"max_attempts": 3, "backoff": {"kind": "constant", "seconds": 0.05}}"#;
    let id = database.enqueue_jobs(&[with_options(WAIT, options)]).await[0];
    let worker = Running::start(&database.store, 1, 0, quick());
    for attempt in 1..=3 {
        worker.until_started(attempt).await;
        worker.control.end(id, error());
    }
    database.until_state(id, "failed").await;
    assert_eq!(database.outcomes(id).await, ["failed", "failed", "failed"]);
    assert_eq!(worker.stop().await, Ending::Drained);
}

#[tokio::test]
async fn what_a_handler_printed_stands_on_its_attempt() {
    let database = Database::fresh().await;
    let id = database.enqueue(WAIT, &[0]).await[0];
    let mut worker = Running::start(&database.store, 1, 0, quick());
    worker.until_started(1).await;
    worker.control.end_printing(id, Outcome::Interrupted, "half a line");
    worker.until_started(2).await;
    worker.control.end_printing(id, success(), "all of it\n");
    worker.until(|figures| figures.done == 1).await;
    worker.stop().await;
    let rows = database.sql("select output from gristmill_attempt order by token").await;
    assert_eq!(rows, [[Value::Text("half a line".into())], [Value::Text("all of it\n".into())]]);
}
