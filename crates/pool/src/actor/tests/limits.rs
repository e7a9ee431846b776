//! What overruns its limits is ended with its runner, and nothing else pays for it.

use std::time::{Duration, Instant};

use gristmill_core::{Outcome, Reason};
use serde_json::json;

use super::fake::{Fake, claim, null};

fn why(outcome: &Outcome) -> (Reason, &str, Vec<&str>) {
    let Outcome::Failed { reason, exception_class_path, classes, .. } = outcome else { panic!("{outcome:?}") };
    (*reason, exception_class_path, classes.iter().map(String::as_str).collect())
}

#[test]
fn a_handler_over_its_time_is_killed_two_seconds_later_and_its_neighbours_are_interrupted() {
    let mut fake = Fake::start(1, |_| {});
    let started = Instant::now();
    let (slow, _) = fake.job("async", &json!({"timeout": 0.2}));
    let neighbour = fake.start_job(claim("async"));
    fake.runners[0].runs(slow);
    fake.runners[0].runs(neighbour);
    fake.is_killed(0);
    assert!(started.elapsed() >= Duration::from_millis(2_200));
    let [outcome, beside] = fake.ends_of([slow, neighbour]);
    let bases = ["builtins.TimeoutError", "builtins.OSError", "builtins.Exception", "builtins.BaseException"];
    let classes = [&["gristmill.exceptions.TimedOut"], &bases[..]].concat();
    assert_eq!(why(&outcome), (Reason::Timeout, "gristmill.exceptions.TimedOut", classes));
    assert_eq!(beside, Outcome::Interrupted);
}

#[test]
fn an_end_that_comes_before_the_kill_is_the_end() {
    let mut fake = Fake::start(1, |_| {});
    let (slow, _) = fake.job("sync", &json!({"timeout": 0.001}));
    fake.runners[0].runs(slow);
    fake.told(b'K');
    fake.runners[0].returns(slow);
    fake.dies(0, true);
    assert_eq!(fake.end_of(slow), null());
}

#[test]
fn a_job_over_its_memory_is_killed_and_one_below_it_is_not() {
    let mut fake = Fake::start(1, |_| {});
    let (modest, _) = fake.job("async", &json!({"max_memory_mb": 1_000_000}));
    fake.runners[0].runs(modest);
    let (greedy, _) = fake.job("async", &json!({"max_memory_mb": 1}));
    fake.runners[0].runs(greedy);
    fake.is_killed(0);
    let [outcome, beside] = fake.ends_of([greedy, modest]);
    let bases = ["builtins.MemoryError", "builtins.Exception", "builtins.BaseException"];
    let classes = [&["gristmill.exceptions.OutOfMemory"], &bases[..]].concat();
    assert_eq!(why(&outcome), (Reason::Memory, "gristmill.exceptions.OutOfMemory", classes));
    assert_eq!(beside, Outcome::Interrupted);
}

#[test]
fn a_runner_that_has_grown_too_big_is_replaced_and_ends_what_it_runs() {
    let mut fake = Fake::start(1, |config| config.max_runner_memory_mb = Some(1));
    let [first, second] = [(); 2].map(|()| fake.start_job(claim("async")));
    fake.runners[0].runs(first);
    fake.runners[0].runs(second);
    fake.runners[0].returns(first);
    assert_eq!(fake.end_of(first), null());
    let fresh = fake.fork();
    fake.has_settled(0, second);
    fake.runners[0].was_told_no_more();
    let third = fake.start_job(claim("async"));
    fake.runners[fresh].runs(third);
    fake.runners[0].returns(second);
    assert_eq!(fake.end_of(second), null());
    assert_eq!(fake.runners[0].told().0, 'Q');
}

#[test]
fn more_progress_than_a_runner_lets_through_is_a_broken_runner() {
    let mut fake = Fake::start(1, |_| {});
    let key = fake.start_job(claim("sync"));
    fake.runners[0].runs(key);
    for _ in 0..200 {
        fake.runners[0].say(b'G', &[&key.bytes(), b"{}"]);
    }
    fake.is_killed(0);
    let mut told = 0;
    let ended = loop {
        match fake.progress_or_end() {
            Some(ended) => break ended,
            None => told += 1,
        }
    };
    let how = "it broke the worker's protocol with more progress than a job may report";
    assert_eq!(ended.outcome, Outcome::Crashed { how: how.into() });
    assert!((20..200).contains(&told), "{told} reports");
}

