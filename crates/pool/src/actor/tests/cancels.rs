//! A job that someone wants cancelled ends wherever it is.

use std::time::{Duration, Instant};

use gristmill_core::{JobId, Outcome, Reason, Token};
use serde_json::json;

use super::fake::{Fake, cancelled, claim, null};
use crate::messages::Command;

#[test]
fn a_job_that_waits_for_a_runner_is_cancelled_at_once() {
    let mut fake = Fake::start(1, |_| {});
    let first = fake.start_job(claim("sync"));
    fake.runners[0].runs(first);
    let (second, job) = fake.job("sync", &json!({}));
    fake.cancel(&job);
    assert_eq!(fake.end_of(second), cancelled("before it started"));
}

#[test]
fn a_job_that_was_sent_and_has_not_started_is_cancelled_without_waiting_for_the_runner() {
    let mut fake = Fake::start(1, |_| {});
    fake.learns(0, "sync");
    let first = fake.start_job(claim("sync"));
    fake.runners[0].runs(first);
    let (second, job) = fake.job("sync", &json!({}));
    fake.runners[0].takes(second);
    fake.cancel(&job);
    assert_eq!(fake.end_of(second), cancelled("before it started"));
    fake.runners[0].told_of('C', second);
    // The runner finds the request when it would have started it.
    fake.runners[0].returns(first);
    fake.runners[0].starts(second);
    fake.runners[0].say(b'B', &[&second.bytes()]);
    assert_eq!(fake.end_of(first), null());
    let third = fake.start_job(claim("sync"));
    fake.runners[0].runs(third);
}

#[test]
fn only_the_job_that_is_meant_is_asked_back() {
    let mut fake = Fake::start(1, |_| {});
    fake.learns(0, "sync");
    let first = fake.start_job(claim("sync"));
    fake.runners[0].runs(first);
    let (second, job) = fake.job("sync", &json!({}));
    let third = fake.start_job(claim("sync"));
    fake.runners[0].takes(second);
    fake.runners[0].takes(third);
    fake.cancel(&job);
    assert_eq!(fake.end_of(second), cancelled("before it started"));
    fake.runners[0].told_of('C', second);
    fake.runners[0].returns(first);
    fake.runners[0].say(b'B', &[&second.bytes()]);
    fake.runners[0].starts(third);
    fake.runners[0].returns(third);
    assert_eq!(fake.end_of(first), null());
    assert_eq!(fake.end_of(third), null());
}

#[test]
fn a_cancel_that_crosses_the_start_is_written_once_more_for_a_job_that_runs() {
    for gives_back in [true, false] {
        let mut fake = Fake::start(1, |_| {});
        let (key, job) = fake.job("sync", &json!({}));
        fake.runners[0].takes(key);
        // Both lie in their sockets before either is read.
        fake.runners[0].starts(key);
        fake.cancel(&job);
        let (mut kind, payload) = fake.runners[0].told();
        assert_eq!(payload, key.bytes());
        if kind == 'C' {
            kind = fake.runners[0].told().0;
        }
        assert_eq!(kind, 'X');
        fake.is_alerted(0);
        if gives_back {
            continue;
        }
        fake.runners[0].fails(key, "cancelled");
        assert_eq!(fake.end_of(key), cancelled("when it was asked to stop"));
    }
}

#[test]
fn a_job_that_runs_is_asked_and_then_alerted() {
    let mut fake = Fake::start(1, |_| {});
    let (key, job) = fake.job("sync", &json!({}));
    fake.runners[0].runs(key);
    fake.has_settled(0, key);
    fake.cancel(&job);
    fake.is_alerted(0);
    // What it is alerted for is there already, and once.
    fake.runners[0].told_of('X', key);
    fake.cancel(&job);
    fake.has_settled(0, key);
    fake.runners[0].was_told_no_more();
    fake.runners[0].fails(key, "cancelled");
    assert_eq!(fake.end_of(key), cancelled("when it was asked to stop"));
}

#[test]
fn an_end_of_its_own_is_told_as_it_was() {
    for ends_well in [true, false] {
        let mut fake = Fake::start(1, |_| {});
        let (key, job) = fake.job("sync", &json!({}));
        fake.runners[0].runs(key);
        fake.has_settled(0, key);
        fake.cancel(&job);
        fake.runners[0].told_of('X', key);
        if ends_well {
            fake.runners[0].returns(key);
            assert_eq!(fake.end_of(key), null());
        } else {
            fake.runners[0].fails(key, "error");
            assert!(matches!(fake.end_of(key), Outcome::Failed { reason: Reason::Error, .. }));
        }
    }
}

#[test]
fn a_handler_that_calls_itself_cancelled_has_failed_if_nobody_asked() {
    let mut fake = Fake::start(1, |_| {});
    let key = fake.start_job(claim("sync"));
    fake.runners[0].runs(key);
    fake.runners[0].fails(key, "cancelled");
    assert!(matches!(fake.end_of(key), Outcome::Failed { reason: Reason::Error, .. }));
}

#[test]
fn a_handler_that_does_not_stop_is_stopped_with_its_runner_and_its_neighbours_are_interrupted() {
    let mut fake = Fake::start(1, |_| {});
    let (key, job) = fake.job("async", &json!({}));
    let neighbour = fake.start_job(claim("async"));
    fake.runners[0].runs(key);
    fake.runners[0].runs(neighbour);
    fake.has_settled(0, neighbour);
    let asked = Instant::now();
    fake.cancel(&job);
    fake.is_alerted(0);
    fake.is_killed(0);
    assert!(asked.elapsed() >= Duration::from_secs(5));
    let stopped = [cancelled("stopped with its runner"), Outcome::Interrupted];
    assert_eq!(fake.ends_of([key, neighbour]), stopped);
}

#[test]
fn a_claim_that_the_pool_does_not_hold_is_nobodys_business() {
    let mut fake = Fake::start(1, |_| {});
    let (key, job) = fake.job("sync", &json!({}));
    fake.runners[0].runs(key);
    fake.order(Command::Cancel(JobId::new(), job.token));
    fake.order(Command::Cancel(job.id, Token(job.token.0 + 1)));
    fake.has_settled(0, key);
    fake.runners[0].was_told_no_more();
    fake.runners[0].returns(key);
    assert_eq!(fake.end_of(key), null());
}
