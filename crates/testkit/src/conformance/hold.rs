//! What holding and releasing promise.

use gristmill_core::Token;
use gristmill_store::{Dialect, NewJob};

use super::scene::{
    actions, at, claim_one, claimed_ids, claimed_job, crash, cursor, done, dump, ended, error, ids, job, session,
    state, worker,
};
use super::{Fixture, asks};

asks![
    a_held_job_is_neither_claimed_nor_promoted,
    a_released_job_goes_where_its_date_says,
    holding_and_releasing_change_nothing_of_the_job,
    only_jobs_that_wait_are_held,
    only_held_jobs_are_released,
    holding_waits_for_no_claim,
];

async fn a_held_job_is_neither_claimed_nor_promoted(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let jobs = [job(), NewJob { run_after: Some(at(5)), ..job() }, job()];
    session.enqueue(&jobs).await.expect("enqueues");

    let acted = session.hold(&ids(&jobs[..2]), "ann", Some("the printer burns")).await.expect("holds");

    assert_eq!(done(&acted), [(jobs[0].id, "held"), (jobs[1].id, "held")]);
    session.set_now(Some(at(10)));
    assert_eq!(session.promote(10).await.expect("promotes").moved, 0);
    assert_eq!(claimed_ids(&session.claim(worker, &[cursor()], 10, None).await.expect("claims")), [jobs[2].id]);
    let held = session.get(jobs[0].id).await.expect("reads").expect("exists");
    assert_eq!((held.state.as_str(), held.reason.as_deref()), ("held", Some("the printer burns")));
    assert_eq!(actions(&mut session).await, vec![("hold".to_owned(), "ann".to_owned()); 2]);
}

async fn a_released_job_goes_where_its_date_says(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let jobs = [None, Some(5), Some(10), Some(15)].map(|seconds| NewJob { run_after: seconds.map(at), ..job() });
    session.enqueue(&jobs).await.expect("enqueues");
    session.hold(&ids(&jobs), "ann", None).await.expect("holds");
    session.set_now(Some(at(10)));

    let acted = session.release(&ids(&jobs), "bob").await.expect("releases");

    assert_eq!(done(&acted), ids(&jobs).into_iter().map(|id| (id, "released")).collect::<Vec<_>>());
    let mut states = Vec::new();
    for id in ids(&jobs) {
        states.push(state(&mut session, id).await);
    }
    assert_eq!(states, ["ready", "ready", "ready", "scheduled"]);
    let said = actions(&mut session).await;
    assert_eq!(said.iter().filter(|(verb, actor)| verb == "release" && actor == "bob").count(), 4);
}

async fn holding_and_releasing_change_nothing_of_the_job(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let first = claimed_job(&mut session, worker).await;
    session.finish(&[ended(&first, crash())]).await.expect("finishes");
    let before = session.get(first.id).await.expect("reads");

    session.hold(&[first.id], "ann", None).await.expect("holds");
    session.release(&[first.id], "ann").await.expect("releases");

    assert_eq!(session.get(first.id).await.expect("reads"), before);
    assert_eq!(claim_one(&mut session, worker).await.token, Token(2));
}

async fn only_jobs_that_wait_are_held(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let running = claimed_job(&mut session, worker).await;
    let over = claimed_job(&mut session, worker).await;
    session.finish(&[ended(&over, error())]).await.expect("finishes");
    let held = job();
    session.enqueue(std::slice::from_ref(&held)).await.expect("enqueues");
    session.hold(&[held.id], "ann", Some("first")).await.expect("holds");
    let before = dump(&mut session).await;

    let acted = session.hold(&[running.id, over.id, held.id, job().id], "ann", None).await.expect("answers");

    assert_eq!(acted, []);
    assert_eq!(dump(&mut session).await, before);
}

async fn only_held_jobs_are_released(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let running = claimed_job(&mut session, worker).await;
    let jobs = [job(), NewJob { run_after: Some(at(5)), ..job() }, job()];
    session.enqueue(&jobs).await.expect("enqueues");
    session.hold(&[jobs[2].id], "ann", None).await.expect("holds");
    // It waits for something that no one can release it from.
    let gated = match session.dialect() {
        Dialect::Postgres => "update gristmill_waiting set held = false",
        Dialect::Sqlite => "update gristmill_waiting set held = 0",
    };
    super::scene::meddle(&mut session, gated).await;
    let before = dump(&mut session).await;

    let everyone = [ids(&jobs), vec![running.id, job().id]].concat();
    assert_eq!(session.release(&everyone, "ann").await.expect("answers"), []);

    assert_eq!(dump(&mut session).await, before);
}

async fn holding_waits_for_no_claim(fixture: &dyn Fixture) {
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
    let meanwhile = second.hold(&ids(&jobs), "ann", None).await.expect("does not wait");
    first.end(Ok(())).await.expect("commits");

    assert_eq!(done(&meanwhile), [(jobs[1].id, "held")]);
}
