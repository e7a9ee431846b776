//! What a worker promises on every database, with an executor that does what each test says.

mod asked;
mod cancel_requests;
mod crashes;
mod drains;
mod ends;
mod fence;
mod goals;
mod locks;
mod options;
mod refusals;
mod schedules;
mod unserved;

use std::time::Duration;

use crate::common::{
    CRASH, Database, FAIL, Faulty, Running, WAIT, WORK, in_time, int, job, mortal, quick, soon, success, until_done,
};
use gristmill_core::Outcome;
use gristmill_engine::{Ending, Options, Stage, shutdown};

// --- looking for work ------------------------------------------------------------------------------------

#[tokio::test]
async fn an_idle_worker_is_woken_by_an_enqueue() {
    let database = Database::fresh().await;
    // A poll would come far too late.
    let options = Options { poll_interval: Duration::from_hours(1), ..Options::default() };
    let mut worker = Running::start(&database.store, 1, 0, options);
    worker.until(|progress| progress.idle).await;
    database.enqueue(WORK, &[0]).await;
    worker.until(|progress| progress.done == 1).await;
    assert_eq!(worker.stop().await, Ending::Drained);
}

#[tokio::test]
async fn jobs_start_in_order_of_priority_and_then_of_age() {
    let database = Database::fresh().await;
    let first = database.enqueue(WORK, &[0, 5, 0, -7, 5]).await;
    let second = database.enqueue(WORK, &[5]).await;
    let worker = Running::start(&database.store, 1, 1, until_done());
    let started = worker.until_started(6).await;
    assert_eq!(worker.ending().await, Ending::Drained);
    assert_eq!(started, [first[1], first[4], second[0], first[0], first[2], first[3]]);
}

#[tokio::test]
async fn a_backlog_over_many_cursors_is_worked_off_and_each_job_starts_once() {
    let database = Database::fresh().await;
    let mut jobs = Vec::new();
    for queue in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"] {
        jobs.extend((0..90).map(|n| job(WORK, queue, n % 3)));
    }
    let mut ids = database.enqueue_jobs(&jobs).await;
    let worker = Running::start(&database.store, 16, 16, until_done());
    let mut started = worker.until_started(ids.len()).await;
    assert_eq!(worker.ending().await, Ending::Drained);
    started.sort();
    ids.sort();
    assert_eq!(started, ids);
    assert_eq!(database.states().await, "successful 990");
}

#[tokio::test]
async fn a_job_of_a_higher_priority_overtakes_a_backlog() {
    let database = Database::fresh().await;
    let backlog = database.enqueue(WAIT, &[0; 5]).await;
    let worker = Running::start(&database.store, 1, 0, Options::default());
    assert_eq!(worker.until_started(1).await, [backlog[0]]);
    let urgent = database.enqueue(WORK, &[100]).await;
    // Longer than the time after which a busy worker looks around.
    tokio::time::sleep(Duration::from_millis(600)).await;
    worker.control.end(backlog[0], success());
    assert_eq!(worker.until_started(3).await, [backlog[0], urgent[0], backlog[1]]);
    worker.control.end(backlog[1], success());
    worker.stopper.advance(Stage::Stopping);
    worker.ending().await;
}

#[tokio::test]
async fn a_worker_leaves_alone_what_it_does_not_serve() {
    let database = Database::fresh().await;
    let jobs = [job(WORK, "mail", 0), job(WORK, "slow", 0), job("tests.unknown", "mail", 9), job(WORK, "other", 0)];
    let ids = database.enqueue_jobs(&jobs).await;
    let options = Options {
        queues: Some(vec!["mail".into(), "slow".into()]),
        exclude_queues: vec!["slow".into()],
        allow_unserved: true,
        ..until_done()
    };
    let worker = Running::start(&database.store, 4, 0, options);
    let started = worker.control.started();
    assert_eq!(worker.ending().await, Ending::Drained);
    assert_eq!(*started.borrow(), [ids[0]]);
    assert_eq!(database.states().await, "ready 3, successful 1");
}

