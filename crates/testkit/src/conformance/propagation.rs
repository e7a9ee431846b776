//! What carrying ends through the graph promises.

use gristmill_core::{JobId, OnPreconditionFailure};
use gristmill_store::{Dialect, Error, NewJob, Value};

use super::graph::{ALL, ANY, after, end_as, enqueue, finish, propagate, recount};
use super::scene::{
    at, claim_one, claimed_ids, cursor, ended, ids, job, jobs, number, session, state, success, wanted, worker,
};
use super::{Fixture, asks};

asks![
    a_chain_is_claimed_level_by_level_in_the_commit_of_each_end,
    preconditions_that_have_ended_are_found_by_resolving,
    an_unknown_precondition_undoes_the_whole_enqueue,
    a_circle_among_new_jobs_is_refused,
    an_earlier_deadline_is_passed_on_through_the_graph,
    propagations_are_carried_out_in_pieces_and_leave_nothing,
    what_a_job_waits_for_is_not_forgotten,
    a_job_with_many_preconditions_is_forgotten_with_its_edges,
    a_horizon_leaves_later_deadlines_alone,
    an_end_and_an_edge_at_the_same_time_see_each_other,
    an_open_transaction_on_a_dependent_holds_nobody_up,
    what_someone_has_locked_waits_again_once_they_let_go,
];

async fn a_chain_is_claimed_level_by_level_in_the_commit_of_each_end(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let mut chain = vec![job()];
    for _ in 1..5 {
        chain.push(after(&[chain[chain.len() - 1].id], ALL, OnPreconditionFailure::Strand));
    }
    enqueue(&mut session, &chain).await;
    let mut claimed = claim_one(&mut session, worker).await;
    for next in &chain[1..] {
        let turned =
            session.finish_and_claim(&[ended(&claimed, success())], wanted(worker, &[], 10)).await.expect("turns");

        assert_eq!(claimed_ids(&turned.claimed), [next.id]);
        assert_eq!(turned.finished.moved.readied, 1);
        claimed = turned.claimed.into_iter().next().expect("is there");
    }
    let last = session.finish_and_claim(&[ended(&claimed, success())], wanted(worker, &[], 10)).await.expect("turns");
    assert_eq!((last.claimed.len(), last.finished.more), (0, false));
    assert_eq!(number(&mut session, "select count(*) from gristmill_propagation").await, 0);
}

async fn preconditions_that_have_ended_are_found_by_resolving(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let preconditions = jobs(2);
    enqueue(&mut session, &preconditions).await;
    end_as(&mut session, worker, preconditions[0].id, "successful").await;
    end_as(&mut session, worker, preconditions[1].id, "failed").await;
    let all = after(&ids(&preconditions), ALL, OnPreconditionFailure::Strand);
    let any = after(&ids(&preconditions), ANY, OnPreconditionFailure::Strand);
    enqueue(&mut session, &[all.clone(), any.clone()]).await;
    assert!(session.survey(None).await.expect("surveys").propagations);

    propagate(&mut session).await;

    assert_eq!(state(&mut session, all.id).await, "stranded");
    assert_eq!(state(&mut session, any.id).await, "ready");
    assert!(!session.survey(None).await.expect("surveys").propagations);
}

async fn an_unknown_precondition_undoes_the_whole_enqueue(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let unknown = JobId::new();
    let before = super::scene::dump(&mut session).await;

    let refused = session.enqueue(&[job(), after(&[unknown], ALL, OnPreconditionFailure::Strand)]).await;

    assert!(matches!(refused, Err(Error::UnknownJob(id)) if id == unknown), "{refused:?}");
    assert_eq!(super::scene::dump(&mut session).await, before);
}

async fn a_circle_among_new_jobs_is_refused(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let mut circle = jobs(3);
    for at in 0..3 {
        circle[at].after = vec![circle[(at + 1) % 3].id];
    }
    assert!(matches!(session.enqueue(&circle).await, Err(Error::Cycle(_))));
    assert_eq!(number(&mut session, "select count(*) from gristmill_job").await, 0);
}

async fn an_earlier_deadline_is_passed_on_through_the_graph(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let first = job();
    let second = after(&[first.id], ALL, OnPreconditionFailure::Strand);
    enqueue(&mut session, std::slice::from_ref(&first)).await;
    enqueue(&mut session, std::slice::from_ref(&second)).await;
    propagate(&mut session).await;
    let urgent = NewJob { deadline: Some(at(9)), ..after(&[second.id], ALL, OnPreconditionFailure::Strand) };
    enqueue(&mut session, std::slice::from_ref(&urgent)).await;

    propagate(&mut session).await;

    for id in [first.id, second.id] {
        assert_eq!(session.get(id).await.expect("reads").expect("exists").deadline, at(9));
    }
}

