//! What ending an attempt promises.

use std::time::Duration;

use gristmill_core::{Attempt, Counts, Moment, Outcome, Reason, Token, Until};
use gristmill_store::testing::Ends;
use gristmill_store::{Dialect, NewJob};

use super::scene::{
    at, claim_one, claimed_ids, claimed_job, crash, cursor, dump, ended, error, ids, job, jobs, meddle, number,
    session, success, waiting_for_locks, wanted, worker,
};
use super::{Fixture, asks};

asks![
    a_successful_job_keeps_its_return_value,
    a_failed_job_keeps_class_and_traceback,
    a_crashed_job_is_ready_again_and_poisoned_at_the_third,
    a_job_lost_five_times_is_poisoned,
    a_job_interrupted_twenty_times_fails,
    a_job_handed_back_is_charged_nothing,
    hand_back_charges_nothing,
    a_stale_finish_changes_nothing,
    an_end_by_another_worker_changes_nothing_though_its_token_was_given_out_again,
    a_stale_hand_back_changes_nothing,
    a_finished_attempt_is_not_finished_again,
    an_attempt_given_twice_ends_once,
    finishers_lock_in_one_order,
    the_next_run_keeps_priority_deadline_and_date,
    a_delayed_run_waits_in_scheduled,
    the_first_start_stays_the_jobs_start,
    a_start_lies_between_claim_and_end,
    an_attempt_that_never_started_has_no_start,
    a_batch_of_mixed_outcomes_ends_each_its_own_way,
    a_postponed_job_waits_for_its_date,
    a_date_that_is_none_is_the_default_delay,
    output_is_kept_with_its_attempt,
    a_job_without_a_retention_has_no_date_to_be_forgotten,
    nul_in_errors_is_storable,
    text_is_stored_as_it_is,
];

async fn a_successful_job_keeps_its_return_value(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let claimed = claimed_job(&mut session, worker).await;
    session.set_now(Some(at(3)));

    let accepted = session.finish(&[ended(&claimed, success())]).await.expect("finishes").accepted;

    assert_eq!(accepted, [(claimed.id, claimed.token)]);
    let job = session.get(claimed.id).await.expect("reads").expect("exists");
    assert_eq!((job.state.as_str(), job.reason), ("successful", None));
    assert_eq!(job.return_value.as_deref(), Some(r#"{"ok": true}"#));
    assert_eq!(job.finished_at, Some(at(3)));
    assert_eq!(job.worker_id, Some(worker));
    let attempts = session.attempts(claimed.id).await.expect("reads");
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].token, Token(1));
    assert_eq!(attempts[0].outcome, "successful");
    assert_eq!(attempts[0].worker_id, worker);
    assert_eq!(attempts[0].runner_pid, Some(4242));
    assert_eq!((&attempts[0].claimed_at, &attempts[0].ended_at), (&at(0), &at(3)));
    assert_eq!(number(&mut session, "select count(*) from gristmill_running").await, 0);
}

async fn a_failed_job_keeps_class_and_traceback(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let claimed = claimed_job(&mut session, worker).await;

    session.finish(&[ended(&claimed, error())]).await.expect("finishes");

    let job = session.get(claimed.id).await.expect("reads").expect("exists");
    assert_eq!((job.state.as_str(), job.reason.as_deref()), ("failed", Some("error")));
    assert_eq!(job.exception_class_path.as_deref(), Some("builtins.ValueError"));
    assert_eq!(job.traceback.as_deref(), Some("Traceback (most recent call last):\nValueError: no"));
    assert_eq!(job.counts, Counts { failures: 1, ..Counts::default() });
    let attempt = session.attempts(claimed.id).await.expect("reads").remove(0);
    assert_eq!((attempt.outcome.as_str(), attempt.reason.as_deref()), ("failed", Some("error")));
}

