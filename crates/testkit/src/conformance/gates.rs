//! What waiting for other jobs promises.

use gristmill_core::{Attempt, OnPreconditionFailure, Outcome, Reason};
use gristmill_store::NewJob;

use super::graph::{ALL, ANY, after, end_as, enqueue, expected, finish, propagate, recount};
use super::scene::{at, crash, cursor, done, ids, job, jobs, session, state, worker};
use super::{Fixture, asks};

asks![
    every_gate_answers_as_the_plain_one_does,
    a_retry_opens_what_an_end_had_resolved,
    failure_spreads_and_heals_through_the_graph,
    a_job_that_fails_with_its_preconditions_stays_failed_until_it_is_retried,
    a_job_that_waited_before_waits_again_until_it_has_started,
    a_date_is_kept_behind_a_gate,
    a_held_job_counts_on_and_goes_when_it_is_released,
    a_job_that_waits_is_neither_claimed_nor_promoted,
];

async fn every_gate_answers_as_the_plain_one_does(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let ends = ["successful", "failed", "cancelled", "poisoned", "ready"];
    for born_together in [true, false] {
        for (one, other) in ends.iter().flat_map(|one| ends.iter().map(move |other| (*one, *other))) {
            let preconditions = jobs(3);
            let on_precondition_failures =
                [OnPreconditionFailure::Strand, OnPreconditionFailure::Proceed, OnPreconditionFailure::Fail];
            let gates: Vec<_> = [ALL, ANY, Some(2)]
                .into_iter()
                .flat_map(|needed| {
                    on_precondition_failures.map(|on_precondition_failure| (needed, on_precondition_failure))
                })
                .collect();
            let dependents: Vec<_> = gates
                .iter()
                .map(|(needed, on_precondition_failure)| NewJob {
                    lane: super::scene::lane("app.tasks.wait"),
                    ..after(&ids(&preconditions), *needed, *on_precondition_failure)
                })
                .collect();
            if born_together {
                enqueue(&mut session, &[preconditions.clone(), dependents.clone()].concat()).await;
            } else {
                enqueue(&mut session, &preconditions).await;
                enqueue(&mut session, &dependents).await;
            }
            let mut states = ["ready"; 3];
            for (at, end) in [(0, one), (1, other)] {
                if end != "ready" {
                    end_as(&mut session, worker, preconditions[at].id, end).await;
                    states[at] = end;
                }
                if born_together || at == 1 {
                    propagate(&mut session).await;
                }
            }
            for (dependent, (needed, on_precondition_failure)) in dependents.iter().zip(&gates) {
                assert_eq!(
                    state(&mut session, dependent.id).await,
                    expected(*needed, *on_precondition_failure, &states),
                    "{needed:?} {on_precondition_failure:?} of {states:?}, born together: {born_together}"
                );
            }
            assert_eq!(recount(&mut session).await, 0);
            session.cancel(&ids(&preconditions), "ann").await.expect("clears");
            session.cancel(&ids(&dependents), "ann").await.expect("clears");
            propagate(&mut session).await;
        }
    }
}

async fn a_retry_opens_what_an_end_had_resolved(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    for needed in [ALL, ANY] {
        for on_precondition_failure in
            [OnPreconditionFailure::Strand, OnPreconditionFailure::Proceed, OnPreconditionFailure::Fail]
        {
            for end in ["successful", "failed", "cancelled", "poisoned"] {
                let precondition = job();
                let dependent = NewJob {
                    lane: super::scene::lane("app.tasks.wait"),
                    ..after(&[precondition.id], needed, on_precondition_failure)
                };
                enqueue(&mut session, &[precondition.clone(), dependent.clone()]).await;
                end_as(&mut session, worker, precondition.id, end).await;
                propagate(&mut session).await;
                let before = state(&mut session, dependent.id).await;
                assert_eq!(before, expected(needed, on_precondition_failure, &[end]));

                session.retry(&[precondition.id], "ann").await.expect("retries");
                propagate(&mut session).await;

                let then = match before.as_str() {
                    "failed" => "failed",
                    "ready" if needed == ANY => "ready",
                    _ => "waiting",
                };
                assert_eq!(
                    state(&mut session, dependent.id).await,
                    then,
                    "{needed:?} {on_precondition_failure:?} {end}"
                );
                assert_eq!(recount(&mut session).await, 0);
                session.cancel(&[precondition.id, dependent.id], "ann").await.expect("clears");
                propagate(&mut session).await;
            }
        }
    }
}

async fn failure_spreads_and_heals_through_the_graph(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let mut chain = vec![job()];
    for _ in 1..6 {
        chain.push(after(&[chain[chain.len() - 1].id], ALL, OnPreconditionFailure::Strand));
    }
    enqueue(&mut session, &chain).await;

    end_as(&mut session, worker, chain[0].id, "failed").await;
    propagate(&mut session).await;
    for stranded in &chain[1..] {
        assert_eq!(state(&mut session, stranded.id).await, "stranded");
    }

    session.retry(&[chain[0].id], "ann").await.expect("retries");
    propagate(&mut session).await;
    for healed in &chain[1..] {
        assert_eq!(state(&mut session, healed.id).await, "waiting");
    }

    for next in &chain {
        end_as(&mut session, worker, next.id, "successful").await;
        propagate(&mut session).await;
    }
    assert_eq!(recount(&mut session).await, 0);
}

