//! What waiting for other jobs promises.

use gristmill_core::{Attempt, Claimed, Gate, JobId, OnFailure, Outcome, Reason, Until, Verdict, WorkerId};

use super::scene::{
    at, band, claim_one, claimed_ids, crash, done, ended, error, ids, job, jobs, number, session, state, success,
    wanted, worker,
};
use super::{Fixture, asks};
use crate::{Dialect, Error, NewJob, Session, Value};

asks![
    every_gate_answers_as_the_plain_one_does,
    a_retry_opens_what_an_end_had_settled,
    a_job_that_waits_is_neither_claimed_nor_promoted,
    a_chain_is_claimed_level_by_level_in_the_commit_of_each_end,
    preconditions_that_have_ended_are_found_by_settling,
    an_unknown_precondition_undoes_the_whole_enqueue,
    a_circle_among_new_jobs_is_refused,
    failure_spreads_and_heals_through_the_graph,
    a_job_that_fails_with_its_preconditions_stays_failed_until_it_is_retried,
    a_job_that_waited_before_waits_again_until_it_has_started,
    a_date_is_kept_behind_a_gate,
    a_held_job_counts_on_and_goes_when_it_is_released,
    a_job_that_postpones_itself_waits_for_what_is_open_then,
    a_job_that_postpones_itself_for_what_has_ended_runs_at_its_date,
    a_circle_made_by_postponing_fails_the_one_that_closes_it,
    preconditions_may_be_added_to_a_job_that_has_not_started,
    an_earlier_deadline_is_passed_on_through_the_graph,
    errands_are_worked_off_in_pieces_and_leave_nothing,
    what_a_job_waits_for_is_not_forgotten,
    a_job_with_many_preconditions_is_forgotten_with_its_edges,
    a_horizon_leaves_later_deadlines_alone,
    an_end_and_an_edge_at_the_same_time_see_each_other,
    an_open_transaction_on_a_dependent_holds_nobody_up,
];

const ALL: Option<u32> = None;
const ANY: Option<u32> = Some(1);

/// A job that waits.
fn after(preconditions: &[JobId], needed: Option<u32>, on_failure: OnFailure) -> NewJob {
    NewJob { after: preconditions.to_vec(), needed, on_failure, ..job() }
}

async fn enqueue(session: &mut Session, jobs: &[NewJob]) {
    session.enqueue(jobs).await.expect("enqueues");
}

/// Works off errands until none is due. Bounded: a test that loops for ever says nothing.
async fn work_off(session: &mut Session) {
    for _ in 0..1_000 {
        if !session.work_off(1_000).await.expect("works off").more {
            return;
        }
    }
    panic!("errands come without end");
}

/// The outcome that makes a job end so, and `cancelled` by a person.
async fn end_as(session: &mut Session, worker: WorkerId, id: JobId, end: &str) {
    if end == "cancelled" {
        assert_eq!(done(&session.cancel(&[id], "ann").await.expect("cancels")), [(id, "cancelled")]);
        return;
    }
    let claimed = claim(session, worker, id).await;
    match end {
        "successful" => finish(session, &claimed, success()).await,
        "failed" => finish(session, &claimed, error()).await,
        _ => {
            finish(session, &claimed, crash()).await;
            for _ in 1..3 {
                let again = claim(session, worker, id).await;
                finish(session, &again, crash()).await;
            }
        }
    }
    assert_eq!(state(session, id).await, end);
}

/// This job, claimed among whatever else is ready: the others go back.
async fn claim(session: &mut Session, worker: WorkerId, id: JobId) -> Claimed {
    let mut claimed = session.claim(worker, &[band()], 1_000, None).await.expect("claims");
    let at = claimed.iter().position(|claimed| claimed.id == id).expect("was ready");
    let wanted = claimed.swap_remove(at);
    let others: Vec<_> = claimed.iter().map(|other| (other.id, other.token)).collect();
    session.hand_back(&others).await.expect("hands back");
    wanted
}

