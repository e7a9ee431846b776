//! What more preconditions for a job that is there already promise.

use gristmill_core::{Attempt, Claimed, JobId, OnPreconditionFailure, Outcome, Until, WorkerId};
use gristmill_store::{NewJob, Session};

use super::graph::{ALL, ANY, after, claim, end_as, enqueue, propagate, recount};
use super::scene::{at, done, ended, job, number, session, state, worker};
use super::{Fixture, asks};

asks![
    a_job_that_postpones_itself_waits_for_what_is_open_then,
    a_job_that_postpones_itself_for_what_has_ended_runs_at_its_date,
    a_job_that_postpones_itself_for_nothing_more_waits_for_what_is_still_open,
    a_circle_made_by_postponing_fails_the_one_that_closes_it,
    preconditions_may_be_added_to_a_job_that_has_not_started,
    a_bulk_that_is_retried_is_looked_at_once,
    a_circle_in_a_bulk_fails_one_job_on_it,
];

/// An attempt that asks to wait for these.
fn postponed(claimed: &Claimed, preconditions: &[JobId], until: Until) -> Attempt {
    ended(claimed, Outcome::Postponed { until, after: Some(preconditions.to_vec()), why: "for these".into() })
}

async fn a_job_that_postpones_itself_waits_for_what_is_open_then(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let (over, open) = (job(), job());
    enqueue(&mut session, &[over.clone(), open.clone()]).await;
    end_as(&mut session, worker, over.id, "failed").await;
    let goal = after(&[over.id], ALL, OnPreconditionFailure::Proceed);
    enqueue(&mut session, std::slice::from_ref(&goal)).await;
    propagate(&mut session).await;
    let claimed = claim(&mut session, worker, goal.id).await;
    session.set_now(Some(at(1)));

    session.finish(&[postponed(&claimed, &[over.id, open.id], Until::Default)]).await.expect("finishes");
    propagate(&mut session).await;

    assert_eq!(state(&mut session, goal.id).await, "waiting");
    let counts = "select cast(open * 100 + successful * 10 + failed as bigint) from gristmill_gate";
    assert_eq!(number(&mut session, counts).await, 100, "what had ended before does not count");
    end_as(&mut session, worker, open.id, "failed").await;
    propagate(&mut session).await;
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
        propagate(&mut session).await;

        assert_eq!(state(&mut session, goal.id).await, then);
    }
}

async fn a_job_that_postpones_itself_for_nothing_more_waits_for_what_is_still_open(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let (first, second) = (job(), job());
    enqueue(&mut session, &[first.clone(), second.clone()]).await;
    let goal = after(&[first.id, second.id], ANY, OnPreconditionFailure::Strand);
    let plain = job();
    enqueue(&mut session, &[goal.clone(), plain.clone()]).await;
    end_as(&mut session, worker, first.id, "successful").await;
    propagate(&mut session).await;

    let mut found = Vec::new();
    for id in [goal.id, second.id, goal.id, plain.id] {
        if id == second.id {
            end_as(&mut session, worker, second.id, "successful").await;
            propagate(&mut session).await;
            continue;
        }
        let claimed = claim(&mut session, worker, id).await;
        session.finish(&[postponed(&claimed, &[], Until::Default)]).await.expect("finishes");
        propagate(&mut session).await;
        found.push(state(&mut session, id).await);
    }

    // At once where nothing is open: also a job that has never waited for any.
    assert_eq!(found, ["waiting", "ready", "ready"]);
    assert_eq!(recount(&mut session).await, 0);
}

async fn a_circle_made_by_postponing_fails_the_one_that_closes_it(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let (one, other) = (job(), job());
    enqueue(&mut session, &[one.clone(), other.clone()]).await;
    let middle = after(&[one.id], ALL, OnPreconditionFailure::Strand);
    enqueue(&mut session, std::slice::from_ref(&middle)).await;
    propagate(&mut session).await;
    let first = claim(&mut session, worker, one.id).await;
    let second = claim(&mut session, worker, other.id).await;

    // One waits for the other, the other for the middle, which waits for the one.
    session.finish(&[postponed(&first, &[other.id], Until::Default)]).await.expect("finishes");
    session.finish(&[postponed(&second, &[middle.id], Until::Default)]).await.expect("finishes");
    propagate(&mut session).await;

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
    propagate(&mut session).await;
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
    propagate(&mut session).await;

    assert_eq!(state(&mut session, goal.id).await, "waiting");
    end_as(&mut session, worker, first.id, "successful").await;
    propagate(&mut session).await;
    assert_eq!(state(&mut session, goal.id).await, "waiting");
    end_as(&mut session, worker, second.id, "successful").await;
    propagate(&mut session).await;
    assert_eq!(state(&mut session, goal.id).await, "scheduled");
    assert_eq!(session.add_preconditions(first.id, &[second.id], "ann").await.expect("answers"), []);
    let added = session.add_preconditions(goal.id, &[goal.id], "ann").await.expect("adds");
    assert_eq!(done(&added), [(goal.id, "added")]);
    propagate(&mut session).await;
    assert_eq!(session.get(goal.id).await.expect("reads").expect("exists").reason.as_deref(), Some("cycle"));
    assert_eq!(recount(&mut session).await, 0);
}