async fn propagations_are_carried_out_in_pieces_and_leave_nothing(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let first = job();
    enqueue(&mut session, std::slice::from_ref(&first)).await;
    let fan: Vec<_> = (0..50).map(|_| after(&[first.id], ALL, OnPreconditionFailure::Strand)).collect();
    enqueue(&mut session, &fan).await;
    let last = after(&ids(&fan), ALL, OnPreconditionFailure::Strand);
    enqueue(&mut session, std::slice::from_ref(&last)).await;
    let mut calls = 0;
    while session.propagate(7).await.expect("propagates").more {
        calls += 1;
        assert!(calls < 1_000);
    }
    assert_eq!(number(&mut session, "select count(*) from gristmill_gate where not resolved").await, 0);

    let claimed = claim_one(&mut session, worker).await;
    finish(&mut session, &claimed, success()).await;
    let mut readied = 0;
    loop {
        let done = session.propagate(7).await.expect("propagates");
        assert!(done.moved.readied <= 7 + 1, "each propagation looks at one more than its share");
        readied += done.moved.readied;
        if !done.more {
            break;
        }
    }
    assert_eq!(readied, 50);
    let claimed = session.claim(worker, &[cursor()], 100, None).await.expect("claims");
    let ends: Vec<_> = claimed.iter().map(|claimed| ended(claimed, success())).collect();
    session.finish(&ends).await.expect("finishes");
    // Each tells one job alone, and is done with it.
    assert_eq!(number(&mut session, "select count(*) from gristmill_propagation where kind = 'notify'").await, 50);
    session.propagate(50).await.expect("propagates");
    assert_eq!(number(&mut session, "select count(*) from gristmill_propagation where kind = 'notify'").await, 0);
    while session.propagate(7).await.expect("propagates").more {}
    assert_eq!(state(&mut session, last.id).await, "ready");
    assert_eq!(number(&mut session, "select count(*) from gristmill_propagation").await, 0);
    assert_eq!(recount(&mut session).await, 0);
}

async fn what_a_job_waits_for_is_not_forgotten(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let (first, other) = (job(), job());
    let last = after(&[first.id, other.id], ALL, OnPreconditionFailure::Strand);
    enqueue(&mut session, &[first.clone(), other.clone(), last.clone()]).await;
    end_as(&mut session, worker, first.id, "successful").await;
    propagate(&mut session).await;
    session.set_now(Some(at(10_000)));
    let hour = std::time::Duration::from_hours(1);

    assert_eq!(session.prune(hour, 100).await.expect("prunes"), 0);
    assert_eq!(state(&mut session, first.id).await, "successful");

    session.cancel(&[last.id], "ann").await.expect("cancels");
    session.set_now(Some(at(20_000)));
    assert_eq!(session.prune(hour, 100).await.expect("prunes"), 2);
    end_as(&mut session, worker, other.id, "failed").await;
    let late = after(&[other.id], ALL, OnPreconditionFailure::Strand);
    enqueue(&mut session, std::slice::from_ref(&late)).await;
    propagate(&mut session).await;
    assert_eq!(state(&mut session, late.id).await, "stranded");
}

async fn a_job_with_many_preconditions_is_forgotten_with_its_edges(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let many = jobs(1_500);
    let last = after(&ids(&many), ALL, OnPreconditionFailure::Strand);
    enqueue(&mut session, &[many.clone(), vec![last.clone()]].concat()).await;
    session.cancel(&ids(&many), "ann").await.expect("cancels");
    session.cancel(&[last.id], "ann").await.expect("cancels");
    propagate(&mut session).await;
    session.set_now(Some(at(10_000)));

    for _ in 0..20 {
        session.prune(std::time::Duration::from_hours(1), 500).await.expect("prunes");
    }

    for table in [
        "select count(*) from gristmill_job",
        "select count(*) from gristmill_edge",
        "select count(*) from gristmill_gate",
        "select count(*) from gristmill_propagation",
    ] {
        assert_eq!(number(&mut session, table).await, 0, "{table}");
    }
}

async fn a_horizon_leaves_later_deadlines_alone(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let soon = NewJob { deadline: Some(at(60)), ..job() };
    let later = NewJob { deadline: Some(at(600)), ..job() };
    let horizon = Some(std::time::Duration::from_mins(5));
    enqueue(&mut session, std::slice::from_ref(&later)).await;
    assert_eq!(session.survey(horizon).await.expect("surveys").cursors, []);
    enqueue(&mut session, std::slice::from_ref(&soon)).await;

    assert_eq!(session.survey(horizon).await.expect("surveys").cursors.len(), 1);
    let claimed = session.claim(worker, &[cursor()], 10, horizon).await.expect("claims");
    assert_eq!(claimed_ids(&claimed), [soon.id]);
    session.set_now(Some(at(301)));
    let claimed = session.claim(worker, &[cursor()], 10, horizon).await.expect("claims");
    assert_eq!(claimed_ids(&claimed), [later.id]);
}

