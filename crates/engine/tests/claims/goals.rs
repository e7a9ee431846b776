//! Jobs that wait for others.

use std::collections::HashMap;
use std::time::Duration;

use crate::common::{Database, FAIL, Running, WAIT, WORK, in_time, job, soon, success, until_done};
use gristmill_core::{Attempt, JobId, OnPreconditionFailure};
use gristmill_engine::{Ending, Options};
use gristmill_store::NewJob;

/// Each waits for the one before.
fn chain(task: &str, queue: &str, length: usize) -> Vec<NewJob> {
    let mut jobs: Vec<NewJob> = (0..length).map(|_| job(task, queue, 0)).collect();
    for at in 1..length {
        jobs[at].after = vec![jobs[at - 1].id];
    }
    jobs
}

fn after(task: &str, preconditions: &[JobId]) -> NewJob {
    NewJob { after: preconditions.to_vec(), ..job(task, "default", 0) }
}

#[tokio::test]
async fn a_chain_of_jobs_runs_in_order_and_waits_for_no_poll_between_its_levels() {
    let database = Database::fresh().await;
    // A poll a level would take longer than a test may.
    let ids = database.enqueue_jobs(&chain(WORK, "default", 300)).await;
    let options = Options { poll_interval: Duration::from_hours(1), ..Options::default() };
    let worker = Running::start(&database.store, 1, 0, options);
    assert_eq!(worker.until_started(300).await, ids);
    assert_eq!(worker.stop().await, Ending::Drained);
    assert_eq!(database.states().await, "successful 300");
}

#[tokio::test]
async fn a_chain_in_a_queue_with_a_limit_waits_for_no_poll_either() {
    let database = Database::fresh().await;
    let ids = database.enqueue_jobs(&chain(WORK, "slow", 150)).await;
    let queue_limits = HashMap::from([("slow".to_owned(), 1)]);
    let options = Options { poll_interval: Duration::from_hours(1), queue_limits, ..Options::default() };
    let worker = Running::start(&database.store, 2, 0, options);
    assert_eq!(worker.until_started(150).await, ids);
    worker.stop().await;
}

#[tokio::test]
async fn what_waits_for_an_end_that_its_handler_wrote_starts_soon() {
    let database = Database::fresh().await;
    let ids = database.enqueue_jobs(&chain(WAIT, "default", 30)).await;
    let options = Options { poll_interval: Duration::from_hours(1), ..Options::default() };
    let worker = Running::start(&database.store, 1, 0, options);
    let mut handlers = database.store.open().await.unwrap();
    for (at, id) in ids.iter().enumerate() {
        worker.until_started(at + 1).await;
        let attempt = Attempt::unstarted(worker.control.claimed(*id), success());
        assert_eq!(handlers.finish(&[attempt]).await.unwrap().accepted.len(), 1);
        worker.control.end_written(*id, success());
    }
    worker.stop().await;
    assert_eq!(database.states().await, "successful 30");
}

#[tokio::test]
async fn who_works_until_all_is_done_sees_to_gates_and_leaves_the_stranded() {
    let database = Database::fresh().await;
    let done = database.enqueue(WORK, &[0]).await[0];
    assert_eq!(Running::start(&database.store, 1, 0, until_done()).ending().await, Ending::Drained);
    let failing = job(FAIL, "default", 0);
    let fan: Vec<NewJob> = (0..20).map(|_| after(WORK, &[done])).collect();
    let all: Vec<JobId> = fan.iter().map(|job| job.id).collect();
    let stranded = after(WORK, &[done, failing.id]);
    let proceeds = NewJob { on_precondition_failure: OnPreconditionFailure::Proceed, ..after(WORK, &[failing.id]) };
    let fails = NewJob { on_precondition_failure: OnPreconditionFailure::Fail, ..after(WORK, &[failing.id]) };
    let mut jobs = vec![failing, after(WORK, &all), stranded, proceeds, fails];
    jobs.extend(fan);
    database.enqueue_jobs(&jobs).await;
    assert_eq!(Running::start(&database.store, 4, 0, until_done()).ending().await, Ending::Drained);
    assert_eq!(database.states().await, "failed 2, stranded 1, successful 23");
}

#[tokio::test]
async fn a_worker_without_room_opens_gates_for_those_who_have() {
    let database = Database::fresh().await;
    let done = database.enqueue(WORK, &[0]).await[0];
    assert_eq!(Running::start(&database.store, 1, 0, until_done()).ending().await, Ending::Drained);
    database.enqueue(WAIT, &[0]).await;
    let busy = Running::start(&database.store, 1, 0, Options::default());
    busy.until_started(1).await;
    let waiting = database.enqueue_jobs(&[after(WORK, &[done])]).await[0];
    database.until_state(waiting, "ready").await;
    busy.kill().await;
}

#[tokio::test]
async fn a_worker_with_a_horizon_leaves_alone_what_is_due_later() {
    let database = Database::fresh().await;
    let due = |minutes| NewJob { deadline: Some(in_time(Duration::from_mins(minutes))), ..job(WORK, "default", 0) };
    let ids = database.enqueue_jobs(&[due(60), due(1), due(30)]).await;
    let options = Options { deadline_horizon: Some(Duration::from_mins(5)), ..until_done() };
    assert_eq!(Running::start(&database.store, 1, 1, options).ending().await, Ending::Drained);
    assert_eq!(database.states().await, "ready 2, successful 1");
    assert_eq!(database.state(ids[1]).await, "successful");
    soon(Running::start(&database.store, 1, 1, until_done()).task_end()).await;
    assert_eq!(database.states().await, "successful 3");
}