#[tokio::test]
async fn a_scheduled_job_starts_when_its_date_has_come() {
    let database = Database::fresh().await;
    let mut worker = Running::start(&database.store, 1, 0, quick());
    let mut scheduled = job(WORK, "default", 0);
    let due = in_time(Duration::from_millis(500));
    scheduled.run_after = Some(due.clone());
    let id = database.enqueue_jobs(&[scheduled]).await[0];
    let state = database.state(id).await;
    assert!(state == "scheduled" || in_time(Duration::ZERO) >= due, "{state} before its date");
    worker.until(|progress| progress.done == 1).await;
    worker.stop().await;
}

#[tokio::test]
async fn two_workers_never_share_a_job() {
    let database = Database::fresh().await;
    let mut ids = database.enqueue(WORK, &[0; 300]).await;
    let one = Running::start(&database.store, 3, 3, until_done());
    let two = Running::start(&database.store, 3, 3, until_done());
    let (one_started, two_started) = (one.control.started(), two.control.started());
    assert_eq!(one.ending().await, Ending::Drained);
    assert_eq!(two.ending().await, Ending::Drained);
    let mut started = [one_started.borrow().clone(), two_started.borrow().clone()].concat();
    started.sort();
    ids.sort();
    assert_eq!(started, ids);
}

// --- outcomes --------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_job_that_kills_its_runner_three_times_is_poisoned() {
    let database = Database::fresh().await;
    let id = database.enqueue(CRASH, &[0]).await[0];
    let worker = Running::start(&database.store, 1, 0, until_done());
    assert_eq!(worker.ending().await, Ending::Drained);
    assert_eq!(database.state(id).await, "poisoned");
    assert_eq!(database.outcomes(id).await, ["crashed", "crashed", "crashed"]);
}

#[tokio::test]
async fn an_end_that_cannot_be_stored_keeps_no_other_from_being_written() {
    let database = Database::fresh().await;
    let (sessions, faults) = Faulty::new(&database.store);
    let ids = database.enqueue(WAIT, &[0; 8]).await;
    let mut worker = Running::start(&sessions, 8, 0, quick());
    worker.until_started(8).await;
    faults.refuse_binds_with("unspeakable", "22P05");
    worker.control.end(ids[3], Outcome::Successful { return_value: "\"unspeakable\"".into() });
    for id in ids.iter().filter(|id| **id != ids[3]) {
        worker.control.end(*id, success());
    }
    worker.until(|progress| progress.done == 7).await;
    assert_eq!(database.states().await, "running 1, successful 7");
    // It is not given up: that it ended is stored in the end, if not how.
    worker.until(|progress| progress.failed == 1).await;
    assert_eq!(database.state(ids[3]).await, "failed");
    assert_eq!(worker.stop().await, Ending::Drained);
}

#[tokio::test]
async fn a_job_that_no_runner_takes_does_not_go_round_and_round() {
    let database = Database::fresh().await;
    let id = database.enqueue(WAIT, &[0]).await[0];
    let worker = Running::start(&database.store, 1, 0, quick());
    let until = std::time::Instant::now() + Duration::from_secs(1);
    let mut starts = 0;
    while std::time::Instant::now() < until || starts < 3 {
        starts += 1;
        worker.until_started(starts).await;
        worker.control.end(id, Outcome::HandedBack);
    }
    assert!((3..20).contains(&starts), "{starts}");
    worker.stopper.advance(Stage::Stopping);
    worker.ending().await;
}

// --- lost answers and outages ----------------------------------------------------------------------------

#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_handed_back_and_runs_once() {
    let database = Database::fresh().await;
    let (sessions, faults) = Faulty::new(&database.store);
    faults.lose_answer_to("insert into gristmill_running");
    let ids = database.enqueue(WORK, &[0, 0, 0]).await;
    let mut worker = Running::start(&sessions, 2, 0, quick());
    let progress = worker.until(|progress| progress.done == 3).await;
    assert_eq!(progress.handed_back, 2);
    assert!(!faults.is_armed());
    assert_eq!(worker.stop().await, Ending::Drained);
    for id in ids {
        assert_eq!(database.outcomes(id).await, ["successful"], "a hand-back leaves no attempt behind");
    }
}