async fn an_end_and_an_edge_at_the_same_time_see_each_other(fixture: &dyn Fixture) {
    let mut first = session(fixture).await;
    if first.dialect() == Dialect::Sqlite {
        return; // One writer at a time.
    }
    let worker = worker(&mut first).await;
    let mut second = session(fixture).await;
    // The end is written and not committed when the edge is resolved; and the other way round.
    for end_comes_first in [true, false] {
        let precondition = job();
        enqueue(&mut first, std::slice::from_ref(&precondition)).await;
        let claimed = claim_one(&mut first, worker).await;
        let dependent = after(&[precondition.id], ALL, OnPreconditionFailure::Strand);
        enqueue(&mut second, std::slice::from_ref(&dependent)).await;
        if end_comes_first {
            first.begin().await.expect("begins");
            first.turn(&[ended(&claimed, success())], wanted(worker, &[], 0)).await.expect("finishes");
            let met = second.propagate(1_000).await.expect("does not wait");
            assert_eq!((met.propagations, met.moved.readied), (1, 0));
            first.end(Ok(())).await.expect("commits");
            second.set_now(Some(at(1)));
        } else {
            second.propagate(1_000).await.expect("resolves");
            finish(&mut first, &claimed, success()).await;
        }
        propagate(&mut second).await;
        assert_eq!(state(&mut first, dependent.id).await, "ready", "the end came first: {end_comes_first}");
        end_as(&mut first, worker, dependent.id, "successful").await;
        second.set_now(Some(at(0)));
    }
}

async fn an_open_transaction_on_a_dependent_holds_nobody_up(fixture: &dyn Fixture) {
    let mut first = session(fixture).await;
    if first.dialect() == Dialect::Sqlite {
        return; // One writer at a time.
    }
    let worker = worker(&mut first).await;
    let precondition = job();
    let dependents = [(); 3].map(|()| after(&[precondition.id], ALL, OnPreconditionFailure::Strand));
    enqueue(&mut first, &[vec![precondition.clone()], dependents.to_vec()].concat()).await;
    let mut person = session(fixture).await;
    let lock = "select 1::bigint from gristmill_gate g join gristmill_waiting w on w.id = g.job_id order by w.id limit 1 for update";
    person.begin().await.expect("begins");
    assert_eq!(person.connection().run(lock, &[]).await.expect("locks"), [vec![Value::Int(1)]]);

    end_as(&mut first, worker, precondition.id, "successful").await;
    let done = first.propagate(1_000).await.expect("does not wait");
    assert_eq!(done.moved.readied, 2);
    person.end(Ok(())).await.expect("lets go");
    first.set_now(Some(at(1)));
    propagate(&mut first).await;

    for dependent in &dependents {
        assert_eq!(state(&mut first, dependent.id).await, "ready");
    }
}

async fn what_someone_has_locked_waits_again_once_they_let_go(fixture: &dyn Fixture) {
    let mut first = session(fixture).await;
    if first.dialect() == Dialect::Sqlite {
        return; // One writer at a time.
    }
    let worker = worker(&mut first).await;
    let precondition = job();
    let due = after(&[precondition.id], ALL, OnPreconditionFailure::Strand);
    let dated = NewJob { run_after: Some(at(50)), ..after(&[precondition.id], ALL, OnPreconditionFailure::Strand) };
    enqueue(&mut first, &[precondition.clone(), due.clone(), dated.clone()]).await;
    end_as(&mut first, worker, precondition.id, "successful").await;
    propagate(&mut first).await;
    // A unique task's enqueue keeps the job that it met from starting until it commits; a claim holds it too.
    let mut person = session(fixture).await;
    person.begin().await.expect("begins");
    for lock in
        ["select 1::bigint from gristmill_ready for update", "select 1::bigint from gristmill_scheduled for update"]
    {
        assert_eq!(person.connection().run(lock, &[]).await.expect("locks"), [vec![Value::Int(1)]]);
    }

    first.retry(&[precondition.id], "ann").await.expect("retries");
    propagate(&mut first).await;
    person.end(Ok(())).await.expect("lets go");
    first.set_now(Some(at(1)));
    propagate(&mut first).await;

    for id in [due.id, dated.id] {
        assert_eq!(state(&mut first, id).await, "waiting");
    }
}
