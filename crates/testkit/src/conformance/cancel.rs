//! What cancelling promises: at once where a job waits, by a request where it runs.

use gristmill_core::{Outcome, Token};
use gristmill_store::testing::{CANCEL, json};
use gristmill_store::{Dialect, NewJob, Session, UniqueUntil};

use super::scene::{
    actions, at, claim_one, claimed_job, crash, cursor, done, dump, ended, error, ids, incompatible, job, keys, number,
    session, state, success, unique, worker,
};
use super::{Fixture, asks};

asks![
    a_job_that_waits_is_cancelled_at_once,
    a_job_that_runs_is_asked_to_end,
    a_cancel_request_is_told_to_the_worker_that_runs_the_job,
    a_cancel_request_wins_over_every_end_but_success,
    a_success_wins_over_a_cancel_request,
    a_cancel_request_holds_for_a_later_attempt_too,
    a_cancel_request_of_a_later_attempt_does_not_reach_back,
    asking_twice_is_asking_once,
    cancelling_frees_the_unique_key,
    a_cancelled_job_keeps_its_own_retention,
    a_job_that_has_ended_is_not_cancelled,
    a_cancel_request_about_a_job_that_waits_is_carried_out,
    a_cancel_request_about_a_job_that_has_ended_is_dropped,
    a_cancel_request_about_a_running_job_is_not_swept_up,
    sweeping_up_keeps_to_its_limit,
    cancelling_waits_for_no_claim,
    a_long_transaction_that_cancels_does_not_hold_up_the_end,
];

/// The cancel requests there are.
async fn cancel_requests(session: &mut Session) -> i64 {
    number(session, "select count(*) from gristmill_cancel_request").await
}

async fn a_job_that_waits_is_cancelled_at_once(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let jobs = [job(), NewJob { run_after: Some(at(9)), ..job() }, job(), job()];
    session.enqueue(&jobs).await.expect("enqueues");
    session.hold(&[jobs[2].id], "ann", None).await.expect("holds");
    session.set_now(Some(at(3)));

    let acted = session.cancel(&ids(&jobs[..3]), "ann").await.expect("cancels");

    assert_eq!(done(&acted), ids(&jobs[..3]).into_iter().map(|id| (id, "cancelled")).collect::<Vec<_>>());
    for id in ids(&jobs[..3]) {
        let job = session.get(id).await.expect("reads").expect("exists");
        assert_eq!((job.state.as_str(), job.reason, job.finished_at), ("cancelled", None, Some(at(3))));
    }
    assert_eq!(state(&mut session, jobs[3].id).await, "ready");
    assert_eq!(cancel_requests(&mut session).await, 0);
    let said: Vec<_> = actions(&mut session).await.into_iter().filter(|(verb, _)| verb == "cancel").collect();
    assert_eq!(said, vec![("cancel".to_owned(), "ann".to_owned()); 3]);
    let places = "select (select count(*) from gristmill_ready) + (select count(*) from gristmill_scheduled)
        + (select count(*) from gristmill_waiting)";
    assert_eq!(number(&mut session, places).await, 1);
}

async fn a_job_that_runs_is_asked_to_end(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let claimed = claimed_job(&mut session, worker).await;

    let acted = session.cancel(&[claimed.id], "ann").await.expect("asks");

    assert_eq!((done(&acted), acted[0].token), (vec![(claimed.id, "asked")], Token(1)));
    assert_eq!(state(&mut session, claimed.id).await, "running");
    assert_eq!(actions(&mut session).await, [("cancel".to_owned(), "ann".to_owned())]);
}

async fn a_cancel_request_is_told_to_the_worker_that_runs_the_job(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let (one, other) = (worker(&mut session).await, worker(&mut session).await);
    let (wanted, spared) = (claimed_job(&mut session, one).await, claimed_job(&mut session, one).await);
    let elsewhere = claimed_job(&mut session, other).await;
    assert_eq!(session.cancel_requests(one).await.expect("reads"), []);

    session.cancel(&[wanted.id, elsewhere.id], "ann").await.expect("asks");

    assert_eq!(session.cancel_requests(one).await.expect("reads"), [(wanted.id, wanted.token)]);
    session.finish(&[ended(&wanted, error()), ended(&spared, error())]).await.expect("finishes");
    assert_eq!(session.cancel_requests(one).await.expect("reads"), []);
}

