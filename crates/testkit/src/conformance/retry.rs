//! What a retry by hand promises.

use gristmill_core::{Counts, Outcome, Token};
use gristmill_store::{NewJob, Session, UniqueUntil};

use super::scene::{
    actions, at, claim_one, claimed_job, crash, done, dump, ended, error, ids, job, keys, meddle, number, session,
    state, success, unique, worker,
};
use super::{Fixture, asks};

asks![
    a_retry_begins_a_new_generation,
    every_terminal_state_can_be_retried,
    the_attempts_of_earlier_generations_stay,
    only_jobs_that_have_ended_are_retried,
    an_attempt_from_before_the_retry_ends_nothing,
    a_cancel_request_does_not_outlive_a_retry,
    a_retried_job_takes_its_key_again,
    a_retry_is_refused_while_another_job_has_the_key,
    of_two_with_one_key_the_first_is_retried,
    a_retry_takes_over_an_expired_key,
];

async fn a_retry_begins_a_new_generation(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let first = claimed_job(&mut session, worker).await;
    session.finish(&[ended(&first, crash())]).await.expect("finishes");
    let second = claim_one(&mut session, worker).await;
    session.finish(&[ended(&second, error())]).await.expect("finishes");
    session.set_now(Some(at(60)));

    let acted = session.retry(&[first.id], "ann").await.expect("retries");

    assert_eq!((done(&acted), acted[0].token), (vec![(first.id, "retried")], Token(2)));
    let job = session.get(first.id).await.expect("reads").expect("exists");
    assert_eq!((job.state.as_str(), job.reason, job.finished_at), ("ready", None, None));
    assert_eq!((job.generation, job.token, job.counts), (2, Token(2), Counts::default()));
    assert_eq!((job.started_at, job.deadline), (None, first.deadline));
    assert_eq!(actions(&mut session).await, [("retry".to_owned(), "ann".to_owned())]);
    let again = claim_one(&mut session, worker).await;
    assert_eq!((again.token, again.generation), (Token(3), 2));
}

async fn every_terminal_state_can_be_retried(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    for outcome in [success(), error(), Outcome::Cancelled { how: "asked".into() }, Outcome::Expired] {
        let claimed = claimed_job(&mut session, worker).await;
        session.finish(&[ended(&claimed, outcome)]).await.expect("finishes");

        session.retry(&[claimed.id], "ann").await.expect("retries");

        let again = claim_one(&mut session, worker).await;
        assert_eq!((again.id, again.token, again.generation), (claimed.id, Token(2), 2));
    }
    assert_eq!(number(&mut session, "select count(*) from gristmill_result").await, 0);
}

async fn the_attempts_of_earlier_generations_stay(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let first = claimed_job(&mut session, worker).await;
    session.finish(&[ended(&first, error())]).await.expect("finishes");
    session.retry(&[first.id], "ann").await.expect("retries");
    let second = claim_one(&mut session, worker).await;
    session.finish(&[ended(&second, success())]).await.expect("finishes");

    let attempts = session.attempts(first.id).await.expect("reads");

    let told: Vec<_> = attempts.iter().map(|a| (a.token, a.generation, a.outcome.as_str())).collect();
    assert_eq!(told, [(Token(1), 1, "failed"), (Token(2), 2, "successful")]);
}

async fn only_jobs_that_have_ended_are_retried(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let running = claimed_job(&mut session, worker).await;
    let jobs = [job(), NewJob { run_after: Some(at(5)), ..job() }, job()];
    session.enqueue(&jobs).await.expect("enqueues");
    session.hold(&[jobs[2].id], "ann", None).await.expect("holds");
    // A cancel request about a job that waits is not a retry's to drop.
    let request = "insert into gristmill_cancel_request (job_id, token, asked_at)
        select id, token, deadline from gristmill_ready";
    meddle(&mut session, request).await;
    let before = dump(&mut session).await;

    let everyone = [ids(&jobs), vec![running.id, job().id]].concat();
    assert_eq!(session.retry(&everyone, "ann").await.expect("answers"), []);

    assert_eq!(dump(&mut session).await, before);
}