#[tokio::test]
async fn a_stop_does_not_leave_a_claim_behind_whose_answer_was_lost() {
    let database = Database::fresh().await;
    let (sessions, faults) = Faulty::new(&database.store);
    let worker = Running::start(&sessions, 2, 0, Options::default());
    faults.lose_answer_to("insert into gristmill_running");
    let ids = database.enqueue(WORK, &[0, 0]).await;
    soon(async {
        while faults.is_armed() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(worker.stop().await, Ending::Drained);
    assert_eq!(database.states().await, "ready 2");
    assert!(database.outcomes(ids[0]).await.is_empty());
}

#[tokio::test]
async fn an_end_whose_answer_was_lost_is_sent_again_and_counts_once() {
    let database = Database::fresh().await;
    let (sessions, faults) = Faulty::new(&database.store);
    let id = database.enqueue(WAIT, &[0]).await[0];
    let mut worker = Running::start(&sessions, 1, 0, quick());
    worker.until_started(1).await;
    faults.lose_answer_to("insert into gristmill_result");
    worker.control.end(id, success());
    worker.until(|progress| progress.stale == 1).await;
    assert_eq!(worker.stop().await, Ending::Drained);
    assert_eq!(database.outcomes(id).await, ["successful"]);
}

#[tokio::test]
async fn an_outage_shorter_than_the_fence_ends_nothing() {
    let database = Database::fresh().await;
    let (sessions, faults) = Faulty::new(&database.store);
    let ids = database.enqueue(WAIT, &[0, 0]).await;
    let mut worker = Running::start(&sessions, 2, 0, Options::default());
    worker.until_started(2).await;
    faults.set_down(true);
    worker.control.end(ids[0], success());
    tokio::time::sleep(Duration::from_millis(300)).await;
    faults.set_down(false);
    worker.until(|progress| progress.done == 1).await;
    worker.control.end(ids[1], success());
    worker.until(|progress| progress.done == 2).await;
    assert_eq!(worker.control.interrupts(), 0);
    assert_eq!(worker.stop().await, Ending::Drained);
    assert_eq!(database.states().await, "successful 2");
}

#[tokio::test]
async fn an_outage_longer_than_the_fence_interrupts_what_runs_and_it_runs_again() {
    let database = Database::fresh().await;
    let (sessions, faults) = Faulty::new(&database.store);
    let id = database.enqueue(WAIT, &[0]).await[0];
    let mut worker = Running::start(&sessions, 1, 0, mortal());
    worker.until_started(1).await;
    faults.set_down(true);
    worker.until(|progress| progress.running == 0).await;
    assert!(worker.control.interrupts() > 0);
    assert_eq!(database.state(id).await, "running", "nobody could say so to the database yet");
    faults.set_down(false);
    worker.until_started(2).await;
    worker.control.end(id, success());
    worker.until(|progress| progress.done == 1).await;
    assert_eq!(worker.stop().await, Ending::Drained);
    assert_eq!(database.outcomes(id).await, ["interrupted", "successful"]);
}

#[tokio::test]
async fn a_worker_that_boots_during_an_outage_waits_for_its_end() {
    let database = Database::fresh().await;
    let (sessions, faults) = Faulty::new(&database.store);
    faults.set_down(true);
    database.enqueue(WORK, &[0]).await;
    let mut worker = Running::start(&sessions, 1, 0, quick());
    tokio::time::sleep(Duration::from_millis(200)).await;
    faults.set_down(false);
    worker.until(|progress| progress.done == 1).await;
    assert_eq!(worker.stop().await, Ending::Drained);
}

// --- vanished workers ------------------------------------------------------------------------------------

#[tokio::test]
async fn a_dead_workers_jobs_are_rescued_once() {
    let database = Database::fresh().await;
    let (sessions, _faults) = Faulty::new(&database.store);
    let id = database.enqueue(WAIT, &[0]).await[0];
    let dead = Running::start(&sessions, 1, 0, mortal());
    dead.until_started(1).await;
    dead.kill().await;
    let mut worker = Running::start(&sessions, 1, 0, mortal());
    worker.until_started(1).await;
    worker.control.end(id, success());
    worker.until(|progress| progress.done == 1).await;
    assert_eq!(worker.stop().await, Ending::Drained);
    assert_eq!(database.outcomes(id).await, ["lost", "successful"]);
}

#[tokio::test]
async fn a_stale_end_after_being_declared_lost_changes_nothing() {
    let database = Database::fresh().await;
    let (sessions, _) = Faulty::new(&database.store);
    let (cut_off_sessions, faults) = Faulty::new(&database.store);
    let id = database.enqueue(WAIT, &[0]).await[0];
    let mut cut_off = Running::start(&cut_off_sessions, 1, 0, mortal());
    cut_off.until_started(1).await;
    let old_name = cut_off.standing.borrow().worker;
    cut_off.control.turn_deaf();
    faults.set_down(true);

    let mut other = Running::start(&sessions, 1, 0, mortal());
    other.until_started(1).await;
    other.control.end(id, success());
    other.until(|progress| progress.done == 1).await;
    assert_eq!(other.stop().await, Ending::Drained);

    faults.set_down(false);
    cut_off.control.hear_again();
    cut_off.control.end(id, Outcome::Crashed { how: "signal 9 (SIGKILL)".into() });
    cut_off.until(|progress| progress.stale == 1).await;
    assert_eq!(database.state(id).await, "successful");
    assert_eq!(database.outcomes(id).await, ["lost", "successful"]);

    // It goes on under a new name.
    database.enqueue(WORK, &[0]).await;
    cut_off.until(|progress| progress.done == 1).await;
    assert_ne!(cut_off.standing.borrow().worker, old_name);
    cut_off.stop().await;
}

// --- stopping --------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_graceful_stop_finishes_what_runs_and_hands_the_prefetched_back_uncharged() {
    let database = Database::fresh().await;
    let ids = database.enqueue(WAIT, &[0; 3]).await;
    let mut worker = Running::start(&database.store, 1, 2, Options::default());
    worker.until(|progress| progress.running == 3).await;
    worker.stopper.request();
    worker.until(|progress| progress.handed_back == 2).await;
    worker.control.end(ids[0], success());
    assert_eq!(worker.ending().await, Ending::Drained);
    assert_eq!(database.states().await, "ready 2, successful 1");
    for id in &ids[1..] {
        assert!(database.outcomes(*id).await.is_empty());
    }
    assert_eq!(int(&database.sql("select cast(exit_status as bigint) from gristmill_worker").await[0][0]), 0);
}

#[tokio::test]
async fn what_still_runs_at_the_end_of_the_grace_is_handed_back() {
    let database = Database::fresh().await;
    let id = database.enqueue(WAIT, &[0]).await[0];
    let options = Options { grace: Duration::from_millis(100), ..Options::default() };
    let worker = Running::start(&database.store, 1, 0, options);
    worker.until_started(1).await;
    let ending = worker.stop().await;
    assert_eq!(ending, Ending::HandedBack(1));
    assert_eq!(ending.exit_status(), 77);
    assert_eq!(database.state(id).await, "ready");
    assert_eq!(database.outcomes(id).await, ["interrupted"]);
}

#[tokio::test]
async fn a_second_request_hands_back_what_runs_at_once() {
    let database = Database::fresh().await;
    let id = database.enqueue(WAIT, &[0]).await[0];
    let worker = Running::start(&database.store, 1, 0, Options::default());
    worker.until_started(1).await;
    worker.stopper.request();
    worker.stopper.advance(Stage::Stopping);
    assert_eq!(worker.ending().await, Ending::HandedBack(1));
    assert_eq!(database.outcomes(id).await, ["interrupted"]);
}

#[tokio::test]
async fn a_third_request_leaves_at_once_whatever_runs() {
    let database = Database::fresh().await;
    let id = database.enqueue(WAIT, &[0]).await[0];
    let worker = Running::start(&database.store, 1, 0, Options::default());
    worker.until_started(1).await;
    worker.control.turn_deaf();
    worker.stopper.advance(Stage::Exiting);
    assert_eq!(worker.ending().await, Ending::HandedBack(1));
    assert_eq!(database.state(id).await, "running", "its rescue is up to the others");
}

#[tokio::test]
async fn a_request_before_the_first_claim_ends_the_worker_before_it() {
    let database = Database::fresh().await;
    database.enqueue(WORK, &[0]).await;
    let (stopper, shutdown) = shutdown::channel();
    stopper.request();
    let worker = Running::start_with(&database.store, 1, 0, Options::default(), stopper, shutdown);
    assert_eq!(worker.ending().await, Ending::Drained);
    assert_eq!(database.states().await, "ready 1");
}

#[tokio::test]
async fn a_worker_that_cannot_reach_its_database_still_stops_when_asked() {
    let database = Database::fresh().await;
    let (sessions, faults) = Faulty::new(&database.store);
    faults.set_down(true);
    let worker = Running::start(&sessions, 1, 0, Options::default());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(worker.stop().await, Ending::Drained);
}

#[tokio::test]
async fn a_storm_of_requests_from_the_start_is_one_graceful_stop() {
    let database = Database::fresh().await;
    let ids = database.enqueue(WAIT, &[0; 4]).await;
    let mut worker = Running::start(&database.store, 1, 1, Options::default());
    worker.until(|progress| progress.running == 2).await;
    for _ in 0..50 {
        worker.stopper.request();
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..20))).await;
    }
    worker.control.end(ids[0], success());
    assert_eq!(worker.ending().await, Ending::Drained);
    assert_eq!(database.states().await, "ready 3, successful 1");
}