async fn a_crashed_job_is_ready_again_and_poisoned_at_the_third(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let id = ids(&[job()])[0];
    session.enqueue(&[NewJob { id, ..job() }]).await.expect("enqueues");

    for crashes in 1..=3 {
        let claimed = claim_one(&mut session, worker).await;
        assert_eq!(claimed.counts.crashes, crashes - 1);
        session.finish(&[ended(&claimed, crash())]).await.expect("finishes");
        let job = session.get(id).await.expect("reads").expect("exists");
        assert_eq!(job.state, if crashes < 3 { "ready" } else { "poisoned" });
        assert_eq!(job.counts.crashes, crashes);
    }

    assert_eq!(session.get(id).await.expect("reads").expect("exists").reason.as_deref(), Some("crashed"));
    let attempts = session.attempts(id).await.expect("reads");
    assert_eq!(attempts.len(), 3);
    assert!(attempts.iter().all(|attempt| attempt.outcome == "crashed"));
    assert_eq!(attempts[2].reason.as_deref(), Some("signal 9 (SIGKILL)"));
    assert_eq!(session.claim(worker, &[cursor()], 1, None).await.expect("answers"), []);
}

async fn a_job_lost_five_times_is_poisoned(fixture: &dyn Fixture) {
    let state = ended_again_and_again(fixture, &Outcome::Lost, 5).await;
    assert_eq!(state, ("poisoned".to_owned(), Some("lost".to_owned())));
}

async fn a_job_interrupted_twenty_times_fails(fixture: &dyn Fixture) {
    let state = ended_again_and_again(fixture, &Outcome::Interrupted, 20).await;
    assert_eq!(state, ("failed".to_owned(), Some("interrupted too often".to_owned())));
}

/// Ends a job `times` times alike; it must be ready again each time but the last. Its state after that.
async fn ended_again_and_again(fixture: &dyn Fixture, outcome: &Outcome, times: usize) -> (String, Option<String>) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let mut last = claimed_job(&mut session, worker).await;
    for _ in 1..times {
        session.finish(&[ended(&last, outcome.clone())]).await.expect("finishes");
        last = claim_one(&mut session, worker).await;
    }
    session.finish(&[ended(&last, outcome.clone())]).await.expect("finishes");
    assert_eq!(session.attempts(last.id).await.expect("reads").len(), times);
    let job = session.get(last.id).await.expect("reads").expect("exists");
    (job.state, job.reason)
}

async fn a_job_handed_back_is_charged_nothing(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let claimed = claimed_job(&mut session, worker).await;
    let handed_back = Attempt { started_after: None, ..ended(&claimed, Outcome::HandedBack) };

    let accepted = session.finish(&[handed_back]).await.expect("finishes").accepted;

    assert_eq!(accepted, [(claimed.id, claimed.token)]);
    assert_eq!(session.attempts(claimed.id).await.expect("reads"), []);
    let again = claim_one(&mut session, worker).await;
    assert_eq!((again.id, again.counts, again.started_at), (claimed.id, Counts::default(), None));
}

async fn hand_back_charges_nothing(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let crashed = claimed_job(&mut session, worker).await;
    session.finish(&[ended(&crashed, crash())]).await.expect("finishes");
    let claimed = claim_one(&mut session, worker).await;

    let back = session.hand_back(&[(claimed.id, claimed.token)]).await.expect("hands back");

    assert_eq!(back, [(claimed.id, claimed.token)]);
    assert_eq!(session.attempts(claimed.id).await.expect("reads").len(), 1);
    let again = claim_one(&mut session, worker).await;
    assert_eq!((again.counts, again.started_at), (claimed.counts, claimed.started_at));
    assert_eq!((again.priority, again.deadline), (claimed.priority, claimed.deadline));
}

async fn a_stale_finish_changes_nothing(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let stale = claimed_job(&mut session, worker).await;
    session.hand_back(&[(stale.id, stale.token)]).await.expect("hands back");
    claim_one(&mut session, worker).await;
    let before = dump(&mut session).await;

    for outcome in [success(), error(), crash(), Outcome::Lost, Outcome::Interrupted, Outcome::HandedBack] {
        assert_eq!(session.finish(&[ended(&stale, outcome)]).await.expect("answers").accepted, []);
        assert_eq!(dump(&mut session).await, before);
    }
}

async fn an_end_by_another_worker_changes_nothing_though_its_token_was_given_out_again(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let (one, other) = (worker(&mut session).await, worker(&mut session).await);
    let forgotten = claimed_job(&mut session, one).await;
    // As a failover leaves it that lost the last commits, or a restored copy: before that claim.
    session.hand_back(&[(forgotten.id, forgotten.token)]).await.expect("hands back");
    meddle(&mut session, "update gristmill_ready set token = 0").await;
    let claimed = claim_one(&mut session, other).await;
    assert_eq!(claimed.token, forgotten.token);
    let before = dump(&mut session).await;

    assert_eq!(session.finish(&[ended(&forgotten, success())]).await.expect("answers").accepted, []);

    assert_eq!(dump(&mut session).await, before);
    assert_eq!(session.finish(&[ended(&claimed, success())]).await.expect("finishes").accepted.len(), 1);
}

