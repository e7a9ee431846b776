//! Who shares a runner with whom.

use gristmill_core::Outcome;
use serde_json::json;

use super::fake::{Fake, claim, null};
use crate::frame::Key;

fn crash() -> Outcome {
    Outcome::Crashed { how: "signal 9 (SIGKILL)".into() }
}

#[test]
fn async_jobs_run_side_by_side_in_one_runner_until_it_is_full() {
    let mut fake = Fake::start(2, |config| config.concurrency = 3);
    let keys: Vec<Key> = (0..4).map(|_| fake.start_job(claim("async"))).collect();
    for key in &keys[..3] {
        fake.runners[0].runs(*key);
    }
    fake.runners[1].runs(keys[3]);
    // They end in whatever order.
    for key in [keys[1], keys[2], keys[0]] {
        fake.runners[0].returns(key);
        assert_eq!(fake.end_of(key), null());
    }
}

#[test]
fn a_sync_job_waits_for_a_runner_of_its_own_and_gets_the_one_that_is_free_first() {
    let mut fake = Fake::start(2, |config| config.concurrency = 2);
    let [first, second, third] = [(); 3].map(|()| fake.start_job(claim("async")));
    fake.runners[0].runs(first);
    fake.runners[0].runs(second);
    fake.runners[1].runs(third);
    let sync = fake.start_job(claim("sync"));
    // There is room for it beside the third, but it came after the one that needs that runner.
    let late = fake.start_job(claim("async"));
    fake.has_settled(1, third);
    fake.runners[1].was_told_no_more();
    fake.runners[1].returns(third);
    assert_eq!(fake.end_of(third), null());
    fake.runners[1].runs(sync);
    fake.runners[0].returns(first);
    assert_eq!(fake.end_of(first), null());
    fake.runners[0].runs(late);
}

#[test]
fn an_async_job_is_not_sent_to_a_runner_with_a_sync_one() {
    let mut fake = Fake::start(1, |_| {});
    fake.learns(0, "sync");
    let sync = fake.start_job(claim("sync"));
    fake.runners[0].runs(sync);
    let other = fake.start_job(claim("async"));
    fake.has_settled(0, sync);
    fake.runners[0].was_told_no_more();
    fake.runners[0].returns(sync);
    assert_eq!(fake.end_of(sync), null());
    fake.runners[0].takes(other);
}

#[test]
fn room_grows_to_the_concurrency_once_async_jobs_come() {
    let mut fake = Fake::start(2, |config| config.concurrency = 7);
    fake.until_room_is(4);
    let key = fake.start_job(claim("async"));
    fake.runners[0].runs(key);
    fake.until_room_is(7 + 2);
    // What was claimed for that room found no runner: the next claims are smaller.
    let waiting: Vec<Key> = (0..3).map(|_| fake.start_job(claim("sync"))).collect();
    fake.runners[1].runs(waiting[0]);
    assert_eq!(fake.end_of(waiting[1]), Outcome::HandedBack);
    assert_eq!(fake.end_of(waiting[2]), Outcome::HandedBack);
    fake.until_room_is(2 + 1);
    // And larger again when there are async jobs after all.
    for more in [4, 7] {
        let key = fake.start_job(claim("async"));
        fake.runners[0].runs(key);
        fake.until_room_is(more + 1);
    }
}

#[test]
fn an_async_job_that_a_busy_event_loop_does_not_start_is_taken_back_and_waits_for_the_answer() {
    let mut fake = Fake::start(1, |_| {});
    let first = fake.start_job(claim("async"));
    fake.runners[0].runs(first);
    let second = fake.start_job(claim("async"));
    fake.runners[0].takes(second);
    fake.runners[0].told_of('C', second);
    let third = fake.start_job(claim("async"));
    fake.has_settled(0, first);
    fake.runners[0].was_told_no_more();
    fake.runners[0].say(b'B', &[&second.bytes()]);
    fake.runners[0].runs(second);
    fake.runners[0].runs(third);
}

#[test]
fn a_job_that_crashed_a_runner_before_runs_alone() {
    let mut fake = Fake::start(2, |_| {});
    let mut suspect = claim("async");
    suspect.counts.crashes = 1;
    let first = fake.start_job(claim("async"));
    fake.runners[0].runs(first);
    let suspect = fake.start_job(suspect);
    fake.runners[1].runs(suspect);
    let second = fake.start_job(claim("async"));
    fake.runners[0].runs(second);
    fake.has_settled(1, suspect);
    fake.runners[1].was_told_no_more();
}

#[test]
fn a_job_that_must_not_run_twice_neither_waits_behind_another_nor_has_one_behind_it() {
    let mut fake = Fake::start(1, |_| {});
    fake.learns(0, "sync");
    let short = fake.start_job(claim("sync"));
    fake.runners[0].runs(short);
    let (once, _) = fake.job("sync", &json!({"on_crash": "fail"}));
    fake.has_settled(0, short);
    fake.runners[0].was_told_no_more();
    fake.runners[0].returns(short);
    assert_eq!(fake.end_of(short), null());
    fake.runners[0].runs(once);
    let behind = fake.start_job(claim("sync"));
    fake.has_settled(0, once);
    fake.runners[0].was_told_no_more();
    fake.runners[0].returns(once);
    assert_eq!(fake.end_of(once), null());
    fake.runners[0].takes(behind);
}

#[test]
fn a_short_job_is_sent_ahead_unless_its_queue_says_otherwise() {
    let mut fake = Fake::start(1, |config| config.unprefetched = ["urgent".to_owned()].into());
    fake.learns(0, "sync");
    let first = fake.start_job(claim("sync"));
    fake.runners[0].runs(first);
    let ahead = fake.start_job(claim("sync"));
    fake.runners[0].takes(ahead);
    let mut urgent = claim("sync");
    urgent.lane.queue_name = "urgent".into();
    let urgent = fake.start_job(urgent);
    fake.has_settled(0, first);
    fake.runners[0].was_told_no_more();
    fake.runners[0].returns(first);
    assert_eq!(fake.end_of(first), null());
    fake.runners[0].starts(ahead);
    fake.runners[0].returns(ahead);
    assert_eq!(fake.end_of(ahead), null());
    fake.runners[0].takes(urgent);
}

#[test]
fn everything_that_ran_in_a_runner_that_crashes_has_crashed_and_the_rest_runs_elsewhere() {
    let mut fake = Fake::start(1, |_| {});
    let [first, second, third] = [(); 3].map(|()| fake.start_job(claim("async")));
    fake.runners[0].runs(first);
    fake.runners[0].runs(second);
    fake.runners[0].takes(third);
    fake.dies(0, false);
    assert_eq!(fake.ends_of([first, second]), [crash(), crash()]);
    let runner = fake.fork();
    fake.runners[runner].runs(third);
    fake.runners[runner].returns(third);
    assert_eq!(fake.end_of(third), null());
}

#[test]
fn two_sync_jobs_cannot_have_started_at_once() {
    let mut fake = Fake::start(1, |_| {});
    fake.learns(0, "sync");
    let [first, second] = [(); 2].map(|()| fake.start_job(claim("sync")));
    fake.runners[0].runs(first);
    fake.runners[0].runs(second);
    fake.is_killed(0);
    let broken = Outcome::Crashed {
        how: "it broke the worker's protocol with the start of a job that was not its to start".into(),
    };
    assert_eq!(fake.end_of(first), broken);
}
