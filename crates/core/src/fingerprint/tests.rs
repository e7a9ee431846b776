use proptest::prelude::*;
use uuid::Uuid;

use super::line::of_error;
use super::*;
use crate::{Counts, JobId, Lane, Misfits, Moment, Reason, StoredOptions, Token, WorkerId};

fn claimed(task: &str) -> Claimed {
    let now = Moment("2026-12-01 00:00:00.000000".into());
    Claimed {
        id: JobId(Uuid::from_u128(7)),
        token: Token(1),
        lane: Lane { backend: "default".into(), queue_name: "mail".into(), task_name: task.into() },
        priority: 0,
        deadline: now.clone(),
        run_after: None,
        enqueued_at: now.clone(),
        claimed_at: now,
        started_at: None,
        generation: 1,
        counts: Counts::default(),
        misfits: Misfits::default(),
        args: "[]".into(),
        kwargs: "{}".into(),
        stored_options: StoredOptions::default(),
        worker_id: WorkerId(Uuid::nil()),
    }
}

fn ends(state: State, reason: Reason) -> Next {
    Next::Finished { state, reason: Some(reason) }
}

fn raised(class: &str, line: &str) -> Outcome {
    let traceback =
        format!("Traceback (most recent call last):\n  File \"x.py\", line 7, in send\n    send()\n{line}\n");
    Outcome::failed(Reason::Error, class, traceback)
}

fn of(task: &str, class: &str, line: &str) -> Option<Fingerprint> {
    fingerprint(&claimed(task), &raised(class, line), &ends(State::Failed, Reason::Error))
}