async fn a_stale_hand_back_changes_nothing(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let stale = claimed_job(&mut session, worker).await;
    session.hand_back(&[(stale.id, stale.token)]).await.expect("hands back");
    claim_one(&mut session, worker).await;
    let before = dump(&mut session).await;

    assert_eq!(session.hand_back(&[(stale.id, stale.token)]).await.expect("answers"), []);

    assert_eq!(dump(&mut session).await, before);
}

async fn a_finished_attempt_is_not_finished_again(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let claimed = claimed_job(&mut session, worker).await;
    session.finish(&[ended(&claimed, success())]).await.expect("finishes");
    let before = dump(&mut session).await;

    assert_eq!(session.finish(&[ended(&claimed, error())]).await.expect("answers").accepted, []);

    assert_eq!(dump(&mut session).await, before);
}

async fn an_attempt_given_twice_ends_once(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let claimed = claimed_job(&mut session, worker).await;

    let accepted =
        session.finish(&[ended(&claimed, success()), ended(&claimed, crash())]).await.expect("finishes").accepted;

    assert_eq!(accepted, [(claimed.id, claimed.token)]);
    assert_eq!(session.get(claimed.id).await.expect("reads").expect("exists").state, "successful");
}

async fn finishers_lock_in_one_order(fixture: &dyn Fixture) {
    let mut first = session(fixture).await;
    if first.dialect() == Dialect::Sqlite {
        return; // One writer at a time.
    }
    let worker = worker(&mut first).await;
    first.enqueue(&jobs(2)).await.expect("enqueues");
    let claimed = first.claim(worker, &[cursor()], 2, None).await.expect("claims");
    let attempts: Vec<_> = claimed.iter().map(|claimed| ended(claimed, success())).collect();
    let mut second = session(fixture).await;

    // The first holds one row; the second is given both, the other one first.
    first.begin().await.expect("begins");
    first.turn(&attempts[..1], wanted(worker, &[], 0)).await.expect("finishes");
    let backwards: Vec<_> = attempts.iter().rev().cloned().collect();
    let waiting = tokio::spawn(async move { second.finish(&backwards).await });
    let mut third = session(fixture).await;
    for _ in 0..1_000 {
        if waiting_for_locks(&mut third).await > 0 {
            break;
        }
    }
    let turn = first.turn(&attempts[1..], wanted(worker, &[], 0)).await;
    first.end(turn).await.map(drop).expect("is not locked out by the second");

    assert_eq!(waiting.await.expect("joins").expect("is not locked out by the first").accepted, []);
}

async fn the_next_run_keeps_priority_deadline_and_date(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let dated = NewJob { run_after: Some(at(-90)), ..job() };
    session.enqueue(&[dated]).await.expect("enqueues");
    let first = claim_one(&mut session, worker).await;
    session.set_now(Some(at(1_000)));

    for outcome in [crash(), Outcome::Lost, Outcome::Interrupted, Outcome::HandedBack] {
        let claimed = claim_one_of(&mut session, worker, &first).await;
        session.finish(&[ended(&claimed, outcome)]).await.expect("finishes");
        let again = claim_one(&mut session, worker).await;
        assert_eq!(
            (again.priority, &again.deadline, &again.run_after),
            (first.priority, &first.deadline, &Some(at(-90)))
        );
        session.hand_back(&[(again.id, again.token)]).await.expect("hands back");
    }
}

/// `first` while it is still running, else the next claim.
async fn claim_one_of(
    session: &mut gristmill_store::Session,
    worker: gristmill_core::WorkerId,
    first: &gristmill_core::Claimed,
) -> gristmill_core::Claimed {
    if session.owned(worker).await.expect("reads") == [(first.id, first.token)] {
        first.clone()
    } else {
        claim_one(session, worker).await
    }
}