async fn finish(session: &mut Session, claimed: &Claimed, outcome: Outcome) {
    assert_eq!(session.finish(&[ended(claimed, outcome)]).await.expect("finishes").accepted.len(), 1);
}

/// What a job of this state counts as.
fn counted(state: &str) -> usize {
    match state {
        "successful" => 1,
        "failed" | "cancelled" | "poisoned" | "stranded" => 2,
        _ => 0,
    }
}

/// Where a gate puts a job that nobody holds and that has no date.
fn expected(needed: Option<u32>, on_failure: OnFailure, states: &[&str]) -> &'static str {
    let mut counts = [0_u64; 3];
    for state in states {
        counts[counted(state)] += 1;
    }
    let [open, successful, failed] = counts;
    match (Gate { needed, on_failure, open, successful, failed }.verdict(), on_failure) {
        (Verdict::Holds, _) => "ready",
        (Verdict::Waits, _) => "waiting",
        (Verdict::Hopeless, OnFailure::Fail) => "failed",
        (Verdict::Hopeless, _) => "stranded",
    }
}

/// The counts of a gate against a recount of its edges, and both.
async fn recount(session: &mut Session) -> i64 {
    number(
        session,
        "select count(*) from gristmill_gate g where (g.open, g.successful, g.failed) <> (
            (select count(*) from gristmill_edge e where e.dependent_id = g.job_id and e.arming = g.arming and e.state = 'open'),
            (select count(*) from gristmill_edge e where e.dependent_id = g.job_id and e.arming = g.arming and e.state = 'successful'),
            (select count(*) from gristmill_edge e where e.dependent_id = g.job_id and e.arming = g.arming and e.state = 'failed'))",
    )
    .await
}

async fn every_gate_answers_as_the_plain_one_does(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let ends = ["successful", "failed", "cancelled", "poisoned", "ready"];
    for born_together in [true, false] {
        for (one, other) in ends.iter().flat_map(|one| ends.iter().map(move |other| (*one, *other))) {
            let preconditions = jobs(3);
            let on_failures = [OnFailure::Strand, OnFailure::Proceed, OnFailure::Fail];
            let gates: Vec<_> = [ALL, ANY, Some(2)]
                .into_iter()
                .flat_map(|needed| on_failures.map(|on_failure| (needed, on_failure)))
                .collect();
            let dependents: Vec<_> = gates
                .iter()
                .map(|(needed, on_failure)| NewJob {
                    lane: super::scene::lane("app.tasks.wait"),
                    ..after(&ids(&preconditions), *needed, *on_failure)
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
                    work_off(&mut session).await;
                }
            }
            for (dependent, (needed, on_failure)) in dependents.iter().zip(&gates) {
                assert_eq!(
                    state(&mut session, dependent.id).await,
                    expected(*needed, *on_failure, &states),
                    "{needed:?} {on_failure:?} of {states:?}, born together: {born_together}"
                );
            }
            assert_eq!(recount(&mut session).await, 0);
            session.cancel(&ids(&preconditions), "ann").await.expect("clears");
            session.cancel(&ids(&dependents), "ann").await.expect("clears");
            work_off(&mut session).await;
        }
    }
}

async fn a_retry_opens_what_an_end_had_settled(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    for needed in [ALL, ANY] {
        for on_failure in [OnFailure::Strand, OnFailure::Proceed, OnFailure::Fail] {
            for end in ["successful", "failed", "cancelled", "poisoned"] {
                let precondition = job();
                let dependent = NewJob {
                    lane: super::scene::lane("app.tasks.wait"),
                    ..after(&[precondition.id], needed, on_failure)
                };
                enqueue(&mut session, &[precondition.clone(), dependent.clone()]).await;
                end_as(&mut session, worker, precondition.id, end).await;
                work_off(&mut session).await;
                let before = state(&mut session, dependent.id).await;
                assert_eq!(before, expected(needed, on_failure, &[end]));

                session.retry(&[precondition.id], "ann").await.expect("retries");
                work_off(&mut session).await;

                let then = match before.as_str() {
                    "failed" => "failed",
                    "ready" if needed == ANY => "ready",
                    _ => "waiting",
                };
                assert_eq!(state(&mut session, dependent.id).await, then, "{needed:?} {on_failure:?} {end}");
                assert_eq!(recount(&mut session).await, 0);
                session.cancel(&[precondition.id, dependent.id], "ann").await.expect("clears");
                work_off(&mut session).await;
            }
        }
    }
}