/// A chain of so many jobs, each of which failed because the one before it did, all retried at once.
async fn a_chain_retried(session: &mut Session, worker: WorkerId, length: usize) -> Vec<JobId> {
    let mut chain = vec![job()];
    for _ in 1..length {
        let before = chain.last().expect("has begun").id;
        chain.push(after(&[before], ALL, OnPreconditionFailure::Fail));
    }
    enqueue(session, &chain).await;
    end_as(session, worker, chain[0].id, "failed").await;
    propagate(session).await;
    let ids: Vec<JobId> = chain.iter().map(|job| job.id).collect();
    let retried = session.retry(&ids, "ann").await.expect("retries");
    assert!(retried.iter().all(|acted| acted.done == "retried"), "{retried:?}");
    ids
}

const UNLOOKED_AT: &str = "select count(*) from gristmill_propagation where checks";

async fn a_bulk_that_is_retried_is_looked_at_once(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let chain = a_chain_retried(&mut session, worker, 300).await;
    assert_eq!(number(&mut session, UNLOOKED_AT).await, 299);

    session.propagate(1_000).await.expect("propagates");

    assert_eq!(number(&mut session, UNLOOKED_AT).await, 0);
    propagate(&mut session).await;
    assert_eq!(state(&mut session, chain[0]).await, "ready");
    assert_eq!(state(&mut session, chain[299]).await, "waiting");

    // Also where some of it got more to wait for: what closes no circle does not slow it down.
    let other = job();
    enqueue(&mut session, std::slice::from_ref(&other)).await;
    session.add_preconditions(chain[5], &[other.id], "ann").await.expect("adds");
    propagate(&mut session).await;
    end_as(&mut session, worker, chain[0], "failed").await;
    propagate(&mut session).await;
    session.retry(&chain, "ann").await.expect("retries");
    assert_eq!(number(&mut session, UNLOOKED_AT).await, 299);
    session.propagate(1_000).await.expect("propagates");
    assert_eq!(number(&mut session, UNLOOKED_AT).await, 0);
}

async fn a_circle_in_a_bulk_fails_one_job_on_it(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    for adds in [1, 6] {
        let mut chain = a_chain_retried(&mut session, worker, 20).await;
        // While the last has ended, the first may wait for it: the circle closes with its retry.
        propagate(&mut session).await;
        end_as(&mut session, worker, chain[0], "failed").await;
        propagate(&mut session).await;
        session.retry(&chain[..1], "ann").await.expect("retries");
        for _ in 0..adds {
            session.add_preconditions(chain[0], &[chain[19]], "ann").await.expect("adds");
        }
        // More of them than are walked from one by one.
        let others: Vec<NewJob> = (0..adds).map(|_| job()).collect();
        enqueue(&mut session, &others).await;
        for (at, other) in others.iter().enumerate().skip(1) {
            session.retry(&chain[at..=at], "ann").await.expect("retries");
            session.add_preconditions(chain[at], &[other.id], "ann").await.expect("adds");
        }
        session.retry(&chain, "ann").await.expect("retries");
        propagate(&mut session).await;

        let mut failed = Vec::new();
        for id in chain.drain(..) {
            let seen = session.get(id).await.expect("reads").expect("exists");
            if seen.reason.as_deref() == Some("cycle") {
                failed.push(id);
            }
        }
        assert_eq!(failed.len(), 1, "{adds} {failed:?}");
        assert_eq!(number(&mut session, UNLOOKED_AT).await, 0);
        assert_eq!(recount(&mut session).await, 0);
    }
}