#[test]
fn errors_that_differ_in_numbers_ids_addresses_and_quotes_are_one() {
    for (one, other) in [
        ("ValueError: no order 7", "ValueError: no order 4711"),
        ("KeyError: 'a'", "KeyError: 'something else'"),
        (r#"X: "it's" here"#, r#"X: "not" here"#),
        (r"X: 'it\'s' here", "X: '' here"),
        ("X: at 0x7f00deadbeef", "X: at 0x7f0000000001"),
        ("X: 0192f0c0a0b07000800000000000000a", "X: 0192f0c0-a0b0-7000-8000-00000000000b"),
        ("X: took 1.5 of 3,000 s", "X: took 27 of 4 s"),
        ("X: commit 1f0e2d3c4b", "X: commit 9988776655"),
        ("X: no charge ch_3NkQp2eZvKYlo2C1", "X: no charge ch_9abcdefghijklmn1z"),
        ("X: no account of ann@example.org.", "X: no account of bob+tag@mail.example.com."),
        ("X: user42 at 2026-12-01 10:00:00", "X: user7 at 2025-01-31 23:59:59.5"),
        ("X:  many   spaces", "X: many spaces "),
    ] {
        assert_eq!(normalised(one), normalised(other));
    }
}

#[test]
fn errors_that_differ_in_words_are_two() {
    for (one, other) in [
        ("ValueError: no order", "KeyError: no order"),
        ("X: feedface is", "X: deadbeef is"),
        ("X: can't open it, don't ask", "X: can't read it, don't ask"),
        ("X: 'a' is missing", "X: 'a' is broken"),
    ] {
        assert_ne!(normalised(one), normalised(other));
    }
}

#[test]
fn what_is_left_says_what_went_wrong() {
    assert_eq!(normalised("ValueError: no order 7 in 'shop'"), "ValueError: no order … in …");
    assert_eq!(normalised("X: an 'unclosed quote of 3"), "X: an 'unclosed quote of …");
}

#[test]
fn a_group_is_one_task_one_state_one_class_and_one_error() {
    let group = of("shop.send", "builtins.ValueError", "ValueError: no order 7");
    assert!(group.is_some());
    assert_eq!(group, of("shop.send", "builtins.ValueError", "ValueError: no order 8"));
    assert_ne!(group, of("shop.ship", "builtins.ValueError", "ValueError: no order 7"));
    assert_ne!(group, of("shop.send", "shop.ValueError", "ValueError: no order 7"));
    assert_ne!(group, of("shop.send", "builtins.ValueError", "ValueError: no stock of 7"));
    let crashed = Outcome::Crashed { how: "signal 9 (SIGKILL)".into() };
    let crash = |state| fingerprint(&claimed("shop.send"), &crashed, &ends(state, Reason::Crashed));
    assert!(crash(State::Failed).is_some());
    assert_ne!(crash(State::Failed), crash(State::Poisoned));
}

#[test]
fn how_often_a_job_was_tried_is_no_part_of_its_group() {
    let outcome = raised("builtins.ValueError", "ValueError: no");
    let of = |reason| fingerprint(&claimed("shop.send"), &outcome, &ends(State::Failed, reason));
    assert_eq!(of(Reason::Error), of(Reason::GivenUp));
}

#[test]
fn the_first_line_of_the_last_exception_counts() {
    let chained = "Traceback (most recent call last):\nKeyError: 'a'\n\nDuring handling of the above exception, another \
        exception occurred:\n\nTraceback (most recent call last):\n  x\nshop.errors.Refused: card declined\nlimit: 30\n\
        note: ask the bank\n";
    assert_eq!(of_error(chained, "shop.errors.Refused"), "shop.errors.Refused: card declined");
    let group = "  + Exception Group Traceback (most recent call last):\n  |   x\n  | ExceptionGroup: two (2 sub-exceptions)\n  \
        +-+---------------- 1 ----------------\n    | ValueError: 1\n    +------------------------------------\n";
    assert_eq!(of_error(group, "builtins.ExceptionGroup"), "ExceptionGroup: two (2 sub-exceptions)");
    assert_eq!(of_error("Traceback (most recent call last):\n  x\nKeyError\n", "builtins.KeyError"), "KeyError");
    assert_eq!(of_error("cut off here\n\n", "shop.Gone"), "cut off here");
    assert_eq!(of_error("", ""), "");
}

#[test]
fn what_goes_on_or_was_cancelled_or_is_successful_has_none() {
    let outcome = raised("builtins.ValueError", "ValueError: no");
    let cancelled = Next::Finished { state: State::Cancelled, reason: None };
    let successful = Next::Finished { state: State::Successful, reason: None };
    for next in [Next::Ready, cancelled, successful] {
        assert_eq!(fingerprint(&claimed("shop.send"), &outcome, &next), None);
    }
}

#[test]
fn every_way_to_fail_has_a_group() {
    for (outcome, reason) in [
        (Outcome::Lost, Reason::OutcomeUnknown),
        (Outcome::Interrupted, Reason::Interrupted),
        (Outcome::Expired, Reason::Expired),
        (Outcome::Incompatible { why: "unknown task".into() }, Reason::Incompatible),
        (Outcome::failed(Reason::Timeout, "", ""), Reason::Timeout),
    ] {
        assert!(fingerprint(&claimed("shop.send"), &outcome, &ends(State::Failed, reason)).is_some(), "{reason:?}");
    }
}

/// They are stored: those of one cause are not to fall apart with a new version.
#[test]
fn fingerprints_stay_what_they_are() {
    let group = of("shop.send", "builtins.ValueError", "ValueError: no order 7 in 'shop'").expect("it failed");
    assert_eq!(group.to_string(), "906648c05e1cf0e4");
}

proptest! {
    #[test]
    fn whatever_an_error_says_it_has_a_group_of_bounded_length(class in ".*", traceback in "(?s).{0,2000}") {
        let line = normalised(of_error(&traceback, &class));
        prop_assert!(line.chars().count() <= MOST_OF_A_LINE);
        prop_assert!(!line.contains('\n'));
        let outcome = Outcome::failed(Reason::Error, &class, traceback);
        let group = fingerprint(&claimed("shop.send"), &outcome, &ends(State::Failed, Reason::Error));
        prop_assert_eq!(group.map(|group| group.to_string().len()), Some(16));
    }

    #[test]
    fn numbers_never_part_a_group(one in 0..u64::MAX, other in 0..u64::MAX, before in "[a-z' ]{0,40}", after in "[a-z' ]{0,40}") {
        let line = |number: u64| normalised(&format!("X: {before} {number} {after}"));
        prop_assert_eq!(line(one), line(other));
    }
}
