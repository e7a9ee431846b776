use proptest::prelude::*;

use super::*;
use crate::{Backoff, Expiry, JobId, Lane, Misfits, OnPreconditionFailure, StoredOptions, Token, WorkerId};

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
        misfits: Misfits::default(),
        args: "[]".into(),
        kwargs: "{}".into(),
        stored_options: StoredOptions::default(),
        worker_id: WorkerId::new(),
    }
}

fn expiring(expiry: &str) -> Claimed {
    let stored_options = StoredOptions::of(Some(format!(r#"{{"expires": {expiry}}}"#)));
    Claimed { stored_options, ..claimed(Counts::default()) }
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
    Outcome::Postponed { until: Until::After(Duration::from_secs(seconds)), after: None, why: String::new() }
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
fn a_runner_is_told_after_what_its_job_is_tried_again() {
    let told = |options: &Options, failures| {
        let counts = Counts { failures, ..Counts::default() };
        retried_classes(&claimed(counts), options).join(" ")
    };
    assert_eq!(told(&Options::default(), 0), "", "it is tried once");
    assert_eq!((told(&retries(Some(2)), 0), told(&retries(Some(2)), 1)), ("builtins.Exception".into(), String::new()));
    assert_eq!(told(&retries(None), 1_000), "builtins.Exception");
    let options = Options { retry_on: Some(vec!["app.Busy".into(), "app.Full".into()]), ..retries(Some(9)) };
    assert_eq!(told(&options, 0), "app.Busy app.Full");
    let options = Options { retry_on: Some(Vec::new()), ..retries(Some(9)) };
    assert_eq!(told(&options, 0), "", "nothing is named");
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
    let whenever = Outcome::Postponed { until: Until::Default, after: None, why: String::new() };
    let (_, next) = decide(&claimed(Counts::default()), &Options::default(), &whenever);
    assert_eq!(next, Next::Scheduled { delay: Duration::from_secs(5) });
}

#[test]
fn a_job_that_postpones_itself_for_others_waits_for_them_and_for_its_date() {
    let waiting = |until| Outcome::Postponed { until, after: Some(vec![JobId::new()]), why: String::new() };
    let next = |until| decide(&claimed(Counts::default()), &Options::default(), &waiting(until)).1;
    assert_eq!(next(Until::Default), Next::Waiting { delay: Duration::ZERO });
    let for_nothing_more = Outcome::Postponed { until: Until::Default, after: Some(Vec::new()), why: String::new() };
    let (_, at_once) = decide(&claimed(Counts::default()), &Options::default(), &for_nothing_more);
    assert_eq!(at_once, Next::Waiting { delay: Duration::ZERO });
    let minute = Duration::from_mins(1);
    assert_eq!(next(Until::After(minute)), Next::Waiting { delay: minute });
    let moment = Moment("2026-01-03 00:00:00.000000".into());
    assert_eq!(next(Until::At(moment.clone())), Next::WaitingUntil(moment));
}

#[test]
fn waiting_for_others_is_a_postponement_like_any_other() {
    let spent = Counts { postpones: 100, ..Counts::default() };
    let outcome = Outcome::Postponed { until: Until::Default, after: Some(vec![JobId::new()]), why: String::new() };
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
    // It may have come to its end, and its worker could not write that down.
    assert_eq!(next(Counts::default(), &options, &Outcome::Lost), failed(Reason::OutcomeUnknown));
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
fn a_job_that_lives_for_months_is_not_poisoned_by_the_hosts_and_deploys_that_it_outlived() {
    let mut job = claimed(Counts::default());
    let options = Options { max_postpones: None, ..retries(None) };
    for outcome in [postponed_for(3), raised("app.Oops")].iter().cycle().take(50) {
        for cut_short in [Outcome::Lost, Outcome::Interrupted, Outcome::Lost, outcome.clone()] {
            let (counts, next) = decide(&job, &options, &cut_short);
            assert!(!matches!(next, Next::Finished { .. }), "{counts:?}");
            job.counts = counts;
        }
        assert_eq!((job.counts.losses, job.counts.interruptions), (0, 0));
    }
    // A worker that dies under it again and again is another matter.
    job.counts = Counts { losses: LOSSES - 1, ..Counts::default() };
    assert_eq!(decide(&job, &options, &Outcome::Lost).1, finished(State::Poisoned, Some(Reason::Lost)));
}

fn conflict() -> Outcome {
    Outcome::Conflict { exception_class_path: "django.db.utils.OperationalError".into(), traceback: String::new() }
}

#[test]
fn what_the_database_undid_for_the_sake_of_others_is_tried_again_whatever_the_attempts_and_no_failure() {
    let (counts, next) = decide(&claimed(Counts::default()), &Options::default(), &conflict());
    assert_eq!((counts.failures, counts.interruptions), (0, 1));
    let Next::Scheduled { delay } = next else { panic!("{next:?}") };
    assert!(delay >= Duration::from_millis(50) && delay <= Duration::from_millis(100), "{delay:?}");
    let often = Counts { interruptions: INTERRUPTIONS - 1, ..Counts::default() };
    assert_eq!(decide(&claimed(often), &retries(None), &conflict()).1, failed(Reason::Conflict));
    let once = Options { on_crash: OnCrash::Fail, ..retries(None) };
    assert_eq!(decide(&claimed(Counts::default()), &once, &conflict()).1, failed(Reason::Conflict));
}

#[test]
fn what_waits_for_a_deploy_is_looked_at_again_at_a_quarter_of_its_age() {
    let outcome = Outcome::Incompatible { why: String::new() };
    let delay = Duration::from_secs(30);
    assert_eq!(next(Counts::default(), &Options::default(), &outcome), Next::Scheduled { delay });
}

#[test]
fn what_no_deploy_fits_fails_after_so_many_tries_and_so_long_whichever_is_later() {
    let outcome = Outcome::Incompatible { why: String::new() };
    let tried = |count, seconds: i64, options: &Options| {
        let mut claimed = claimed(Counts::default());
        let now = claimed.claimed_at.unix_micros().expect("a moment");
        claimed.misfits = Misfits { count, first_at: Some(Moment::from_unix_micros(now - seconds * 1_000_000)) };
        decide(&claimed, options, &outcome).1
    };
    let usual = Options::default();
    assert_eq!(tried(19, 3_600, &usual), failed(Reason::Incompatible));
    assert!(matches!(tried(18, 1_000_000, &usual), Next::Scheduled { .. }), "all workers were away");
    assert!(matches!(tried(500, 3_599, &usual), Next::Scheduled { .. }), "a deploy is under way");
    let impatient = Options { incompatible_tries: Some(1), incompatible_for: 0.0, ..Options::default() };
    assert_eq!(next(Counts::default(), &impatient, &outcome), failed(Reason::Incompatible));
    let patient = Options { incompatible_tries: None, ..Options::default() };
    assert!(matches!(tried(500, 1_000_000, &patient), Next::Scheduled { .. }));
}

#[test]
fn a_job_expires_by_the_databases_clock_alone() {
    let expires = |expiry: &str| expiring(expiry).is_expired();
    assert!(expires("120.0"));
    assert!(!expires("120.1"));
    assert!(expires(r#""2026-01-01 00:02:00.000000""#));
    assert!(!expires(r#""2026-01-01 00:02:00.000001""#));
}

#[test]
fn a_job_that_has_started_once_does_not_expire_between_its_attempts() {
    let mut job = expiring("1.0");
    assert!(job.is_expired());
    job.started_at = Some(Moment("2026-01-01 00:00:00.500000".into()));
    assert!(!job.is_expired());
}

#[test]
fn persisted_options_read_back_as_they_were_meant() {
    let json = r#"{"max_attempts": null, "backoff": {"kind": "linear", "step": 2}, "retry_on": ["app.Busy"],
        "on_crash": "fail", "needed": 2, "on_precondition_failure": "proceed", "expires": "2026-01-01 00:00:00.000000",
        "unique": {"someone": "else's"}}"#;
    let options: Options = serde_json::from_str(json).unwrap();
    assert_eq!(options.max_attempts, None);
    assert_eq!(options.backoff, Backoff::Linear { step: 2.0 });
    assert_eq!(options.on_crash, OnCrash::Fail);
    assert_eq!((options.needed, options.on_precondition_failure), (Some(2), OnPreconditionFailure::Proceed));
    assert_eq!(options.expires, Some(Expiry::At(Moment("2026-01-01 00:00:00.000000".into()))));
    assert_eq!(serde_json::from_str::<Options>("{}").unwrap(), Options::default());
}

proptest! {
    // Whatever a job goes through, it ends: every way back to the queue is counted against a bound.
    #[test]
    fn every_job_with_bounds_ends(outcomes in proptest::collection::vec(0_u8..7, 420)) {
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
                5 => conflict(),
                _ => Outcome::Postponed { until: Until::Default, after: None, why: String::new() },
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