async fn a_cancel_request_wins_over_every_end_but_success(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let cancelled = Outcome::Cancelled { how: "asked".into() };
    let ends = [error(), crash(), Outcome::Lost, Outcome::Interrupted, incompatible(), Outcome::HandedBack, cancelled];
    for outcome in ends {
        let claimed = claimed_job(&mut session, worker).await;
        session.cancel(&[claimed.id], "ann").await.expect("asks");

        session.finish(&[ended(&claimed, outcome.clone())]).await.expect("finishes");

        let job = session.get(claimed.id).await.expect("reads").expect("exists");
        assert_eq!((job.state.as_str(), job.reason), ("cancelled", None), "{outcome:?}");
        let attempts = session.attempts(claimed.id).await.expect("reads");
        let words: Vec<_> = attempts.iter().map(|attempt| attempt.outcome.as_str()).collect();
        let never_began = outcome == Outcome::HandedBack;
        assert_eq!(words, if never_began { vec![] } else { vec![outcome.word()] });
        assert_eq!(cancel_requests(&mut session).await, 0);
    }
    assert_eq!(number(&mut session, "select count(*) from gristmill_ready").await, 0);
    assert_eq!(number(&mut session, "select count(*) from gristmill_scheduled").await, 0);
}

async fn a_success_wins_over_a_cancel_request(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let claimed = claimed_job(&mut session, worker).await;
    session.cancel(&[claimed.id], "ann").await.expect("asks");

    session.finish(&[ended(&claimed, success())]).await.expect("finishes");

    assert_eq!(state(&mut session, claimed.id).await, "successful");
    assert_eq!(cancel_requests(&mut session).await, 0);
}

async fn a_cancel_request_holds_for_a_later_attempt_too(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let first = claimed_job(&mut session, worker).await;
    session.cancel(&[first.id], "ann").await.expect("asks");
    session.hand_back(&[(first.id, first.token)]).await.expect("hands back");
    let second = claim_one(&mut session, worker).await;

    assert_eq!(session.cancel_requests(worker).await.expect("reads"), [(second.id, Token(2))]);
    session.finish(&[ended(&second, crash())]).await.expect("finishes");

    assert_eq!(state(&mut session, first.id).await, "cancelled");
}

async fn a_cancel_request_of_a_later_attempt_does_not_reach_back(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let claimed = claimed_job(&mut session, worker).await;
    session.cancel(&[claimed.id], "ann").await.expect("asks");
    super::scene::meddle(&mut session, "update gristmill_cancel_request set token = 2").await;

    assert_eq!(session.cancel_requests(worker).await.expect("reads"), []);
    session.finish(&[ended(&claimed, crash())]).await.expect("finishes");

    assert_eq!(state(&mut session, claimed.id).await, "ready");
}

async fn asking_twice_is_asking_once(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let claimed = claimed_job(&mut session, worker).await;

    for _ in 0..2 {
        let acted = session.cancel(&[claimed.id, claimed.id], "ann").await.expect("asks");
        assert_eq!(done(&acted), [(claimed.id, "asked")]);
    }

    assert_eq!(cancel_requests(&mut session).await, 1);
}

async fn cancelling_frees_the_unique_key(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let jobs = [
        unique("a", UniqueUntil::Started),
        unique("b", UniqueUntil::Finished),
        unique("c", UniqueUntil::Pruned),
        unique("d", UniqueUntil::Started),
    ];
    session.enqueue(&jobs).await.expect("enqueues");

    session.cancel(&ids(&jobs[..3]), "ann").await.expect("cancels");

    assert_eq!(keys(&mut session).await, [("c".to_owned(), jobs[2].id), ("d".to_owned(), jobs[3].id)]);
}

async fn a_cancelled_job_keeps_its_own_retention(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let jobs = [None, Some(600.5), Some(1.0)].map(|retention| NewJob { retention, ..job() });
    session.enqueue(&jobs).await.expect("enqueues");

    session.cancel(&ids(&jobs), "ann").await.expect("cancels");

    let due = "select count(*) from gristmill_result where prune_at is null";
    assert_eq!(number(&mut session, due).await, 1);
    for (seconds, left) in [(59, 3), (61, 2), (600, 2), (601, 1)] {
        session.set_now(Some(at(seconds)));
        session.prune(std::time::Duration::from_hours(24), 10).await.expect("prunes");
        assert_eq!(number(&mut session, "select count(*) from gristmill_job").await, left, "after {seconds} s");
    }
}

async fn a_job_that_has_ended_is_not_cancelled(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let claimed = claimed_job(&mut session, worker).await;
    session.finish(&[ended(&claimed, error())]).await.expect("finishes");
    let before = dump(&mut session).await;

    assert_eq!(session.cancel(&[claimed.id, job().id], "ann").await.expect("answers"), []);

    assert_eq!(dump(&mut session).await, before);
}

