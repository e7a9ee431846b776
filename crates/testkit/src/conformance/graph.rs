//! Factories for jobs that wait for each other.

use gristmill_core::{Claimed, JobId, OnPreconditionFailure, Outcome, WorkerId};
use gristmill_store::{NewJob, Session};

use super::scene::{crash, cursor, done, ended, error, job, number, state, success};
use crate::gate::{Gate, Verdict};

pub(super) const ALL: Option<u32> = None;
pub(super) const ANY: Option<u32> = Some(1);

/// A job that waits.
pub(super) fn after(
    preconditions: &[JobId],
    needed: Option<u32>,
    on_precondition_failure: OnPreconditionFailure,
) -> NewJob {
    NewJob { after: preconditions.to_vec(), needed, on_precondition_failure, ..job() }
}

pub(super) async fn enqueue(session: &mut Session, jobs: &[NewJob]) {
    session.enqueue(jobs).await.expect("enqueues");
}

/// Carries out propagations until none is due. Bounded: a test that loops for ever says nothing.
pub(super) async fn propagate(session: &mut Session) {
    for _ in 0..1_000 {
        if !session.propagate(1_000).await.expect("propagates").more {
            return;
        }
    }
    panic!("propagations come without end");
}

/// The outcome that makes a job end so, and `cancelled` by a person.
pub(super) async fn end_as(session: &mut Session, worker: WorkerId, id: JobId, end: &str) {
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
pub(super) async fn claim(session: &mut Session, worker: WorkerId, id: JobId) -> Claimed {
    let mut claimed = session.claim(worker, &[cursor()], 1_000, None).await.expect("claims");
    let at = claimed.iter().position(|claimed| claimed.id == id).expect("was ready");
    let wanted = claimed.swap_remove(at);
    let others: Vec<_> = claimed.iter().map(|other| (other.id, other.token)).collect();
    session.hand_back(&others).await.expect("hands back");
    wanted
}

pub(super) async fn finish(session: &mut Session, claimed: &Claimed, outcome: Outcome) {
    assert_eq!(session.finish(&[ended(claimed, outcome)]).await.expect("finishes").accepted.len(), 1);
}

/// What a job of this state counts as.
pub(super) fn counted(state: &str) -> usize {
    match state {
        "successful" => 1,
        "failed" | "cancelled" | "poisoned" | "stranded" => 2,
        _ => 0,
    }
}

/// Where a gate puts a job that nobody holds and that has no date.
pub(super) fn expected(
    needed: Option<u32>,
    on_precondition_failure: OnPreconditionFailure,
    states: &[&str],
) -> &'static str {
    let mut counts = [0_u64; 3];
    for state in states {
        counts[counted(state)] += 1;
    }
    let [open, successful, failed] = counts;
    match (Gate { needed, on_precondition_failure, open, successful, failed }.verdict(), on_precondition_failure) {
        (Verdict::Holds, _) => "ready",
        (Verdict::Waits, _) => "waiting",
        (Verdict::Hopeless, OnPreconditionFailure::Fail) => "failed",
        (Verdict::Hopeless, _) => "stranded",
    }
}

/// The counts of a gate against a recount of its edges, and both.
pub(super) async fn recount(session: &mut Session) -> i64 {
    number(
        session,
        "select count(*) from gristmill_gate g where (g.open, g.successful, g.failed) <> (
            (select count(*) from gristmill_edge e where e.dependent_id = g.job_id and e.epoch = g.epoch and e.state = 'open'),
            (select count(*) from gristmill_edge e where e.dependent_id = g.job_id and e.epoch = g.epoch and e.state = 'successful'),
            (select count(*) from gristmill_edge e where e.dependent_id = g.job_id and e.epoch = g.epoch and e.state = 'failed'))",
    )
    .await
}
