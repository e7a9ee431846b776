//! What a worker may be going through when a call breaks. Each plays to its end and says what has to be true then.

#![allow(dead_code)]

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use gristmill_core::{JobId, Lease, Outcome, Until};
use gristmill_engine::{Ending, Options};
use gristmill_store::NewJob;

use super::Stage;
use crate::common::{CRASH, Running, WAIT, WORK, error, job, quick, soon, success, until_done};

type Play<'a> = Pin<Box<dyn Future<Output = Option<Running>> + Send + 'a>>;

/// A scenario; it gives the worker back unless it has stopped it.
#[derive(Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    pub play: for<'a> fn(&'a Stage) -> Play<'a>,
}

macro_rules! scenarios {
    ($($name:ident),* $(,)?) => {
        vec![$(Scenario { name: stringify!($name), play: |stage| Box::pin($name(stage)) }),*]
    };
}

/// All of them.
pub fn all() -> Vec<Scenario> {
    scenarios![
        jobs_succeed,
        a_job_is_tried_again,
        a_job_postpones_itself,
        a_running_job_is_cancelled,
        a_job_crashes_until_it_is_poisoned,
        a_worker_stops,
        a_claim_gets_no_answer,
        an_end_gets_no_answer,
        an_outage_outlives_the_fence,
        old_jobs_are_pruned,
        a_unique_job_is_claimed,
        a_job_is_given_back,
    ]
}

/// Those that differ most from each other, for a database that takes longer.
pub fn some() -> Vec<Scenario> {
    scenarios![jobs_succeed, a_running_job_is_cancelled, a_claim_gets_no_answer, an_end_gets_no_answer]
}

// A lease that no broken call outlives.
fn steady() -> Options {
    Options {
        lease: Lease::new(Duration::from_secs(1)),
        poll_interval: Duration::from_millis(200),
        ..Options::default()
    }
}

async fn ended(play: &Stage, id: JobId, state: &str, outcomes: &[&str]) {
    play.database.until_state(id, state).await;
    assert_eq!(play.database.outcomes(id).await, outcomes);
}

async fn jobs_succeed(stage: &Stage) -> Option<Running> {
    let jobs = [job(WORK, "a", 1), job(WORK, "b", 0), job(WORK, "a", 0)];
    let ids = stage.database.enqueue_jobs(&jobs).await;
    let worker = stage.start(1, 1, steady());
    for id in &ids {
        ended(stage, *id, "successful", &["successful"]).await;
    }
    assert_eq!(worker.control.started().borrow().len(), 3);
    Some(worker)
}

async fn a_job_is_tried_again(stage: &Stage) -> Option<Running> {
    let options = r#"{"max_attempts": 3, "backoff": {"kind": "constant", "seconds": 0.02}}"#;
    let job = NewJob { options_json: Some(options.into()), ..job(WAIT, "default", 0) };
    let id = stage.database.enqueue_jobs(&[job]).await[0];
    let worker = stage.start(1, 0, steady());
    for (n, outcome) in [(1, error()), (2, error()), (3, success())] {
        worker.until_started(n).await;
        worker.control.end(id, outcome);
    }
    ended(stage, id, "successful", &["failed", "failed", "successful"]).await;
    Some(worker)
}

async fn a_job_postpones_itself(stage: &Stage) -> Option<Running> {
    let id = stage.database.enqueue(WAIT, &[0]).await[0];
    let worker = stage.start(1, 0, steady());
    worker.until_started(1).await;
    let until = Until::After(Duration::from_millis(20));
    worker.control.end(id, Outcome::Postponed { until, after: None, why: "not yet".into() });
    worker.until_started(2).await;
    worker.control.end(id, success());
    ended(stage, id, "successful", &["postponed", "successful"]).await;
    Some(worker)
}

async fn a_running_job_is_cancelled(stage: &Stage) -> Option<Running> {
    let ids = stage.database.enqueue(WAIT, &[0, 0]).await;
    let worker = stage.start(2, 0, steady());
    worker.until_started(2).await;
    stage.database.store.open().await.unwrap().cancel(&ids[..1], "someone").await.unwrap();
    ended(stage, ids[0], "cancelled", &["cancelled"]).await;
    worker.control.end(ids[1], success());
    ended(stage, ids[1], "successful", &["successful"]).await;
    Some(worker)
}

async fn a_job_crashes_until_it_is_poisoned(stage: &Stage) -> Option<Running> {
    let id = stage.database.enqueue(CRASH, &[0]).await[0];
    let worker = stage.start(1, 0, steady());
    ended(stage, id, "poisoned", &["crashed", "crashed", "crashed"]).await;
    Some(worker)
}