async fn a_job_that_waits_is_neither_claimed_nor_promoted(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let first = NewJob { run_after: Some(at(5)), ..job() };
    let second = NewJob { run_after: Some(at(1)), ..after(&[first.id], ALL, OnFailure::Strand) };
    enqueue(&mut session, &[first.clone(), second.clone()]).await;
    session.set_now(Some(at(2)));

    assert_eq!(session.promote(10).await.expect("promotes").moved, 0);
    assert_eq!(session.claim(worker, &[band()], 10, None).await.expect("claims"), []);
    assert_eq!(state(&mut session, second.id).await, "waiting");
}

async fn a_chain_is_claimed_level_by_level_in_the_commit_of_each_end(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let mut chain = vec![job()];
    for _ in 1..5 {
        chain.push(after(&[chain[chain.len() - 1].id], ALL, OnFailure::Strand));
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
    assert_eq!(number(&mut session, "select count(*) from gristmill_errand").await, 0);
}

async fn preconditions_that_have_ended_are_found_by_settling(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let preconditions = jobs(2);
    enqueue(&mut session, &preconditions).await;
    end_as(&mut session, worker, preconditions[0].id, "successful").await;
    end_as(&mut session, worker, preconditions[1].id, "failed").await;
    let all = after(&ids(&preconditions), ALL, OnFailure::Strand);
    let any = after(&ids(&preconditions), ANY, OnFailure::Strand);
    enqueue(&mut session, &[all.clone(), any.clone()]).await;
    assert!(session.survey(None).await.expect("surveys").errands);

    work_off(&mut session).await;

    assert_eq!(state(&mut session, all.id).await, "stranded");
    assert_eq!(state(&mut session, any.id).await, "ready");
    assert!(!session.survey(None).await.expect("surveys").errands);
}

async fn an_unknown_precondition_undoes_the_whole_enqueue(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let unknown = JobId::new();
    let before = super::scene::dump(&mut session).await;

    let refused = session.enqueue(&[job(), after(&[unknown], ALL, OnFailure::Strand)]).await;

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

async fn failure_spreads_and_heals_through_the_graph(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let mut chain = vec![job()];
    for _ in 1..6 {
        chain.push(after(&[chain[chain.len() - 1].id], ALL, OnFailure::Strand));
    }
    enqueue(&mut session, &chain).await;

    end_as(&mut session, worker, chain[0].id, "failed").await;
    work_off(&mut session).await;
    for stranded in &chain[1..] {
        assert_eq!(state(&mut session, stranded.id).await, "stranded");
    }

    session.retry(&[chain[0].id], "ann").await.expect("retries");
    work_off(&mut session).await;
    for healed in &chain[1..] {
        assert_eq!(state(&mut session, healed.id).await, "waiting");
    }

    for next in &chain {
        end_as(&mut session, worker, next.id, "successful").await;
        work_off(&mut session).await;
    }
    assert_eq!(recount(&mut session).await, 0);
}

async fn a_job_that_fails_with_its_preconditions_stays_failed_until_it_is_retried(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let first = job();
    let second = after(&[first.id], ALL, OnFailure::Fail);
    let third = after(&[second.id], ALL, OnFailure::Fail);
    enqueue(&mut session, &[first.clone(), second.clone(), third.clone()]).await;
    end_as(&mut session, worker, first.id, "failed").await;
    work_off(&mut session).await;
    for failed in [&second, &third] {
        let seen = session.get(failed.id).await.expect("reads").expect("exists");
        let why = Some(Reason::PreconditionFailed.word());
        assert_eq!((seen.state.as_str(), seen.reason.as_deref(), seen.finished_at), ("failed", why, Some(at(0))));
    }

    session.retry(&[second.id], "ann").await.expect("retries");
    work_off(&mut session).await;
    assert_eq!(state(&mut session, second.id).await, "failed", "its precondition still is");

    session.retry(&[first.id], "ann").await.expect("retries");
    session.retry(&[second.id], "ann").await.expect("retries");
    work_off(&mut session).await;
    assert_eq!(state(&mut session, second.id).await, "waiting");
    end_as(&mut session, worker, first.id, "successful").await;
    work_off(&mut session).await;
    assert_eq!(state(&mut session, second.id).await, "ready");
    assert_eq!(state(&mut session, third.id).await, "failed");
}

async fn a_job_that_waited_before_waits_again_until_it_has_started(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let first = job();
    let second = NewJob { lane: super::scene::lane("app.tasks.wait"), ..after(&[first.id], ALL, OnFailure::Strand) };
    enqueue(&mut session, &[first.clone(), second.clone()]).await;
    end_as(&mut session, worker, first.id, "successful").await;
    work_off(&mut session).await;

    // Claimed and handed back: it has not started.
    let wait = super::scene::band_of("app.tasks.wait", 0);
    let claimed = session.claim(worker, std::slice::from_ref(&wait), 1, None).await.expect("claims").remove(0);
    session.retry(&[first.id], "ann").await.expect("retries");
    work_off(&mut session).await;
    session.finish(&[Attempt::unstarted(claimed, Outcome::HandedBack)]).await.expect("finishes");
    work_off(&mut session).await;
    assert_eq!(state(&mut session, second.id).await, "waiting");

    end_as(&mut session, worker, first.id, "successful").await;
    work_off(&mut session).await;
    let claimed = session.claim(worker, &[wait], 1, None).await.expect("claims").remove(0);
    finish(&mut session, &claimed, crash()).await;
    session.retry(&[first.id], "ann").await.expect("retries");
    work_off(&mut session).await;
    assert_eq!(state(&mut session, second.id).await, "ready");
    assert_eq!(recount(&mut session).await, 0);
}

async fn a_date_is_kept_behind_a_gate(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let first = job();
    let dated = NewJob { run_after: Some(at(50)), ..after(&[first.id], ALL, OnFailure::Strand) };
    let stranded = NewJob { run_after: Some(at(50)), ..after(&[dated.id], ALL, OnFailure::Strand) };
    enqueue(&mut session, &[first.clone(), dated.clone(), stranded.clone()]).await;
    end_as(&mut session, worker, first.id, "successful").await;
    work_off(&mut session).await;
    assert_eq!(state(&mut session, dated.id).await, "scheduled");

    session.cancel(&[dated.id], "ann").await.expect("cancels");
    work_off(&mut session).await;
    assert_eq!(state(&mut session, stranded.id).await, "stranded", "a far date does not put that off");
}

async fn a_held_job_counts_on_and_goes_when_it_is_released(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let first = job();
    let held = NewJob { held: true, ..after(&[first.id], ALL, OnFailure::Strand) };
    let later = after(&[first.id], ALL, OnFailure::Strand);
    let plain = NewJob { held: true, ..job() };
    enqueue(&mut session, &[first.clone(), held.clone(), later.clone(), plain.clone()]).await;
    assert_eq!(done(&session.hold(&[later.id], "ann", Some("wait")).await.expect("holds")), [(later.id, "held")]);

    end_as(&mut session, worker, first.id, "failed").await;
    work_off(&mut session).await;
    for id in [held.id, later.id, plain.id] {
        assert_eq!(state(&mut session, id).await, "held");
    }
    session.release(&[later.id], "ann").await.expect("releases");
    work_off(&mut session).await;
    assert_eq!(state(&mut session, later.id).await, "stranded");

    session.retry(&[first.id], "ann").await.expect("retries");
    end_as(&mut session, worker, first.id, "successful").await;
    work_off(&mut session).await;
    let mut all = vec![held.id, plain.id];
    all.sort();
    let released: Vec<_> = all.iter().map(|id| (*id, "released")).collect();
    assert_eq!(done(&session.release(&all, "ann").await.expect("releases")), released);
    work_off(&mut session).await;
    for id in [held.id, later.id, plain.id] {
        assert_eq!(state(&mut session, id).await, "ready");
    }
}

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

async fn an_earlier_deadline_is_passed_on_through_the_graph(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let first = job();
    let second = after(&[first.id], ALL, OnFailure::Strand);
    enqueue(&mut session, std::slice::from_ref(&first)).await;
    enqueue(&mut session, std::slice::from_ref(&second)).await;
    work_off(&mut session).await;
    let urgent = NewJob { deadline: Some(at(9)), ..after(&[second.id], ALL, OnFailure::Strand) };
    enqueue(&mut session, std::slice::from_ref(&urgent)).await;

    work_off(&mut session).await;

    for id in [first.id, second.id] {
        assert_eq!(session.get(id).await.expect("reads").expect("exists").deadline, at(9));
    }
}

async fn errands_are_worked_off_in_pieces_and_leave_nothing(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let first = job();
    enqueue(&mut session, std::slice::from_ref(&first)).await;
    let fan: Vec<_> = (0..50).map(|_| after(&[first.id], ALL, OnFailure::Strand)).collect();
    enqueue(&mut session, &fan).await;
    let last = after(&ids(&fan), ALL, OnFailure::Strand);
    enqueue(&mut session, std::slice::from_ref(&last)).await;
    let mut calls = 0;
    while session.work_off(7).await.expect("works off").more {
        calls += 1;
        assert!(calls < 1_000);
    }
    assert_eq!(number(&mut session, "select count(*) from gristmill_gate where not settled").await, 0);

    let claimed = claim_one(&mut session, worker).await;
    finish(&mut session, &claimed, success()).await;
    let mut readied = 0;
    loop {
        let done = session.work_off(7).await.expect("works off");
        assert!(done.moved.readied <= 7);
        readied += done.moved.readied;
        if !done.more {
            break;
        }
    }
    assert_eq!(readied, 50);
    let claimed = session.claim(worker, &[band()], 100, None).await.expect("claims");
    let ends: Vec<_> = claimed.iter().map(|claimed| ended(claimed, success())).collect();
    session.finish(&ends).await.expect("finishes");
    while session.work_off(7).await.expect("works off").more {}
    assert_eq!(state(&mut session, last.id).await, "ready");
    assert_eq!(number(&mut session, "select count(*) from gristmill_errand").await, 0);
    assert_eq!(recount(&mut session).await, 0);
}

async fn what_a_job_waits_for_is_not_forgotten(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let (first, other) = (job(), job());
    let last = after(&[first.id, other.id], ALL, OnFailure::Strand);
    enqueue(&mut session, &[first.clone(), other.clone(), last.clone()]).await;
    end_as(&mut session, worker, first.id, "successful").await;
    work_off(&mut session).await;
    session.set_now(Some(at(10_000)));
    let hour = std::time::Duration::from_hours(1);

    assert_eq!(session.prune(hour, 100).await.expect("prunes"), 0);
    assert_eq!(state(&mut session, first.id).await, "successful");

    session.cancel(&[last.id], "ann").await.expect("cancels");
    session.set_now(Some(at(20_000)));
    assert_eq!(session.prune(hour, 100).await.expect("prunes"), 2);
    end_as(&mut session, worker, other.id, "failed").await;
    let late = after(&[other.id], ALL, OnFailure::Strand);
    enqueue(&mut session, std::slice::from_ref(&late)).await;
    work_off(&mut session).await;
    assert_eq!(state(&mut session, late.id).await, "stranded");
}

async fn a_job_with_many_preconditions_is_forgotten_with_its_edges(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let many = jobs(1_500);
    let last = after(&ids(&many), ALL, OnFailure::Strand);
    enqueue(&mut session, &[many.clone(), vec![last.clone()]].concat()).await;
    session.cancel(&ids(&many), "ann").await.expect("cancels");
    session.cancel(&[last.id], "ann").await.expect("cancels");
    work_off(&mut session).await;
    session.set_now(Some(at(10_000)));

    for _ in 0..20 {
        session.prune(std::time::Duration::from_hours(1), 500).await.expect("prunes");
    }

    for table in [
        "select count(*) from gristmill_job",
        "select count(*) from gristmill_edge",
        "select count(*) from gristmill_gate",
        "select count(*) from gristmill_errand",
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
    assert_eq!(session.survey(horizon).await.expect("surveys").bands, []);
    enqueue(&mut session, std::slice::from_ref(&soon)).await;

    assert_eq!(session.survey(horizon).await.expect("surveys").bands.len(), 1);
    let claimed = session.claim(worker, &[band()], 10, horizon).await.expect("claims");
    assert_eq!(claimed_ids(&claimed), [soon.id]);
    session.set_now(Some(at(301)));
    let claimed = session.claim(worker, &[band()], 10, horizon).await.expect("claims");
    assert_eq!(claimed_ids(&claimed), [later.id]);
}

async fn an_end_and_an_edge_at_the_same_time_see_each_other(fixture: &dyn Fixture) {
    let mut first = session(fixture).await;
    if first.dialect() == Dialect::Sqlite {
        return; // One writer at a time.
    }
    let worker = worker(&mut first).await;
    let mut second = session(fixture).await;
    // The end is written and not committed when the edge is settled; and the other way round.
    for end_comes_first in [true, false] {
        let precondition = job();
        enqueue(&mut first, std::slice::from_ref(&precondition)).await;
        let claimed = claim_one(&mut first, worker).await;
        let dependent = after(&[precondition.id], ALL, OnFailure::Strand);
        enqueue(&mut second, std::slice::from_ref(&dependent)).await;
        if end_comes_first {
            first.begin().await.expect("begins");
            first.turn(&[ended(&claimed, success())], wanted(worker, &[], 0)).await.expect("finishes");
            let met = second.work_off(1_000).await.expect("does not wait");
            assert_eq!((met.errands, met.moved.readied), (1, 0));
            first.end(Ok(())).await.expect("commits");
            second.set_now(Some(at(1)));
        } else {
            second.work_off(1_000).await.expect("settles");
            finish(&mut first, &claimed, success()).await;
        }
        work_off(&mut second).await;
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
    let dependents = [(); 3].map(|()| after(&[precondition.id], ALL, OnFailure::Strand));
    enqueue(&mut first, &[vec![precondition.clone()], dependents.to_vec()].concat()).await;
    let mut person = session(fixture).await;
    let lock = "select 1::bigint from gristmill_gate g join gristmill_waiting w on w.id = g.job_id order by w.id limit 1 for update";
    person.begin().await.expect("begins");
    assert_eq!(person.connection.run(lock, &[]).await.expect("locks"), [vec![Value::Int(1)]]);

    end_as(&mut first, worker, precondition.id, "successful").await;
    let done = first.work_off(1_000).await.expect("does not wait");
    assert_eq!(done.moved.readied, 2);
    person.end(Ok(())).await.expect("lets go");
    first.set_now(Some(at(1)));
    work_off(&mut first).await;

    for dependent in &dependents {
        assert_eq!(state(&mut first, dependent.id).await, "ready");
    }
}