#[test]
fn output_and_progress_belong_to_their_job() {
    let mut fake = Fake::start(1, |_| {});
    let (first, job) = fake.job("async", &json!({}));
    let second = fake.start_job(claim("async"));
    fake.runners[0].runs(first);
    fake.runners[0].runs(second);
    fake.runners[0].say(b'O', &[&first.bytes(), b"hello\n"]);
    fake.runners[0].say(b'G', &[&first.bytes(), br#"{"done": 1, "total": 2, "metadata": {"a": 1}}"#]);
    let progress = fake.progress();
    assert_eq!((progress.job, progress.token), (job.id, job.token));
    assert_eq!((progress.done, progress.total, progress.message), (Some(1.0), Some(2.0), None));
    assert_eq!(progress.metadata.as_deref(), Some("{\"a\": 1}"));
    fake.runners[0].returns(second);
    assert_eq!(fake.ended().output, None);
    fake.runners[0].returns(first);
    assert_eq!(fake.ended().output.as_deref(), Some("hello\n"));
}

#[test]
fn what_is_said_of_a_job_that_does_not_run_is_a_broken_runner() {
    for (kind, rest) in [(b'O', "x"), (b'G', "{}"), (b'K', ""), (b'U', ""), (b'P', "{}")] {
        let mut fake = Fake::start(1, |_| {});
        let key = fake.start_job(claim("sync"));
        fake.runners[0].takes(key);
        fake.runners[0].say(kind, &[&key.bytes(), rest.as_bytes()]);
        fake.is_killed(0);
        // It had not started, so the next runner has it.
        let runner = fake.fork();
        fake.runners[runner].takes(key);
    }
}

#[test]
fn arguments_that_do_not_fit_are_no_start() {
    let mut fake = Fake::start(1, |_| {});
    let key = fake.start_job(claim("sync"));
    fake.runners[0].takes(key);
    fake.runners[0].say(b'I', &[&key.bytes(), b"no argument photo"]);
    let ended = fake.ended();
    assert_eq!(ended.outcome, Outcome::Incompatible { why: "no argument photo".into() });
    assert_eq!((ended.started_after, ended.written), (None, false));
}

#[test]
fn a_job_may_postpone_itself() {
    let mut fake = Fake::start(1, |_| {});
    let key = fake.start_job(claim("sync"));
    fake.runners[0].runs(key);
    fake.runners[0].say(b'P', &[&key.bytes(), br#"{"after": 2, "until": null, "why": "not yet"}"#]);
    let until = gristmill_core::Until::After(Duration::from_secs(2));
    assert_eq!(fake.end_of(key), Outcome::Postponed { until, after: None, why: "not yet".into() });
}

#[test]
fn an_end_of_a_job_that_goes_on_counts_when_its_runner_is_gone() {
    let mut fake = Fake::start(1, |_| {});
    let [stays, neighbour, waits] = [(); 3].map(|()| fake.start_job(claim("async")));
    fake.runners[0].runs(stays);
    fake.runners[0].runs(neighbour);
    fake.runners[0].takes(waits);
    fake.runners[0].say(b'L', &[&stays.bytes()]);
    fake.runners[0].fails(stays, "timeout");
    // Nothing has ended before that.
    fake.is_killed(0);
    let [outcome, beside] = fake.ends_of([stays, neighbour]);
    assert_eq!(why(&outcome), (Reason::Timeout, "a.B", vec!["a.B"]));
    assert_eq!(beside, Outcome::Interrupted);
    let fresh = fake.fork();
    fake.runners[fresh].takes(waits);
}

#[test]
fn an_end_of_a_job_that_goes_on_counts_also_where_its_runner_dies_by_itself() {
    let mut fake = Fake::start(1, |_| {});
    let key = fake.start_job(claim("sync"));
    fake.runners[0].runs(key);
    fake.runners[0].say(b'L', &[&key.bytes()]);
    fake.runners[0].fails(key, "error");
    fake.dies(0, false);
    assert_eq!(why(&fake.end_of(key)), (Reason::Error, "a.B", vec!["a.B"]));
}

#[test]
fn what_a_leaving_runner_gives_back_by_itself_goes_to_the_next_one() {
    let mut fake = Fake::start(1, |_| {});
    fake.learns(0, "sync");
    let [first, waits] = [(); 2].map(|()| fake.start_job(claim("sync")));
    fake.runners[0].runs(first);
    fake.runners[0].takes(waits);
    let (done, back) = (first.bytes(), waits.bytes());
    fake.runners[0].say_at_once(&[(b'L', &[]), (b'D', &[&done, b"null"]), (b'B', &[&back])]);
    assert_eq!(fake.end_of(first), null());
    let fresh = fake.fork();
    fake.runners[fresh].runs(waits);
}

#[test]
fn a_runner_that_is_not_fit_for_another_job_ends_what_it_runs_and_gets_nothing_more() {
    let mut fake = Fake::start(1, |_| {});
    let [first, second, waits] = [(); 3].map(|()| fake.start_job(claim("async")));
    fake.runners[0].runs(first);
    fake.runners[0].runs(second);
    fake.runners[0].takes(waits);
    fake.runners[0].say(b'L', &[]);
    fake.runners[0].fails(first, "timeout");
    assert_eq!(why(&fake.end_of(first)).0, Reason::Timeout);
    fake.runners[0].told_of('C', waits);
    let fresh = fake.fork();
    fake.runners[fresh].runs(waits);
    fake.runners[0].say(b'B', &[&waits.bytes()]);
    let third = fake.start_job(claim("async"));
    fake.runners[fresh].runs(third);
    fake.has_settled(0, second);
    fake.runners[0].was_told_no_more();
    fake.runners[0].returns(second);
    assert_eq!(fake.end_of(second), null());
    assert_eq!(fake.runners[0].told().0, 'Q');
}