async fn a_job_that_fails_with_its_preconditions_stays_failed_until_it_is_retried(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let first = job();
    let second = after(&[first.id], ALL, OnPreconditionFailure::Fail);
    let third = after(&[second.id], ALL, OnPreconditionFailure::Fail);
    enqueue(&mut session, &[first.clone(), second.clone(), third.clone()]).await;
    end_as(&mut session, worker, first.id, "failed").await;
    propagate(&mut session).await;
    for failed in [&second, &third] {
        let seen = session.get(failed.id).await.expect("reads").expect("exists");
        let why = Some(Reason::PreconditionFailed.word());
        assert_eq!((seen.state.as_str(), seen.reason.as_deref(), seen.finished_at), ("failed", why, Some(at(0))));
    }

    session.retry(&[second.id], "ann").await.expect("retries");
    propagate(&mut session).await;
    assert_eq!(state(&mut session, second.id).await, "failed", "its precondition still is");

    session.retry(&[first.id], "ann").await.expect("retries");
    session.retry(&[second.id], "ann").await.expect("retries");
    propagate(&mut session).await;
    assert_eq!(state(&mut session, second.id).await, "waiting");
    end_as(&mut session, worker, first.id, "successful").await;
    propagate(&mut session).await;
    assert_eq!(state(&mut session, second.id).await, "ready");
    assert_eq!(state(&mut session, third.id).await, "failed");
}

async fn a_job_that_waited_before_waits_again_until_it_has_started(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let first = job();
    let second =
        NewJob { lane: super::scene::lane("app.tasks.wait"), ..after(&[first.id], ALL, OnPreconditionFailure::Strand) };
    enqueue(&mut session, &[first.clone(), second.clone()]).await;
    end_as(&mut session, worker, first.id, "successful").await;
    propagate(&mut session).await;

    // Claimed and handed back: it has not started.
    let wait = super::scene::cursor_of("app.tasks.wait", 0);
    let claimed = session.claim(worker, std::slice::from_ref(&wait), 1, None).await.expect("claims").remove(0);
    session.retry(&[first.id], "ann").await.expect("retries");
    propagate(&mut session).await;
    session.finish(&[Attempt::unstarted(claimed, Outcome::HandedBack)]).await.expect("finishes");
    propagate(&mut session).await;
    assert_eq!(state(&mut session, second.id).await, "waiting");

    end_as(&mut session, worker, first.id, "successful").await;
    propagate(&mut session).await;
    let claimed = session.claim(worker, &[wait], 1, None).await.expect("claims").remove(0);
    finish(&mut session, &claimed, crash()).await;
    session.retry(&[first.id], "ann").await.expect("retries");
    propagate(&mut session).await;
    assert_eq!(state(&mut session, second.id).await, "ready");
    assert_eq!(recount(&mut session).await, 0);
}

async fn a_date_is_kept_behind_a_gate(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let first = job();
    let dated = NewJob { run_after: Some(at(50)), ..after(&[first.id], ALL, OnPreconditionFailure::Strand) };
    let stranded = NewJob { run_after: Some(at(50)), ..after(&[dated.id], ALL, OnPreconditionFailure::Strand) };
    enqueue(&mut session, &[first.clone(), dated.clone(), stranded.clone()]).await;
    end_as(&mut session, worker, first.id, "successful").await;
    propagate(&mut session).await;
    assert_eq!(state(&mut session, dated.id).await, "scheduled");

    session.cancel(&[dated.id], "ann").await.expect("cancels");
    propagate(&mut session).await;
    assert_eq!(state(&mut session, stranded.id).await, "stranded", "a far date does not put that off");
}

async fn a_held_job_counts_on_and_goes_when_it_is_released(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let first = job();
    let held = NewJob { held: true, ..after(&[first.id], ALL, OnPreconditionFailure::Strand) };
    let later = after(&[first.id], ALL, OnPreconditionFailure::Strand);
    let plain = NewJob { held: true, ..job() };
    enqueue(&mut session, &[first.clone(), held.clone(), later.clone(), plain.clone()]).await;
    assert_eq!(done(&session.hold(&[later.id], "ann", Some("wait")).await.expect("holds")), [(later.id, "held")]);

    end_as(&mut session, worker, first.id, "failed").await;
    propagate(&mut session).await;
    for id in [held.id, later.id, plain.id] {
        assert_eq!(state(&mut session, id).await, "held");
    }
    session.release(&[later.id], "ann").await.expect("releases");
    propagate(&mut session).await;
    assert_eq!(state(&mut session, later.id).await, "stranded");

    session.retry(&[first.id], "ann").await.expect("retries");
    end_as(&mut session, worker, first.id, "successful").await;
    propagate(&mut session).await;
    let mut all = vec![held.id, plain.id];
    all.sort();
    let released: Vec<_> = all.iter().map(|id| (*id, "released")).collect();
    assert_eq!(done(&session.release(&all, "ann").await.expect("releases")), released);
    propagate(&mut session).await;
    for id in [held.id, later.id, plain.id] {
        assert_eq!(state(&mut session, id).await, "ready");
    }
}

async fn a_job_that_waits_is_neither_claimed_nor_promoted(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let first = NewJob { run_after: Some(at(5)), ..job() };
    let second = NewJob { run_after: Some(at(1)), ..after(&[first.id], ALL, OnPreconditionFailure::Strand) };
    enqueue(&mut session, &[first.clone(), second.clone()]).await;
    session.set_now(Some(at(2)));

    assert_eq!(session.promote(10).await.expect("promotes").moved, 0);
    assert_eq!(session.claim(worker, &[cursor()], 10, None).await.expect("claims"), []);
    assert_eq!(state(&mut session, second.id).await, "waiting");
}