/// Cancel requests about jobs that came back to wait: ready, scheduled and held.
async fn a_cancel_request_about_a_job_that_waits_is_carried_out(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let jobs = [unique("a", UniqueUntil::Started), job(), job()];
    session.enqueue(&jobs).await.expect("enqueues");
    let claimed = session.claim(worker, &[cursor()], 3, None).await.expect("claims");
    let attempts: Vec<_> = claimed.iter().map(|claimed| (claimed.id, claimed.token)).collect();
    session.hand_back(&attempts).await.expect("hands back");
    session.hold(&[jobs[2].id], "ann", None).await.expect("holds");
    for place in [
        "insert into gristmill_cancel_request (job_id, token, asked_at)
            select id, token, deadline from gristmill_ready",
        "insert into gristmill_cancel_request (job_id, token, asked_at)
            select id, token, deadline from gristmill_waiting",
    ] {
        super::scene::meddle(&mut session, place).await;
    }

    assert_eq!(session.sweep_cancel_requests(10).await.expect("sweeps"), 3);

    for id in ids(&jobs) {
        assert_eq!(state(&mut session, id).await, "cancelled");
    }
    assert_eq!((cancel_requests(&mut session).await, keys(&mut session).await), (0, vec![]));
    assert_eq!(session.sweep_cancel_requests(10).await.expect("sweeps"), 0);
}

async fn a_cancel_request_about_a_job_that_has_ended_is_dropped(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let claimed = claimed_job(&mut session, worker).await;
    session.finish(&[ended(&claimed, success())]).await.expect("finishes");
    // The request was committed just after the end.
    let late = "insert into gristmill_cancel_request (job_id, token, asked_at)
        select id, token, finished_at from gristmill_result";
    super::scene::meddle(&mut session, late).await;

    assert_eq!(session.sweep_cancel_requests(10).await.expect("sweeps"), 1);

    assert_eq!((cancel_requests(&mut session).await, state(&mut session, claimed.id).await), (0, "successful".into()));
}

async fn a_cancel_request_about_a_running_job_is_not_swept_up(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let claimed = claimed_job(&mut session, worker).await;
    session.cancel(&[claimed.id], "ann").await.expect("asks");

    assert_eq!(session.sweep_cancel_requests(10).await.expect("sweeps"), 0);

    assert_eq!(session.cancel_requests(worker).await.expect("reads"), [(claimed.id, claimed.token)]);
}

async fn sweeping_up_keeps_to_its_limit(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    session.enqueue(&[job(), job(), job()]).await.expect("enqueues");
    let request = "insert into gristmill_cancel_request (job_id, token, asked_at)
        select id, token, deadline from gristmill_ready";
    super::scene::meddle(&mut session, request).await;

    assert_eq!(session.sweep_cancel_requests(2).await.expect("sweeps"), 2);

    assert_eq!((cancel_requests(&mut session).await, session.sweep_cancel_requests(2).await.expect("sweeps")), (1, 1));
}

async fn cancelling_waits_for_no_claim(fixture: &dyn Fixture) {
    let mut first = session(fixture).await;
    if first.dialect() == Dialect::Sqlite {
        return; // One writer at a time.
    }
    let worker = worker(&mut first).await;
    let jobs = [job(), job()];
    first.enqueue(&jobs).await.expect("enqueues");
    let mut second = session(fixture).await;

    first.begin().await.expect("begins");
    first.claim_within(worker, &[cursor()], 1, None).await.expect("claims");
    let meanwhile = second.cancel(&ids(&jobs), "ann").await.expect("does not wait");
    first.end(Ok(())).await.expect("commits");

    assert_eq!(done(&meanwhile), [(jobs[1].id, "cancelled")]);
    let again = second.cancel(&ids(&jobs), "ann").await.expect("asks");
    assert_eq!(done(&again), [(jobs[0].id, "asked")]);
}

async fn a_long_transaction_that_cancels_does_not_hold_up_the_end(fixture: &dyn Fixture) {
    let mut first = session(fixture).await;
    if first.dialect() == Dialect::Sqlite {
        return; // One writer at a time.
    }
    let worker = worker(&mut first).await;
    let claimed = claimed_job(&mut first, worker).await;
    let known = claimed_job(&mut first, worker).await;
    first.cancel(&[known.id], "ann").await.expect("asks");
    let mut second = session(fixture).await;

    second.begin().await.expect("begins");
    let ids = json(&[claimed.id, known.id]);
    let binds = [ids, "ann".into(), second.now()];
    let asked = second.run(&CANCEL, &binds).await.expect("asks");
    let ended =
        first.finish(&[ended(&claimed, error()), ended(&known, error())]).await.expect("does not wait").accepted;
    second.end(Ok(())).await.expect("commits");

    assert_eq!((asked.len(), ended.len()), (2, 2));
    // It came too late, and nothing of it stays.
    assert_eq!(state(&mut first, claimed.id).await, "failed");
    assert_eq!(state(&mut first, known.id).await, "cancelled");
    first.sweep_cancel_requests(10).await.expect("sweeps");
    assert_eq!(cancel_requests(&mut first).await, 0);
}
