//! What more preconditions for a job that is there already promise.

use gristmill_core::{Attempt, Claimed, JobId, OnFailure, Outcome, Until};

use super::graph::{ALL, after, claim, end_as, enqueue, recount, work_off};
use super::scene::{at, done, ended, job, number, session, state, worker};
use super::{Fixture, asks};
use crate::NewJob;

asks![
    a_job_that_postpones_itself_waits_for_what_is_open_then,
    a_job_that_postpones_itself_for_what_has_ended_runs_at_its_date,
    a_circle_made_by_postponing_fails_the_one_that_closes_it,
    preconditions_may_be_added_to_a_job_that_has_not_started,
];

/// An attempt that asks to wait for these.
fn postponed(claimed: &Claimed, preconditions: &[JobId], until: Until) -> Attempt {
    ended(claimed, Outcome::Postponed { until, after: preconditions.to_vec(), why: "for these".into() })
}

async fn a_job_that_postpones_itself_waits_for_what_is_open_then(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let (over, open) = (job(), job());
    enqueue(&mut session, &[over.clone(), open.clone()]).await;
    end_as(&mut session, worker, over.id, "failed").await;
    let goal = after(&[over.id], ALL, OnFailure::Proceed);
    enqueue(&mut session, std::slice::from_ref(&goal)).await;
    work_off(&mut session).await;
    let claimed = claim(&mut session, worker, goal.id).await;
    session.set_now(Some(at(1)));

    session.finish(&[postponed(&claimed, &[over.id, open.id], Until::Default)]).await.expect("finishes");
    work_off(&mut session).await;

    assert_eq!(state(&mut session, goal.id).await, "waiting");
    let counts = "select cast(open * 100 + successful * 10 + failed as bigint) from gristmill_gate";
    assert_eq!(number(&mut session, counts).await, 100, "what had ended before does not count");
    end_as(&mut session, worker, open.id, "failed").await;
    work_off(&mut session).await;
    assert_eq!(state(&mut session, goal.id).await, "ready");
    assert_eq!(recount(&mut session).await, 0);
}

async fn a_job_that_postpones_itself_for_what_has_ended_runs_at_its_date(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let (over, goal) = (job(), job());
    enqueue(&mut session, &[over.clone(), goal.clone()]).await;
    end_as(&mut session, worker, over.id, "failed").await;
    for (until, then) in [(Until::Default, "ready"), (Until::At(at(60)), "scheduled")] {
        let claimed = claim(&mut session, worker, goal.id).await;
        session.set_now(Some(at(1)));

        session.finish(&[postponed(&claimed, &[over.id], until)]).await.expect("finishes");
        assert_eq!(state(&mut session, goal.id).await, "waiting");
        work_off(&mut session).await;

        assert_eq!(state(&mut session, goal.id).await, then);
    }
}

async fn a_circle_made_by_postponing_fails_the_one_that_closes_it(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let (one, other) = (job(), job());
    enqueue(&mut session, &[one.clone(), other.clone()]).await;
    let middle = after(&[one.id], ALL, OnFailure::Strand);
    enqueue(&mut session, std::slice::from_ref(&middle)).await;
    work_off(&mut session).await;
    let first = claim(&mut session, worker, one.id).await;
    let second = claim(&mut session, worker, other.id).await;

    // One waits for the other, the other for the middle, which waits for the one.
    session.finish(&[postponed(&first, &[other.id], Until::Default)]).await.expect("finishes");
    session.finish(&[postponed(&second, &[middle.id], Until::Default)]).await.expect("finishes");
    work_off(&mut session).await;

    let mut states = Vec::new();
    for id in [one.id, other.id, middle.id] {
        let seen = session.get(id).await.expect("reads").expect("exists");
        states.push((seen.state, seen.reason));
    }
    let cycles = states.iter().filter(|(state, why)| state == "failed" && why.as_deref() == Some("cycle")).count();
    assert_eq!(cycles, 1, "{states:?}");
    assert_eq!(states.iter().filter(|(state, _)| state == "stranded").count(), 2, "{states:?}");

    let own = job();
    enqueue(&mut session, std::slice::from_ref(&own)).await;
    let claimed = claim(&mut session, worker, own.id).await;
    session.finish(&[postponed(&claimed, &[own.id], Until::Default)]).await.expect("finishes");
    work_off(&mut session).await;
    assert_eq!(session.get(own.id).await.expect("reads").expect("exists").reason.as_deref(), Some("cycle"));
}

async fn preconditions_may_be_added_to_a_job_that_has_not_started(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let (first, second, goal) = (job(), job(), NewJob { run_after: Some(at(30)), ..job() });
    enqueue(&mut session, &[first.clone(), second.clone(), goal.clone()]).await;

    for precondition in [first.id, second.id, first.id] {
        let added = session.add_preconditions(goal.id, &[precondition], "ann").await.expect("adds");
        assert_eq!(done(&added), [(goal.id, "added")]);
    }
    let unknown = session.add_preconditions(goal.id, &[JobId::new()], "ann").await.expect("answers");
    assert!(unknown[0].done.starts_with("refused: job "), "{unknown:?}");
    work_off(&mut session).await;

    assert_eq!(state(&mut session, goal.id).await, "waiting");
    end_as(&mut session, worker, first.id, "successful").await;
    work_off(&mut session).await;
    assert_eq!(state(&mut session, goal.id).await, "waiting");
    end_as(&mut session, worker, second.id, "successful").await;
    work_off(&mut session).await;
    assert_eq!(state(&mut session, goal.id).await, "scheduled");
    assert_eq!(session.add_preconditions(first.id, &[second.id], "ann").await.expect("answers"), []);
    let added = session.add_preconditions(goal.id, &[goal.id], "ann").await.expect("adds");
    assert_eq!(done(&added), [(goal.id, "added")]);
    work_off(&mut session).await;
    assert_eq!(session.get(goal.id).await.expect("reads").expect("exists").reason.as_deref(), Some("cycle"));
    assert_eq!(recount(&mut session).await, 0);
}
