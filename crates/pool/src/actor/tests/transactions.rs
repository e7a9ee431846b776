//! A transactional job's end is written by its own handler's transaction, or not at all.

use gristmill_core::{Outcome, Reason};
use serde_json::{Value, json};

use super::fake::{Fake, claim, null};
use crate::frame::Key;

/// One whose handler has returned, and that has been told what to write.
fn returned(fake: &mut Fake) -> Key {
    let (key, _) = fake.job("sync", &json!({"transactional": true}));
    fake.runners[0].runs(key);
    fake.runners[0].say(b'O', &[&key.bytes(), b"so far"]);
    fake.runners[0].say(b'T', &[&key.bytes(), br#"{"kind": "D", "value": "null"}"#]);
    let script: Value = serde_json::from_slice(&fake.runners[0].told_of('W', key)).unwrap();
    assert!(script["statements"].is_array() && script["binds"].is_array());
    key
}

#[test]
fn an_end_that_was_committed_needs_no_writing() {
    let mut fake = Fake::start(1, |_| {});
    let key = returned(&mut fake);
    fake.runners[0].say(b'K', &[&key.bytes()]);
    let ended = fake.ended();
    assert!(ended.written);
    assert_eq!(ended.outcome, null());
    assert_eq!(ended.output.as_deref(), Some("so far"));
}

#[test]
fn an_end_that_was_not_accepted_is_left_to_the_token() {
    let mut fake = Fake::start(1, |_| {});
    let key = returned(&mut fake);
    fake.runners[0].say(b'U', &[&key.bytes()]);
    assert_eq!(fake.end_of(key), Outcome::Interrupted);
}

#[test]
fn a_commit_that_fails_is_a_failure_to_be_written() {
    let mut fake = Fake::start(1, |_| {});
    let key = returned(&mut fake);
    fake.runners[0].fails(key, "error");
    assert!(matches!(fake.end_of(key), Outcome::Failed { .. }));
}

#[test]
fn a_runner_that_dies_before_it_says_whether_has_crashed() {
    let mut fake = Fake::start(1, |_| {});
    let key = returned(&mut fake);
    fake.dies(0, false);
    assert_eq!(fake.end_of(key), Outcome::Crashed { how: "signal 9 (SIGKILL)".into() });
}

#[test]
fn a_postponement_is_written_in_the_transaction_too() {
    let mut fake = Fake::start(1, |_| {});
    let (key, _) = fake.job("sync", &json!({"transactional": true}));
    fake.runners[0].runs(key);
    fake.runners[0].say(b'T', &[&key.bytes(), br#"{"kind": "P", "after": null, "until": null, "why": "busy"}"#]);
    fake.runners[0].told_of('W', key);
    fake.runners[0].say(b'K', &[&key.bytes()]);
    let ended = fake.ended();
    assert!(ended.written);
    assert_eq!(
        ended.outcome,
        Outcome::Postponed { until: gristmill_core::Until::Default, after: None, why: "busy".into() }
    );
}

#[test]
fn a_commit_cannot_come_before_what_was_to_be_committed() {
    let mut fake = Fake::start(1, |_| {});
    let (key, _) = fake.job("sync", &json!({"transactional": true}));
    fake.runners[0].runs(key);
    let key_bytes = key.bytes();
    let end: &[&[u8]] = &[&key_bytes, br#"{"kind": "D", "value": "null"}"#];
    fake.runners[0].say_at_once(&[(b'T', end), (b'K', &[&key_bytes])]);
    fake.is_killed(0);
    assert!(matches!(fake.end_of(key), Outcome::Crashed { .. }));
}

#[test]
fn a_runner_that_is_to_be_killed_is_not_told_what_to_write() {
    let mut fake = Fake::start(1, |_| {});
    let (key, _) = fake.job("sync", &json!({"transactional": true, "timeout": 0.001}));
    fake.runners[0].runs(key);
    fake.told(b'K');
    fake.runners[0].say(b'T', &[&key.bytes(), br#"{"kind": "D", "value": "null"}"#]);
    fake.has_settled(0, key);
    fake.runners[0].was_told_no_more();
    fake.dies(0, true);
    assert!(matches!(fake.end_of(key), Outcome::Failed { reason: Reason::Timeout, .. }));
}

#[test]
fn an_async_handler_in_a_transaction_runs_as_a_sync_one() {
    let mut fake = Fake::start(1, |_| {});
    let first = fake.start_job(claim("async"));
    fake.runners[0].runs(first);
    let (second, _) = fake.job("async", &json!({"transactional": true}));
    fake.has_settled(0, first);
    fake.runners[0].was_told_no_more();
    fake.runners[0].returns(first);
    assert_eq!(fake.end_of(first), null());
    fake.runners[0].runs(second);
}

#[test]
fn what_makes_no_sense_in_a_transaction_is_a_broken_runner() {
    let done = br#"{"kind": "D", "value": "null"}"#;
    let after: [(u8, &[u8]); 3] = [(b'T', done), (b'D', b"null"), (b'P', b"{}")];
    for (kind, rest) in after {
        let mut fake = Fake::start(1, |_| {});
        let key = returned(&mut fake);
        fake.runners[0].say(kind, &[&key.bytes(), rest]);
        fake.is_killed(0);
        assert!(matches!(fake.end_of(key), Outcome::Crashed { .. }));
    }
    // Without having been told what to write, or for a job that is not transactional.
    let before: [(u8, &[u8]); 3] = [(b'K', b""), (b'U', b""), (b'T', done)];
    for (kind, rest) in before {
        let mut fake = Fake::start(1, |_| {});
        let (key, _) = fake.job("sync", &json!({"transactional": kind != b'T'}));
        fake.runners[0].runs(key);
        fake.runners[0].say(kind, &[&key.bytes(), rest]);
        fake.is_killed(0);
        assert!(matches!(fake.end_of(key), Outcome::Crashed { .. }));
    }
}