async fn an_attempt_from_before_the_retry_ends_nothing(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let stale = claimed_job(&mut session, worker).await;
    session.finish(&[ended(&stale, error())]).await.expect("finishes");
    session.retry(&[stale.id], "ann").await.expect("retries");
    claim_one(&mut session, worker).await;
    let before = dump(&mut session).await;

    assert_eq!(session.finish(&[ended(&stale, success())]).await.expect("answers").accepted, []);

    assert_eq!(dump(&mut session).await, before);
}

async fn a_cancel_request_does_not_outlive_a_retry(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let claimed = claimed_job(&mut session, worker).await;
    session.finish(&[ended(&claimed, error())]).await.expect("finishes");
    // The request was committed just after the end.
    let late = "insert into gristmill_cancel_request (job_id, token, asked_at)
        select id, token, finished_at from gristmill_result";
    meddle(&mut session, late).await;

    session.retry(&[claimed.id], "ann").await.expect("retries");

    session.sweep_cancel_requests(10).await.expect("sweeps");
    assert_eq!(state(&mut session, claimed.id).await, "ready");
    assert_eq!(number(&mut session, "select count(*) from gristmill_cancel_request").await, 0);
}

/// A job that has held the key `k` until `until` and has failed.
async fn failed_with_key(session: &mut Session, until: UniqueUntil) -> NewJob {
    let worker = worker(session).await;
    let job = unique("k", until);
    session.enqueue(std::slice::from_ref(&job)).await.expect("enqueues");
    let claimed = claim_one(session, worker).await;
    assert_eq!(claimed.id, job.id);
    session.finish(&[ended(&claimed, error())]).await.expect("finishes");
    job
}

async fn a_retried_job_takes_its_key_again(fixture: &dyn Fixture) {
    for until in [UniqueUntil::Started, UniqueUntil::Finished, UniqueUntil::Pruned] {
        let mut session = session(fixture).await;
        let job = failed_with_key(&mut session, until).await;
        let kept = if until == UniqueUntil::Pruned { vec![("k".to_owned(), job.id)] } else { vec![] };
        assert_eq!(keys(&mut session).await, kept);

        let acted = session.retry(&[job.id], "ann").await.expect("retries");

        assert_eq!(done(&acted), [(job.id, "retried")]);
        assert_eq!(keys(&mut session).await, [("k".to_owned(), job.id)]);
        session.cancel(&[job.id], "ann").await.expect("cancels");
        meddle(&mut session, "delete from gristmill_unique_key").await;
    }
}

async fn a_retry_is_refused_while_another_job_has_the_key(fixture: &dyn Fixture) {
    for until in [UniqueUntil::Started, UniqueUntil::Finished] {
        let mut session = session(fixture).await;
        let over = failed_with_key(&mut session, until).await;
        let other = unique("k", until);
        session.enqueue(std::slice::from_ref(&other)).await.expect("enqueues");
        let before = dump(&mut session).await;

        let acted = session.retry(&[over.id], "ann").await.expect("answers");

        assert_eq!(done(&acted), [(over.id, "refused: another job has its unique key")]);
        assert_eq!(dump(&mut session).await, before);
        session.cancel(&[other.id], "ann").await.expect("cancels");
        assert_eq!(done(&session.retry(&[over.id], "ann").await.expect("retries")), [(over.id, "retried")]);
        session.cancel(&[over.id], "ann").await.expect("cancels");
    }
}

async fn of_two_with_one_key_the_first_is_retried(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let one = failed_with_key(&mut session, UniqueUntil::Finished).await;
    let other = failed_with_key(&mut session, UniqueUntil::Finished).await;

    let acted = session.retry(&[other.id, one.id], "ann").await.expect("answers");

    assert_eq!(done(&acted), [(one.id, "retried"), (other.id, "refused: another job has its unique key")]);
    assert_eq!(keys(&mut session).await, [("k".to_owned(), one.id)]);
}

async fn a_retry_takes_over_an_expired_key(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let over = failed_with_key(&mut session, UniqueUntil::Finished).await;
    let other = unique("k", UniqueUntil::Finished);
    session.enqueue(std::slice::from_ref(&other)).await.expect("enqueues");
    meddle(
        &mut session,
        "update gristmill_unique_key set expires_at = (select max(finished_at) from gristmill_result)",
    )
    .await;
    session.set_now(Some(at(1)));

    let acted = session.retry(&[over.id], "ann").await.expect("answers");

    assert_eq!(done(&acted), [(over.id, "retried")]);
    assert_eq!(keys(&mut session).await, [("k".to_owned(), over.id)]);
}
