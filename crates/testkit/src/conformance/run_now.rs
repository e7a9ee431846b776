//! What running a scheduled job now promises.

use gristmill_core::{Advice, Moment, Outcome, Reason, Token};
use gristmill_store::{Dialect, NewJob, UniqueUntil};

use super::scene::{
    actions, at, claim_one, claimed_ids, claimed_job, cursor, done, dump, ended, ids, job, keys, session, state,
    success, unique, worker,
};
use super::{Fixture, asks};

asks![
    a_scheduled_job_is_ready_at_once_and_its_date_is_now,
    it_comes_as_early_as_what_is_enqueued_now,
    a_deadline_of_its_own_stays,
    one_that_waits_for_its_next_try_is_tried_at_once,
    a_job_that_is_not_scheduled_is_left_as_it_is,
    its_key_stays_its_own_until_it_starts,
    what_another_promotes_is_left_to_them,
];

/// A job that is due an hour from the beginning.
fn later() -> NewJob {
    NewJob { run_after: Some(at(3_600)), ..job() }
}

async fn a_scheduled_job_is_ready_at_once_and_its_date_is_now(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let jobs = [later(), later()];
    session.enqueue(&jobs).await.expect("enqueues");
    session.set_now(Some(at(10)));

    let acted = session.run_now(&[jobs[0].id], "ann").await.expect("makes it due");

    assert_eq!(done(&acted), [(jobs[0].id, "readied")]);
    let ready = session.get(jobs[0].id).await.expect("reads").expect("exists");
    assert_eq!((ready.state.as_str(), ready.due_at), ("ready", Some(at(10))));
    assert_eq!(state(&mut session, jobs[1].id).await, "scheduled");
    assert_eq!(actions(&mut session).await, [("run now".to_owned(), "ann".to_owned())]);
    assert_eq!(session.run_now(&[jobs[0].id], "ann").await.expect("answers"), [], "it is due already");
    assert_eq!(session.promote(10).await.expect("promotes").moved, 0);
    assert_eq!(claimed_ids(&session.claim(worker, &[cursor()], 10, None).await.expect("claims")), [jobs[0].id]);
}

async fn it_comes_as_early_as_what_is_enqueued_now(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let next_month = NewJob { run_after: Some(at(30 * 86_400)), ..job() };
    session.enqueue(std::slice::from_ref(&next_month)).await.expect("enqueues");
    session.set_now(Some(at(10)));
    let fresh = job();
    session.enqueue(std::slice::from_ref(&fresh)).await.expect("enqueues");

    session.run_now(&[next_month.id], "ann").await.expect("makes it due");

    let mut deadlines: Vec<Moment> = Vec::new();
    for id in [next_month.id, fresh.id] {
        deadlines.push(session.get(id).await.expect("reads").expect("exists").deadline);
    }
    assert_eq!(deadlines[0], deadlines[1]);
}

async fn a_deadline_of_its_own_stays(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let deadlines = [at(60 * 86_400), at(100)];
    let jobs = deadlines.clone().map(|deadline| NewJob { deadline: Some(deadline), ..later() });
    session.enqueue(&jobs).await.expect("enqueues");

    assert_eq!(session.run_now(&ids(&jobs), "ann").await.expect("makes them due").len(), 2);

    for (job, deadline) in jobs.iter().zip(deadlines) {
        assert_eq!(session.get(job.id).await.expect("reads").expect("exists").deadline, deadline);
    }
}

async fn one_that_waits_for_its_next_try_is_tried_at_once(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let options = r#"{"max_attempts": 3, "backoff": {"kind": "constant", "seconds": 600}}"#;
    let patient = NewJob { options_json: Some(options.into()), ..job() };
    session.enqueue(std::slice::from_ref(&patient)).await.expect("enqueues");
    let first = claim_one(&mut session, worker).await;
    let wrong = Outcome::Failed {
        reason: Reason::Error,
        exception_class_path: "builtins.ValueError".into(),
        traceback: "no".into(),
        classes: vec!["builtins.ValueError".into(), "builtins.Exception".into()],
        advice: Advice::ByOptions,
    };
    session.finish(&[ended(&first, wrong)]).await.expect("finishes");
    assert_eq!(state(&mut session, patient.id).await, "scheduled");

    session.run_now(&[patient.id], "ann").await.expect("makes it due");

    let second = claim_one(&mut session, worker).await;
    assert_eq!((second.id, second.token, second.generation), (patient.id, Token(2), 1));
    assert_eq!(second.counts.failures, 1, "it is the next try, and no new beginning");
}

async fn a_job_that_is_not_scheduled_is_left_as_it_is(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let running = claimed_job(&mut session, worker).await;
    let over = claimed_job(&mut session, worker).await;
    session.finish(&[ended(&over, success())]).await.expect("finishes");
    let held = NewJob { held: true, ..later() };
    let (ready, waits) = (job(), NewJob { after: vec![running.id], ..later() });
    session.enqueue(&[held.clone(), ready.clone(), waits.clone()]).await.expect("enqueues");
    let before = dump(&mut session).await;

    let everyone = [running.id, over.id, held.id, ready.id, waits.id, job().id];
    assert_eq!(session.run_now(&everyone, "ann").await.expect("answers"), []);

    assert_eq!(dump(&mut session).await, before);
}

async fn its_key_stays_its_own_until_it_starts(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let one = NewJob { run_after: Some(at(3_600)), ..unique("k", UniqueUntil::Started) };
    session.enqueue(std::slice::from_ref(&one)).await.expect("enqueues");

    session.run_now(&[one.id], "ann").await.expect("makes it due");

    assert_eq!(keys(&mut session).await, [("k".to_owned(), one.id)]);
    claim_one(&mut session, worker).await;
    assert_eq!(keys(&mut session).await, []);
}

async fn what_another_promotes_is_left_to_them(fixture: &dyn Fixture) {
    let mut first = session(fixture).await;
    if first.dialect() == Dialect::Sqlite {
        return; // One writer at a time.
    }
    let jobs = [NewJob { run_after: Some(at(5)), ..job() }, later()];
    first.enqueue(&jobs).await.expect("enqueues");
    let mut second = session(fixture).await;
    first.set_now(Some(at(10)));

    first.begin().await.expect("begins");
    first
        .run(&gristmill_store::testing::PROMOTE, &[first.now(), gristmill_store::Bind::Int(10)])
        .await
        .expect("promotes");
    let meanwhile = second.run_now(&ids(&jobs), "ann").await.expect("does not wait");
    first.end(Ok(())).await.expect("commits");

    assert_eq!(done(&meanwhile), [(jobs[1].id, "readied")]);
    assert_eq!(state(&mut second, jobs[0].id).await, "ready");
    assert_eq!(second.run_now(&[jobs[0].id], "ann").await.expect("answers"), []);
}