async fn a_delayed_run_waits_in_scheduled(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let claimed = claimed_job(&mut session, worker).await;
    session.set_now(Some(at(10)));
    // No outcome asks for a delay by itself, so the row is written here as `finish` would write it.
    let row = format!(
        r#"[{{"id": "{}", "token": 1, "worker_id": "{worker}", "outcome": "failed", "next": "scheduled", "delay_us": 90500000,
            "counts": "{{\"failures\":1}}"}}]"#,
        claimed.id
    );
    session.end_attempts(&Ends { json: row.into(), some_go_on: true }).await.expect("finishes");

    let job = session.get(claimed.id).await.expect("reads").expect("exists");
    assert_eq!(job.state, "scheduled");
    assert_eq!(job.due_at.expect("is dated").0[..23], at(100).0.replace(".000000", ".500"));
    assert_eq!(job.counts.failures, 1);
    session.set_now(Some(at(100)));
    assert_eq!(session.promote(1).await.expect("promotes").moved, 0);
    session.set_now(Some(at(101)));
    assert_eq!(session.promote(1).await.expect("promotes").moved, 1);
    let again = claim_one(&mut session, worker).await;
    assert_eq!((again.token, again.deadline), (Token(2), claimed.deadline));
}

async fn the_first_start_stays_the_jobs_start(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let first = claimed_job(&mut session, worker).await;
    session.set_now(Some(at(10)));
    session.finish(&[ended(&first, crash())]).await.expect("finishes");
    session.set_now(Some(at(20)));
    let second = claim_one(&mut session, worker).await;
    let start = second.started_at.clone().expect("has started");
    assert!(start > at(0) && start < at(1), "{start}");
    session.set_now(Some(at(30)));
    session.finish(&[ended(&second, success())]).await.expect("finishes");

    let job = session.get(first.id).await.expect("reads").expect("exists");

    assert_eq!(job.started_at, Some(start.clone()));
    let attempts = session.attempts(first.id).await.expect("reads");
    assert_eq!(attempts[0].started_at, Some(start));
    assert!(attempts[1].started_at > Some(at(20)));
}

async fn a_start_lies_between_claim_and_end(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    // Two clocks measure an attempt; they may disagree by more than it took.
    for (started_after, start) in [(Duration::from_secs(90), at(1)), (Duration::ZERO, at(0))] {
        session.set_now(Some(at(0)));
        let claimed = claimed_job(&mut session, worker).await;
        session.set_now(Some(at(1)));
        let attempt = Attempt { started_after: Some(started_after), ..ended(&claimed, success()) };
        session.finish(&[attempt]).await.expect("finishes");
        assert_eq!(session.attempts(claimed.id).await.expect("reads")[0].started_at, Some(start));
    }
}

async fn an_attempt_that_never_started_has_no_start(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let claimed = claimed_job(&mut session, worker).await;
    let lost = Attempt { started_after: None, runner_pid: None, ..ended(&claimed, Outcome::Lost) };

    session.finish(&[lost]).await.expect("finishes");

    let attempt = session.attempts(claimed.id).await.expect("reads").remove(0);
    assert_eq!((attempt.started_at, attempt.runner_pid), (None, None));
    assert_eq!(claim_one(&mut session, worker).await.started_at, None);
}

async fn a_batch_of_mixed_outcomes_ends_each_its_own_way(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    session.enqueue(&jobs(7)).await.expect("enqueues");
    let claimed = session.claim(worker, &[cursor()], 7, None).await.expect("claims");
    session.hand_back(&[(claimed[6].id, claimed[6].token)]).await.expect("hands back");
    let outcomes = [success(), error(), crash(), Outcome::Lost, Outcome::Interrupted, Outcome::HandedBack, success()];
    let attempts: Vec<_> = claimed.iter().zip(outcomes).map(|(claimed, outcome)| ended(claimed, outcome)).collect();

    let mut accepted = session.finish(&attempts).await.expect("finishes").accepted;

    accepted.sort();
    assert_eq!(accepted, claimed[..6].iter().map(|claimed| (claimed.id, claimed.token)).collect::<Vec<_>>());
    let mut states = Vec::new();
    for id in claimed_ids(&claimed) {
        states.push(session.get(id).await.expect("reads").expect("exists").state);
    }
    assert_eq!(states, ["successful", "failed", "ready", "ready", "ready", "ready", "ready"]);
    assert_eq!(number(&mut session, "select count(*) from gristmill_attempt").await, 5);
}