async fn a_worker_stops(stage: &Stage) -> Option<Running> {
    let ids = stage.database.enqueue(WAIT, &[0; 3]).await;
    let mut worker = stage.start(1, 2, steady());
    worker.until(|figures| figures.running == 3).await;
    worker.stopper.request();
    let started = worker.control.started().borrow()[0];
    worker.control.end(started, success());
    assert_eq!(worker.ending().await, Ending::Drained);
    ended(stage, started, "successful", &["successful"]).await;
    for id in ids.into_iter().filter(|id| *id != started) {
        ended(stage, id, "ready", &[]).await;
    }
    None
}

async fn a_claim_gets_no_answer(stage: &Stage) -> Option<Running> {
    let ids = stage.database.enqueue(WORK, &[0, 0]).await;
    stage.faults.lose_answer_to("insert into gristmill_running");
    let worker = stage.start(2, 0, steady());
    for id in &ids {
        ended(stage, *id, "successful", &["successful"]).await;
    }
    assert_eq!(worker.control.started().borrow().len(), 2);
    Some(worker)
}

async fn an_end_gets_no_answer(stage: &Stage) -> Option<Running> {
    let id = stage.database.enqueue(WORK, &[0]).await[0];
    stage.faults.lose_answer_to("insert into gristmill_result");
    let worker = stage.start(1, 0, steady());
    ended(stage, id, "successful", &["successful"]).await;
    assert_eq!(worker.control.started().borrow().len(), 1);
    Some(worker)
}

async fn an_outage_outlives_the_fence(stage: &Stage) -> Option<Running> {
    let id = stage.database.enqueue(WAIT, &[0]).await[0];
    let mut worker = stage.start(1, 0, quick());
    worker.until_started(1).await;
    stage.faults.set_down(true);
    worker.until(|figures| figures.running == 0).await;
    stage.faults.set_down(false);
    // A lease so short may pass a second time when a call breaks as well.
    soon(async {
        let mut starts = 1;
        while stage.database.state(id).await != "successful" {
            starts = worker.control.started().borrow().len().max(starts);
            worker.control.end_if_it_runs(id, success());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(starts > 1);
    })
    .await;
    let outcomes = stage.database.outcomes(id).await;
    let (last, before) = outcomes.split_last().unwrap();
    assert_eq!(last, "successful");
    assert!(!before.is_empty() && before.iter().all(|outcome| outcome == "interrupted"), "{before:?}");
    Some(worker)
}

async fn old_jobs_are_pruned(stage: &Stage) -> Option<Running> {
    let ids = stage.database.enqueue(WORK, &[0, 0, 0]).await;
    Running::start(&stage.database.store, 1, 0, until_done()).ending().await;
    let mut session = stage.database.store.open().await.unwrap();
    session.retry(&ids[2..], "someone").await.unwrap();
    stage.database.sql("update gristmill_result set finished_at = '2001-01-01 00:00:00'").await;
    let fresh = stage.database.enqueue(WORK, &[0]).await[0];
    let worker = stage.start(1, 0, steady());
    ended(stage, fresh, "successful", &["successful"]).await;
    ended(stage, ids[2], "successful", &["successful", "successful"]).await;
    soon(async {
        while stage.database.sql("select cast(id as text) from gristmill_job").await.len() > 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let left = stage.database.sql("select cast(job_id as text) from gristmill_attempt").await.len();
    assert_eq!(left, 3, "the attempts of those that are there, and no others");
    Some(worker)
}

async fn a_unique_job_is_claimed(stage: &Stage) -> Option<Running> {
    let unique = || NewJob { unique_key: Some("one".into()), ..job(WAIT, "default", 0) };
    let id = stage.database.enqueue_jobs(&[unique()]).await[0];
    let mut session = stage.database.store.open().await.unwrap();
    assert_eq!(session.enqueue(&[unique()]).await.unwrap().jobs, [(id, true)], "it waits");
    let worker = stage.start(1, 0, steady());
    worker.until_started(1).await;
    let (next, existing) = session.enqueue(&[unique()]).await.unwrap().jobs[0];
    assert!(!existing, "the first has started");
    worker.control.end(id, success());
    worker.until_started(2).await;
    worker.control.end(next, success());
    for id in [id, next] {
        ended(stage, id, "successful", &["successful"]).await;
    }
    assert!(stage.database.sql("select key from gristmill_unique_key").await.is_empty());
    Some(worker)
}

async fn a_job_is_given_back(stage: &Stage) -> Option<Running> {
    let id = stage.database.enqueue(WAIT, &[0]).await[0];
    let worker = stage.start(1, 0, steady());
    worker.until_started(1).await;
    worker.control.end(id, Outcome::HandedBack);
    worker.until_started(2).await;
    worker.control.end(id, success());
    ended(stage, id, "successful", &["successful"]).await;
    Some(worker)
}
