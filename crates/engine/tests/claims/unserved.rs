//! What a worker says of jobs that are its own to run and that it cannot, and what it serves after a reload.

use std::time::Duration;

use gristmill_engine::{Ending, Options};

use crate::common::{Database, LATE, Running, WORK, int, job, quick, soon, text, until_done};

#[tokio::test]
async fn a_worker_that_ends_when_all_is_done_says_how_many_jobs_it_cannot_run() {
    let database = Database::fresh().await;
    database.enqueue(WORK, &[0, 0]).await;
    database.enqueue(LATE, &[0, 5, 5]).await;
    let worker = Running::start(&database.store, 1, 0, until_done());
    assert_eq!(worker.ending().await, Ending::Unserved(3));
    assert_eq!(Ending::Unserved(3).exit_status(), 3);
    assert_eq!(database.states().await, "ready 3, successful 2");
    let rows = database.sql("select cast(exit_status as bigint) from gristmill_worker").await;
    assert_eq!(int(&rows[0][0]), 3);
}

#[tokio::test]
async fn a_worker_may_be_told_to_leave_them() {
    let database = Database::fresh().await;
    database.enqueue(LATE, &[0]).await;
    let options = Options { allow_unserved: true, ..until_done() };
    assert_eq!(Running::start(&database.store, 1, 0, options).ending().await, Ending::Drained);
}

#[tokio::test]
async fn jobs_of_queues_that_somebody_else_serves_are_not_this_workers_to_tell() {
    let database = Database::fresh().await;
    database.enqueue_jobs(&[job(LATE, "spam", 0), job(WORK, "other", 0)]).await;
    let chosen = Options { queues: Some(vec!["mail".into()]), queues_are_chosen: true, ..until_done() };
    assert_eq!(Running::start(&database.store, 1, 0, chosen.clone()).ending().await, Ending::Drained);
    // Where they are all that the settings have, nobody else serves what is in others.
    let all = Options { queues_are_chosen: false, exclude_queues: vec!["spam".into()], ..chosen };
    assert_eq!(Running::start(&database.store, 1, 0, all).ending().await, Ending::Unserved(1));
}

#[tokio::test]
async fn a_worker_that_is_stopped_or_does_what_is_due_once_has_left_nothing_undone() {
    let database = Database::fresh().await;
    database.enqueue(LATE, &[0]).await;
    let mut worker = Running::start(&database.store, 1, 0, quick());
    worker.until(|figures| figures.idle).await;
    assert_eq!(worker.stop().await, Ending::Drained);
    let once = Options { once: true, ..Options::default() };
    assert_eq!(Running::start(&database.store, 1, 0, once).ending().await, Ending::Drained);
}

#[tokio::test]
async fn a_task_that_newly_loaded_code_has_is_served_from_then_on_and_people_are_told() {
    let database = Database::fresh().await;
    let id = database.enqueue(LATE, &[0]).await[0];
    // A poll would come far too late.
    let options = Options { poll_interval: Duration::from_hours(1), ..Options::default() };
    let mut worker = Running::start(&database.store, 1, 0, options);
    worker.until(|figures| figures.idle).await;
    worker.control.import(&[WORK, LATE]);
    database.until_state(id, "successful").await;
    soon(async {
        loop {
            let rows = database.sql("select tasks from gristmill_worker").await;
            if text(&rows[0][0]) == format!("[\"{WORK}\",\"{LATE}\"]") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(worker.stop().await, Ending::Drained);
}

#[tokio::test]
async fn a_task_that_newly_loaded_code_has_lost_is_not_claimed_any_more() {
    let database = Database::fresh().await;
    let mut worker = Running::start(&database.store, 1, 0, quick());
    worker.until(|figures| figures.idle).await;
    worker.control.import(&[LATE]);
    let [gone, kept] = [WORK, LATE].map(|task| job(task, "default", 0));
    let ids = database.enqueue_jobs(&[gone, kept]).await;
    database.until_state(ids[1], "successful").await;
    assert_eq!(database.state(ids[0]).await, "ready");
    assert_eq!(database.outcomes(ids[0]).await, Vec::<String>::new());
    assert_eq!(worker.stop().await, Ending::Drained);
}