async fn a_postponed_job_waits_for_its_date(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let dates = [at(90), at(-5), Moment("2030-02-31T00:00:00.5".into()), Moment("9999-12-31 23:59:59".into())];
    let normal =
        [at(90), at(-5), Moment("2030-03-03 00:00:00.500000".into()), Moment("9999-12-24 00:00:00.000000".into())];
    for (date, due) in dates.into_iter().zip(normal) {
        let claimed = claimed_job(&mut session, worker).await;
        let postponed = Outcome::Postponed { until: Until::At(date), after: None, why: "not yet".into() };

        session.finish(&[ended(&claimed, postponed)]).await.expect("finishes");

        let job = session.get(claimed.id).await.expect("reads").expect("exists");
        assert_eq!((job.state.as_str(), job.due_at, job.counts.postpones), ("scheduled", Some(due), 1));
        let attempt = session.attempts(claimed.id).await.expect("reads").remove(0);
        assert_eq!((attempt.outcome.as_str(), attempt.reason.as_deref()), ("postponed", Some("not yet")));
    }
}

async fn a_date_that_is_none_is_the_default_delay(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    for odd in
        ["", "soon", "2030-13-01 00:00:00", "12030-01-01 00:00:00", "999999999999999-1-1 0:0:0", "ü030-01-01 00:00:00"]
    {
        let claimed = claimed_job(&mut session, worker).await;
        let postponed = Outcome::Postponed { until: Until::At(Moment(odd.into())), after: None, why: String::new() };

        session.finish(&[ended(&claimed, postponed)]).await.expect("finishes");

        let job = session.get(claimed.id).await.expect("reads").expect("exists");
        assert_eq!((job.state.as_str(), job.due_at), ("scheduled", Some(at(5))), "{odd}");
    }
}

async fn output_is_kept_with_its_attempt(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let claimed = claimed_job(&mut session, worker).await;
    let attempt = Attempt { output: Some("one\ntwo\0 😀".into()), ..ended(&claimed, crash()) };

    session.finish(&[attempt]).await.expect("finishes");
    let again = claim_one(&mut session, worker).await;
    session.finish(&[ended(&again, success())]).await.expect("finishes");

    let attempts = session.attempts(claimed.id).await.expect("reads");
    let outputs: Vec<_> = attempts.iter().map(|attempt| attempt.output.as_deref()).collect();
    assert_eq!(outputs, [Some("one\ntwo\\0 😀"), None]);
}

async fn a_job_without_a_retention_has_no_date_to_be_forgotten(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let claimed = claimed_job(&mut session, worker).await;

    session.finish(&[ended(&claimed, success())]).await.expect("finishes");

    assert_eq!(number(&mut session, "select count(*) from gristmill_result where prune_at is null").await, 1);
}

async fn nul_in_errors_is_storable(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let claimed = claimed_job(&mut session, worker).await;
    let failed = Outcome::failed(Reason::Error, "app.Odd\0Error", "\0 in the middle \0 and at the end\0");

    assert_eq!(session.finish(&[ended(&claimed, failed)]).await.expect("finishes").accepted.len(), 1);

    let job = session.get(claimed.id).await.expect("reads").expect("exists");
    assert_eq!(job.exception_class_path.as_deref(), Some("app.Odd\\0Error"));
    assert_eq!(job.traceback.as_deref(), Some("\\0 in the middle \\0 and at the end\\0"));

    let claimed = claimed_job(&mut session, worker).await;
    let crashed = Outcome::Crashed { how: "\0".into() };
    assert_eq!(session.finish(&[ended(&claimed, crashed)]).await.expect("finishes").accepted.len(), 1);
}

async fn text_is_stored_as_it_is(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let claimed = claimed_job(&mut session, worker).await;
    let odd = "\u{1b}[31m ' \" \\ \\u0000 %s $1 ?1 {} \u{feff}\u{fffd}\u{10ffff} 😀 \r\n\t \u{1}\u{7f}";
    let traceback = format!("{odd}{}", "x".repeat(1 << 20));
    let failed = Outcome::failed(Reason::BadResult, odd, traceback.clone());

    session.finish(&[ended(&claimed, failed)]).await.expect("finishes");

    let job = session.get(claimed.id).await.expect("reads").expect("exists");
    assert_eq!(job.reason.as_deref(), Some("bad result"));
    assert_eq!(job.exception_class_path.as_deref(), Some(odd));
    assert_eq!(job.traceback, Some(traceback));
}
