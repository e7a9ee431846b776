//! What forgetting promises.

use std::time::Duration;

use gristmill_core::{JobId, WorkerId};

use super::scene::{at, claim_one, dump, ended, error, job, number, session, state, success, unique, worker};
use super::{Fixture, asks};
use crate::verbs::prune::PRUNE;
use crate::{Bind, Dialect, NewJob, Session, UniqueUntil};

asks![
    jobs_are_forgotten_after_the_usual_retention,
    a_retention_of_its_own_comes_first,
    nothing_is_forgotten_within_a_minute,
    everything_about_a_job_is_forgotten,
    only_jobs_that_have_ended_are_forgotten,
    pruning_keeps_to_its_limit_and_begins_with_the_oldest,
    pruners_do_not_wait_for_each_other,
    a_pruned_job_gives_up_its_key,
];

const HOUR: Duration = Duration::from_hours(1);

/// A job with these options that has ended.
async fn over(session: &mut Session, worker: WorkerId, options: Option<&str>) -> JobId {
    let job = NewJob { options_json: options.map(Into::into), ..job() };
    session.enqueue(std::slice::from_ref(&job)).await.expect("enqueues");
    let claimed = claim_one(session, worker).await;
    session.finish(&[ended(&claimed, success())]).await.expect("finishes");
    job.id
}

async fn jobs_are_forgotten_after_the_usual_retention(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let id = over(&mut session, worker, None).await;

    session.set_now(Some(at(3_599)));
    assert_eq!(session.prune(HOUR, 10).await.expect("prunes"), 0);
    assert_eq!(state(&mut session, id).await, "successful");

    session.set_now(Some(at(3_601)));
    assert_eq!(session.prune(HOUR, 10).await.expect("prunes"), 1);
    assert_eq!(state(&mut session, id).await, "gone");
    assert_eq!(session.prune(HOUR, 10).await.expect("prunes"), 0);
}

async fn a_retention_of_its_own_comes_first(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let short = over(&mut session, worker, Some(r#"{"retention": 90}"#)).await;
    let long = over(&mut session, worker, Some(r#"{"retention": 7200.5}"#)).await;
    let ages = over(&mut session, worker, Some(r#"{"retention": 1e300}"#)).await;

    session.set_now(Some(at(91)));
    assert_eq!(session.prune(HOUR, 10).await.expect("prunes"), 1);
    assert_eq!(state(&mut session, short).await, "gone");
    session.set_now(Some(at(7_200)));
    assert_eq!(session.prune(HOUR, 10).await.expect("prunes"), 0);
    session.set_now(Some(at(7_201)));
    assert_eq!(session.prune(HOUR, 10).await.expect("prunes"), 1);
    assert_eq!(
        (state(&mut session, long).await, state(&mut session, ages).await),
        ("gone".into(), "successful".into())
    );
}

async fn nothing_is_forgotten_within_a_minute(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    over(&mut session, worker, None).await;
    over(&mut session, worker, Some(r#"{"retention": 0}"#)).await;
    let meddled = over(&mut session, worker, Some(r#"{"retention": 61}"#)).await;
    super::scene::meddle(&mut session, "update gristmill_result set prune_at = finished_at where prune_at is not null")
        .await;

    session.set_now(Some(at(59)));
    assert_eq!(session.prune(Duration::ZERO, 10).await.expect("prunes"), 0);
    session.set_now(Some(at(60)));
    assert_eq!(session.prune(Duration::ZERO, 10).await.expect("prunes"), 3);
    assert_eq!(state(&mut session, meddled).await, "gone");
}

async fn everything_about_a_job_is_forgotten(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let before = dump(&mut session).await;
    session.enqueue(&[unique("k", UniqueUntil::Pruned)]).await.expect("enqueues");
    let claimed = claim_one(&mut session, worker).await;
    let said = gristmill_core::Progress {
        job: claimed.id,
        token: claimed.token,
        done: Some(1.0),
        total: None,
        message: None,
        metadata: None,
    };
    session.progress(&[said]).await.expect("writes");
    session.cancel(&[claimed.id], "ann").await.expect("asks");
    session.finish(&[ended(&claimed, error())]).await.expect("finishes");
    let late =
        "insert into gristmill_control (job_id, token, asked_at) select id, token, finished_at from gristmill_result";
    super::scene::meddle(&mut session, late).await;
    session.set_now(Some(at(3_601)));

    assert_eq!(session.prune(HOUR, 10).await.expect("prunes"), 1);

    assert_eq!(dump(&mut session).await, before);
}

async fn only_jobs_that_have_ended_are_forgotten(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    session.enqueue(&[job(), job(), NewJob { run_after: Some(at(1)), ..job() }, job()]).await.expect("enqueues");
    claim_one(&mut session, worker).await;
    let held = claim_one(&mut session, worker).await;
    session.hand_back(&[(held.id, held.token)]).await.expect("hands back");
    session.hold(&[held.id], "ann", None).await.expect("holds");
    let before = dump(&mut session).await;
    session.set_now(Some(at(1_000_000)));

    assert_eq!(session.prune(HOUR, 10).await.expect("prunes"), 0);

    assert_eq!(dump(&mut session).await, before);
}

async fn pruning_keeps_to_its_limit_and_begins_with_the_oldest(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let mut ids = Vec::new();
    for n in 0..5 {
        session.set_now(Some(at(n)));
        ids.push(over(&mut session, worker, (n < 2).then_some(r#"{"retention": 60}"#)).await);
    }
    session.set_now(Some(at(10_000)));

    assert_eq!(session.prune(HOUR, 3).await.expect("prunes"), 3);

    let mut states = Vec::new();
    for id in ids {
        states.push(state(&mut session, id).await);
    }
    assert_eq!(states, ["gone", "gone", "gone", "successful", "successful"]);
    assert_eq!(session.prune(HOUR, 1).await.expect("prunes"), 1);
    assert_eq!(session.prune(HOUR, 10).await.expect("prunes"), 1);
}

async fn pruners_do_not_wait_for_each_other(fixture: &dyn Fixture) {
    let mut first = session(fixture).await;
    if first.dialect() == Dialect::Sqlite {
        return; // One writer at a time.
    }
    let worker = worker(&mut first).await;
    over(&mut first, worker, None).await;
    over(&mut first, worker, None).await;
    let mut second = session(fixture).await;
    first.set_now(Some(at(3_601)));
    second.set_now(Some(at(3_601)));

    first.begin().await.expect("begins");
    let binds = [first.now(), Bind::Float(3_600.0), Bind::Int(1)];
    first.run(&PRUNE, &binds).await.expect("prunes");
    let meanwhile = second.prune(HOUR, 10).await.expect("does not wait");
    first.end(Ok(())).await.expect("commits");

    assert_eq!(meanwhile, 1);
    assert_eq!(number(&mut second, "select count(*) from gristmill_job").await, 0);
}

async fn a_pruned_job_gives_up_its_key(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let asked = || unique("k", UniqueUntil::Pruned);
    session.enqueue(&[asked()]).await.expect("enqueues");
    let claimed = claim_one(&mut session, worker).await;
    session.finish(&[ended(&claimed, success())]).await.expect("finishes");
    session.set_now(Some(at(3_601)));
    assert_eq!(session.enqueue(&[asked()]).await.expect("enqueues").jobs, [(claimed.id, true)]);

    session.prune(HOUR, 10).await.expect("prunes");

    let again = asked();
    assert_eq!(session.enqueue(std::slice::from_ref(&again)).await.expect("enqueues").jobs, [(again.id, false)]);
}
