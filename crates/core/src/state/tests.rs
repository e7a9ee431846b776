use proptest::prelude::*;

use super::*;
use crate::{Backoff, Expiry, JobId, Lane, OnFailure, Token};

fn claimed(counts: Counts) -> Claimed {
    Claimed {
        id: JobId::new(),
        token: Token(1),
        lane: Lane { backend: "default".into(), queue_name: "default".into(), task_name: "app.tasks.one".into() },
        priority: 0,
        deadline: Moment("2026-01-08 00:00:00.000000".into()),
        run_after: None,
        enqueued_at: Moment("2026-01-01 00:00:00.000000".into()),
        claimed_at: Moment("2026-01-01 00:02:00.000000".into()),
        started_at: None,
        generation: 1,
        counts,
        args: "[]".into(),
        kwargs: "{}".into(),
        options_json: None,
    }
}

fn next(counts: Counts, options: &Options, outcome: &Outcome) -> Next {
    decide(&claimed(counts), options, outcome).1
}

fn raised(class: &str) -> Outcome {
    Outcome::Failed {
        reason: Reason::Error,
        exception_class_path: class.into(),
        traceback: String::new(),
        classes: vec![class.into(), "builtins.Exception".into(), "builtins.BaseException".into()],
        advice: Advice::ByOptions,
    }
}

fn postponed_for(seconds: u64) -> Outcome {
    Outcome::Postponed { until: Until::After(Duration::from_secs(seconds)), after: Vec::new(), why: String::new() }
}

fn failed(reason: Reason) -> Next {
    finished(State::Failed, Some(reason))
}

fn retries(max_attempts: Option<u32>) -> Options {
    Options { max_attempts, backoff: Backoff::Constant { seconds: 3.0 }, ..Options::default() }
}

const IN_THREE_SECONDS: Next = Next::Scheduled { delay: Duration::from_secs(3) };

#[test]
fn a_failed_attempt_fails_the_job_unless_more_were_asked_for() {
    assert_eq!(next(Counts::default(), &Options::default(), &raised("app.Oops")), failed(Reason::Error));
    assert_eq!(next(Counts::default(), &retries(Some(2)), &raised("app.Oops")), IN_THREE_SECONDS);
    let once = Counts { failures: 1, ..Counts::default() };
    assert_eq!(next(once, &retries(Some(2)), &raised("app.Oops")), failed(Reason::Error));
    let often = Counts { failures: u32::MAX, ..Counts::default() };
    assert_eq!(next(often, &retries(None), &raised("app.Oops")), IN_THREE_SECONDS);
}

#[test]
fn only_the_named_exceptions_are_tried_again() {
    let options = Options { retry_on: Some(vec!["app.Busy".into()]), ..retries(Some(9)) };
    assert_eq!(next(Counts::default(), &options, &raised("app.Busy")), IN_THREE_SECONDS);
    assert_eq!(next(Counts::default(), &options, &raised("app.Oops")), failed(Reason::Error));
}

#[test]
fn what_is_no_exception_is_not_tried_again_unless_it_is_named() {
    let mut exit = raised("builtins.SystemExit");
    if let Outcome::Failed { classes, .. } = &mut exit {
        classes.remove(1);
    }
    assert_eq!(next(Counts::default(), &retries(None), &exit), failed(Reason::Error));
    let named = Options { retry_on: Some(vec!["builtins.SystemExit".into()]), ..retries(None) };
    assert_eq!(next(Counts::default(), &named, &exit), IN_THREE_SECONDS);
}

#[test]
fn a_tasks_own_backoff_decides_how_long_and_whether() {
    let advised = |given| {
        let mut outcome = raised("app.Oops");
        if let Outcome::Failed { advice, .. } = &mut outcome {
            *advice = given;
        }
        outcome
    };
    let minute = Duration::from_mins(1);
    let options = retries(Some(3));
    assert_eq!(next(Counts::default(), &options, &advised(Advice::After(minute))), Next::Scheduled { delay: minute });
    assert_eq!(next(Counts::default(), &options, &advised(Advice::GiveUp)), failed(Reason::GivenUp));
    let spent = Counts { failures: 2, ..Counts::default() };
    assert_eq!(next(spent, &options, &advised(Advice::After(minute))), failed(Reason::Error));
}

#[test]
fn a_postponed_job_is_due_when_it_said_and_no_attempt_is_charged() {
    let (counts, next) = decide(&claimed(Counts::default()), &Options::default(), &postponed_for(3));
    assert_eq!((counts.failures, counts.postpones, next), (0, 1, IN_THREE_SECONDS));
    let whenever = Outcome::Postponed { until: Until::Default, after: Vec::new(), why: String::new() };
    let (_, next) = decide(&claimed(Counts::default()), &Options::default(), &whenever);
    assert_eq!(next, Next::Scheduled { delay: Duration::from_secs(5) });
}

#[test]
fn a_job_that_postpones_itself_for_others_waits_for_them_and_for_its_date() {
    let waiting = |until| Outcome::Postponed { until, after: vec![JobId::new()], why: String::new() };
    let next = |until| decide(&claimed(Counts::default()), &Options::default(), &waiting(until)).1;
    assert_eq!(next(Until::Default), Next::Waiting { delay: Duration::ZERO });
    let minute = Duration::from_mins(1);
    assert_eq!(next(Until::After(minute)), Next::Waiting { delay: minute });
    let moment = Moment("2026-01-03 00:00:00.000000".into());
    assert_eq!(next(Until::At(moment.clone())), Next::WaitingUntil(moment));
}

