//! A transactional job's end is written by its own handler's transaction, or not at all.

use gristmill_core::Outcome;
use serde_json::{Value, json};

use super::fake::{Fake, null};
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
    assert_eq!(ended.outcome, Outcome::Postponed { until: gristmill_core::Until::Default, why: "busy".into() });
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