// --- doing a part ----------------------------------------------------------------------------------------

#[tokio::test]
async fn once_runs_one_job_for_each_runner_and_ends() {
    let database = Database::fresh().await;
    database.enqueue(WORK, &[0; 5]).await;
    let options = Options { once: true, processes: 2, ..Options::default() };
    assert_eq!(Running::start(&database.store, 2, 2, options.clone()).ending().await, Ending::Drained);
    assert_eq!(database.states().await, "ready 3, successful 2");
    let empty = Database::fresh().await;
    assert_eq!(Running::start(&empty.store, 2, 2, options).ending().await, Ending::Drained);
}

#[tokio::test]
async fn max_jobs_ends_the_worker_after_so_many() {
    let database = Database::fresh().await;
    database.enqueue(FAIL, &[0; 7]).await;
    let options = Options { max_jobs: Some(5), ..Options::default() };
    let worker = Running::start(&database.store, 2, 2, options);
    assert_eq!(worker.ending().await, Ending::Drained);
    assert_eq!(database.states().await, "failed 5, ready 2");
}

#[tokio::test]
async fn until_done_runs_what_is_due_and_does_not_wait_for_what_is_not() {
    let database = Database::fresh().await;
    let mut due = job(WORK, "default", 0);
    due.run_after = Some(in_time(Duration::from_millis(50)));
    let mut later = job(WORK, "default", 0);
    later.run_after = Some(in_time(Duration::from_hours(1)));
    database.enqueue_jobs(&[due, later, job(CRASH, "default", 0)]).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let worker = Running::start(&database.store, 1, 1, until_done());
    assert_eq!(worker.ending().await, Ending::Drained);
    assert_eq!(database.states().await, "poisoned 1, scheduled 1, successful 1");
}

// --- speed -----------------------------------------------------------------------------------------------

#[tokio::test]
#[ignore = "a measurement: cargo test --release -p gristmill-engine -- --ignored --nocapture how_fast"]
async fn how_fast_a_backlog_of_empty_jobs_is_worked_off() {
    let database = Database::fresh().await;
    database.enqueue(WORK, &vec![0; 20_000]).await;
    let began = std::time::Instant::now();
    let worker = Running::start(&database.store, 100, 100, until_done());
    worker.task_end().await;
    let seconds = began.elapsed().as_secs_f64();
    println!("20000 jobs in {seconds:.2} s: {:.0} jobs/s", 20_000.0 / seconds);
    assert_eq!(database.states().await, "successful 20000");
}