#[test]
fn waiting_for_others_is_a_postponement_like_any_other() {
    let spent = Counts { postpones: 100, ..Counts::default() };
    let outcome = Outcome::Postponed { until: Until::Default, after: vec![JobId::new()], why: String::new() };
    assert_eq!(next(spent, &Options::default(), &outcome), failed(Reason::PostponedTooOften));
}

#[test]
fn a_job_that_only_ever_postpones_itself_fails_in_the_end() {
    let mut job = claimed(Counts::default());
    let mut runs = 0;
    let last = loop {
        runs += 1;
        let (counts, next) = decide(&job, &Options::default(), &postponed_for(3));
        job.counts = counts;
        if matches!(next, Next::Finished { .. }) {
            break next;
        }
    };
    assert_eq!((runs, last), (101, failed(Reason::PostponedTooOften)));
}

#[test]
fn a_job_that_must_not_run_twice_fails_when_its_run_is_cut_short() {
    let options = Options { on_crash: OnCrash::Fail, ..retries(None) };
    let crashed = Outcome::Crashed { how: "signal 9".into() };
    assert_eq!(next(Counts::default(), &options, &crashed), failed(Reason::Crashed));
    assert_eq!(next(Counts::default(), &options, &Outcome::Lost), failed(Reason::Lost));
    assert_eq!(next(Counts::default(), &options, &Outcome::Interrupted), failed(Reason::Interrupted));
    assert_eq!(next(Counts::default(), &options, &Outcome::HandedBack), Next::Ready);
}

#[test]
fn a_crash_runs_again_whatever_the_attempts_and_the_third_in_a_row_poisons() {
    let crashed = Outcome::Crashed { how: "signal 9".into() };
    let twice = Counts { crashes: 2, ..Counts::default() };
    assert_eq!(next(Counts::default(), &Options::default(), &crashed), Next::Ready);
    assert_eq!(next(twice, &Options::default(), &crashed), finished(State::Poisoned, Some(Reason::Crashed)));
    let (counts, _) = decide(&claimed(twice), &Options::default(), &postponed_for(3));
    assert_eq!(counts.crashes, 0);
}

#[test]
fn what_waits_for_a_deploy_is_looked_at_again_at_a_quarter_of_its_age() {
    let outcome = Outcome::Incompatible { why: String::new() };
    let delay = Duration::from_secs(30);
    assert_eq!(next(Counts::default(), &Options::default(), &outcome), Next::Scheduled { delay });
}

#[test]
fn a_job_expires_by_the_databases_clock_alone() {
    let expires =
        |expiry| claimed(Counts::default()).is_expired(&Options { expires: Some(expiry), ..Options::default() });
    assert!(expires(Expiry::After(120.0)));
    assert!(!expires(Expiry::After(120.1)));
    assert!(expires(Expiry::At(Moment("2026-01-01 00:02:00.000000".into()))));
    assert!(!expires(Expiry::At(Moment("2026-01-01 00:02:00.000001".into()))));
}

#[test]
fn a_job_that_has_started_once_does_not_expire_between_its_attempts() {
    let mut job = claimed(Counts::default());
    let options = Options { expires: Some(Expiry::After(1.0)), ..Options::default() };
    assert!(job.is_expired(&options));
    job.started_at = Some(Moment("2026-01-01 00:00:00.500000".into()));
    assert!(!job.is_expired(&options));
}

#[test]
fn persisted_options_read_back_as_they_were_meant() {
    let json = r#"{"max_attempts": null, "backoff": {"kind": "linear", "step": 2}, "retry_on": ["app.Busy"],
        "on_crash": "fail", "needed": 2, "on_failure": "proceed", "expires": "2026-01-01 00:00:00.000000",
        "unique": {"someone": "else's"}}"#;
    let options: Options = serde_json::from_str(json).unwrap();
    assert_eq!(options.max_attempts, None);
    assert_eq!(options.backoff, Backoff::Linear { step: 2.0 });
    assert_eq!(options.on_crash, OnCrash::Fail);
    assert_eq!((options.needed, options.on_failure), (Some(2), OnFailure::Proceed));
    assert_eq!(options.expires, Some(Expiry::At(Moment("2026-01-01 00:00:00.000000".into()))));
    assert_eq!(serde_json::from_str::<Options>("{}").unwrap(), Options::default());
}

proptest! {
    // Whatever a job goes through, it ends: every way back to the queue is counted against a bound.
    #[test]
    fn every_job_with_bounds_ends(outcomes in proptest::collection::vec(0_u8..6, 420)) {
        let mut job = claimed(Counts::default());
        let options = retries(Some(3));
        let mut ended = false;
        for which in outcomes {
            let outcome = match which {
                0 => raised("app.Oops"),
                1 => postponed_for(1),
                2 => Outcome::Crashed { how: String::new() },
                3 => Outcome::Lost,
                4 => Outcome::Interrupted,
                _ => Outcome::Postponed { until: Until::Default, after: Vec::new(), why: String::new() },
            };
            let (counts, next) = decide(&job, &options, &outcome);
            let grew = [
                counts.failures > job.counts.failures, counts.postpones > job.counts.postpones,
                counts.crashes > job.counts.crashes, counts.losses > job.counts.losses,
                counts.interruptions > job.counts.interruptions,
            ];
            prop_assert!(grew.contains(&true));
            job.counts = counts;
            if matches!(next, Next::Finished { .. }) {
                ended = true;
                break;
            }
        }
        prop_assert!(ended);
    }
}
