//! What a lock that somebody holds keeps back: the one thing that needs it, and nothing else. A web request may hold any row of
//! ours until its transaction ends.

use std::time::Duration;

use gristmill_core::schedule::Announced;
use gristmill_core::{Attempt, Claimed, JobId, OnPreconditionFailure, Outcome, Until, WorkerId};
use gristmill_store::{Dialect, Error, NewJob, Served, Session, Ticked, UniqueUntil};

use super::graph::{ALL, after, propagate};
use super::scene::{
    at, claim_one, cursor, ended, error, job, keys, meddle, session, state, success, unique, wanted, worker,
};
use super::schedules::{announce, every, jobs, tick, ticks};
use super::{Fixture, asks};

asks![
    an_end_that_someone_stands_in_the_way_of_is_named_and_the_others_end,
    a_turn_ends_and_claims_around_what_someone_holds,
    a_job_whose_key_someone_holds_is_claimed_later,
    what_someone_holds_is_handed_back_later,
    a_worker_whose_row_someone_holds_is_judged_later_and_the_others_now,
    a_cancel_request_whose_job_has_a_key_that_someone_holds_is_swept_up_later,
    pruning_waits_for_nobody_who_holds_a_key,
    a_propagation_that_someone_holds_up_is_put_off_and_the_others_go_on,
    a_schedule_whose_key_someone_is_taking_is_named_and_the_others_tick,
    what_others_settle_is_told_apart_from_nothing_due,
    a_statement_that_waits_for_a_lock_has_done_nothing_and_leaves_its_session_usable,
    who_ends_when_all_is_done_is_told_what_is_under_way,
];

const LOWEST_RUNNING: &str = "select now()::text from gristmill_running where id = (select min(id::text)::uuid from gristmill_running) for update";
const HOUR: Duration = Duration::from_hours(1);

/// A worker's session, and one of someone who holds locks; none where there is one writer at a time, nor where the connection is
/// somebody else's, who decides how long to wait.
async fn two(fixture: &dyn Fixture) -> Option<(Session, Session)> {
    let (first, second) = (session(fixture).await, session(fixture).await);
    (first.dialect() == Dialect::Postgres && fixture.store().is_some()).then_some((first, second))
}

/// Holds rows until [`let_go`].
async fn hold(web: &mut Session, sql: &'static str) {
    web.begin().await.expect("begins");
    let rows = web.connection().run(sql, &[]).await.expect("locks");
    assert!(!rows.is_empty(), "{sql} locked nothing");
}

async fn let_go(web: &mut Session) {
    web.end(Ok(())).await.expect("commits");
}

async fn an_end_that_someone_stands_in_the_way_of_is_named_and_the_others_end(fixture: &dyn Fixture) {
    let Some((mut session, mut web)) = two(fixture).await else { return };
    let worker = worker(&mut session).await;
    for held in [
        LOWEST_RUNNING,
        "select now()::text from gristmill_unique_key for update",
        "select now()::text from gristmill_gate for update",
        "select now()::text from gristmill_cancel_request for update",
    ] {
        // The lowest id.
        let asked = [unique("k", UniqueUntil::Finished), job(), job()];
        session.enqueue(&asked).await.expect("enqueues");
        // Only who goes on waiting needs its gate.
        let outcome = if held.contains("gate") {
            Outcome::Postponed { until: Until::Default, after: Some(vec![asked[1].id]), why: String::new() }
        } else {
            error()
        };
        let claimed = session.claim(worker, &[cursor()], 3, None).await.expect("claims");
        let barred = &claimed.iter().find(|claimed| claimed.id == asked[0].id).expect("is claimed");
        meddle(
            &mut session,
            "insert into gristmill_gate (
                job_id, on_precondition_failure, epoch, armed_at, resolved, open, successful, failed
            )
            select job_id, 'strand', 1, now(), true, 0, 0, 0 from gristmill_unique_key",
        )
        .await;
        if held.contains("cancel_request") {
            session.cancel(&[barred.id], "ann").await.expect("asks");
        }
        hold(&mut web, held).await;

        let of = |claimed: &Claimed| if claimed.id == barred.id { outcome.clone() } else { success() };
        let ends: Vec<Attempt> = claimed.iter().map(|claimed| ended(claimed, of(claimed))).collect();
        for _ in 0..2 {
            let finished = session.finish(&ends).await.expect("does not wait");
            assert_eq!(finished.held, [(barred.id, barred.token)], "{held}");
        }
        for other in &asked[1..] {
            assert_eq!(state(&mut session, other.id).await, "successful", "{held}");
        }
        let_go(&mut web).await;

        let finished = session.finish(&ends).await.expect("finishes");
        assert_eq!((finished.accepted, finished.held), (vec![(barred.id, barred.token)], vec![]), "{held}");
        session.cancel(&[barred.id], "ann").await.expect("cancels what goes on");
    }
}

async fn a_turn_ends_and_claims_around_what_someone_holds(fixture: &dyn Fixture) {
    let Some((mut session, mut web)) = two(fixture).await else { return };
    let worker = worker(&mut session).await;
    let barred = unique("k", UniqueUntil::Started);
    session.enqueue(&[job(), job()]).await.expect("enqueues");
    let first = claim_one(&mut session, worker).await;
    let second = claim_one(&mut session, worker).await;
    session.enqueue(&[barred.clone(), job()]).await.expect("enqueues");
    web.begin().await.expect("begins");
    for sql in [LOWEST_RUNNING, "select now()::text from gristmill_unique_key for update"] {
        web.connection().run(sql, &[]).await.expect("locks");
    }

    let attempts = [ended(&first, success()), ended(&second, success())];
    let turned = session.finish_and_claim(&attempts, wanted(worker, &[cursor()], 9)).await.expect("does not wait");
    assert_eq!(turned.finished.held, [(first.id, first.token)]);
    assert_eq!(turned.finished.accepted, [(second.id, second.token)]);
    assert_eq!(turned.claimed.len(), 1);
    let_go(&mut web).await;

    let turned = session.finish_and_claim(&attempts[..1], wanted(worker, &[cursor()], 9)).await.expect("turns");
    assert_eq!((turned.finished.accepted.len(), turned.claimed[0].id), (1, barred.id));
}

async fn a_job_whose_key_someone_holds_is_claimed_later(fixture: &dyn Fixture) {
    let Some((mut session, mut web)) = two(fixture).await else { return };
    let worker = worker(&mut session).await;
    let barred = unique("k", UniqueUntil::Started);
    session.enqueue(&[barred.clone(), job()]).await.expect("enqueues");
    hold(&mut web, "select now()::text from gristmill_unique_key for update").await;

    let claimed = session.claim(worker, &[cursor()], 2, None).await.expect("does not wait");
    assert_eq!(claimed.len(), 1);
    assert_eq!(session.claim(worker, &[cursor()], 2, None).await.expect("does not wait"), []);
    let_go(&mut web).await;

    assert_eq!(claim_one(&mut session, worker).await.id, barred.id);
    assert_eq!(keys(&mut session).await, []);
}

async fn what_someone_holds_is_handed_back_later(fixture: &dyn Fixture) {
    let Some((mut session, mut web)) = two(fixture).await else { return };
    let worker = worker(&mut session).await;
    session.enqueue(&[job(), job()]).await.expect("enqueues");
    let claimed = session.claim(worker, &[cursor()], 2, None).await.expect("claims");
    let all: Vec<_> = claimed.iter().map(|claimed| (claimed.id, claimed.token)).collect();
    hold(&mut web, LOWEST_RUNNING).await;

    assert_eq!(session.hand_back(&all).await.expect("does not wait"), all[1..]);
    let_go(&mut web).await;
    assert_eq!(session.hand_back(&all).await.expect("hands back"), all[..1]);
}

async fn a_worker_whose_row_someone_holds_is_judged_later_and_the_others_now(fixture: &dyn Fixture) {
    let Some((mut session, mut web)) = two(fixture).await else { return };
    let (held, silent) = (worker(&mut session).await, worker(&mut session).await);
    let (held, silent) = if held.to_string() < silent.to_string() { (held, silent) } else { (silent, held) };
    let lock = "select now()::text from gristmill_worker where id = (select min(id::text)::uuid from gristmill_worker) for update";
    hold(&mut web, lock).await;
    session.set_now(Some(at(61)));
    assert_eq!(session.suspect(WorkerId::new()).await.expect("does not wait"), [silent]);
    let_go(&mut web).await;
    assert_eq!(session.suspect(WorkerId::new()).await.expect("suspects"), [held]);

    session.set_now(Some(at(77)));
    hold(&mut web, lock).await;
    assert_eq!(session.declare_lost(WorkerId::new()).await.expect("does not wait"), [silent]);
    let_go(&mut web).await;
    assert_eq!(session.declare_lost(WorkerId::new()).await.expect("declares"), [held]);
}

async fn a_cancel_request_whose_job_has_a_key_that_someone_holds_is_swept_up_later(fixture: &dyn Fixture) {
    let Some((mut session, mut web)) = two(fixture).await else { return };
    let worker = worker(&mut session).await;
    let asked = [unique("k", UniqueUntil::Finished), job()];
    session.enqueue(&asked).await.expect("enqueues");
    session.claim(worker, &[cursor()], 2, None).await.expect("claims");
    session.cancel(&[asked[0].id, asked[1].id], "ann").await.expect("asks");
    // As if both were to run again.
    meddle(
        &mut session,
        "with freed as (delete from gristmill_running returning *)
        insert into gristmill_ready (id, backend, queue_name, task_name, priority, deadline, token, generation)
        select id, backend, queue_name, task_name, priority, deadline, token, generation from freed",
    )
    .await;
    hold(&mut web, "select now()::text from gristmill_unique_key for update").await;

    assert_eq!(session.sweep_cancel_requests(10).await.expect("does not wait"), 1);
    assert_eq!(state(&mut session, asked[1].id).await, "cancelled");
    let_go(&mut web).await;
    assert_eq!(session.sweep_cancel_requests(10).await.expect("sweeps"), 1);
    assert_eq!((state(&mut session, asked[0].id).await.as_str(), keys(&mut session).await), ("cancelled", vec![]));
}

/// A job that has ended an hour ago when the clock says so.
async fn over(session: &mut Session, worker: WorkerId, asked: NewJob) -> JobId {
    session.enqueue(std::slice::from_ref(&asked)).await.expect("enqueues");
    let claimed = claim_one(session, worker).await;
    session.finish(&[ended(&claimed, success())]).await.expect("finishes");
    asked.id
}

async fn pruning_waits_for_nobody_who_holds_a_key(fixture: &dyn Fixture) {
    let Some((mut session, mut web)) = two(fixture).await else { return };
    let worker = worker(&mut session).await;
    let barred = over(&mut session, worker, unique("k", UniqueUntil::Pruned)).await;
    let other = over(&mut session, worker, job()).await;
    meddle(&mut session, "update gristmill_unique_key set expires_at = to_timestamp(1900000001)").await;
    // A web request takes the expired key over, and then has its job wait for the one that is being forgotten: had that been
    // locked by who waits for the key, neither could go on.
    web.set_now(Some(at(3_601)));
    session.set_now(Some(at(3_601)));
    web.begin().await.expect("begins");
    let takes = unique("k", UniqueUntil::Started);
    web.enqueue_within(std::slice::from_ref(&takes), web.now()).await.expect("takes the key over");

    assert_eq!(session.prune(HOUR, 10).await.expect("does not wait"), 1);
    assert_eq!(
        (state(&mut session, other).await.as_str(), state(&mut session, barred).await.as_str()),
        ("gone", "successful")
    );
    let waits = after(&[barred], ALL, OnPreconditionFailure::Strand);
    web.enqueue_within(std::slice::from_ref(&waits), web.now()).await.expect("is there");
    let_go(&mut web).await;

    propagate(&mut web).await;
    assert_eq!(state(&mut session, waits.id).await, "ready");
    session.set_now(Some(at(4_300)));
    assert_eq!(session.prune(HOUR, 10).await.expect("prunes"), 0, "a job waits for it");
    session.cancel(&[waits.id], "ann").await.expect("cancels");
    session.set_now(Some(at(9_000)));
    assert_eq!(session.prune(HOUR, 10).await.expect("prunes"), 2);
    assert_eq!(keys(&mut session).await, [("k".to_owned(), takes.id)], "its new holder keeps it");
}

async fn a_propagation_that_someone_holds_up_is_put_off_and_the_others_go_on(fixture: &dyn Fixture) {
    let Some((mut session, mut web)) = two(fixture).await else { return };
    let worker = worker(&mut session).await;
    // An edge can be gone around; a key of a job that its gate fails cannot.
    for held in [
        "select epoch::text from gristmill_edge where precondition_id = (
            select job_id from gristmill_propagation where kind = 'notify' order by id limit 1
        ) for update",
        "select key from gristmill_unique_key where job_id = (
            select edge.dependent_id from gristmill_propagation as propagation
            join gristmill_edge as edge on edge.precondition_id = propagation.job_id
            where propagation.kind = 'notify' order by propagation.id limit 1
        ) for update",
    ] {
        session.set_now(Some(at(0)));
        let first = [job(), job()];
        session.enqueue(&first).await.expect("enqueues");
        let waits = ["a", "b"].map(|key| unique(key, UniqueUntil::Finished));
        let waits = [0, 1].map(|n| NewJob {
            after: vec![first[n].id],
            on_precondition_failure: OnPreconditionFailure::Fail,
            ..waits[n].clone()
        });
        session.enqueue(&waits).await.expect("enqueues");
        propagate(&mut session).await;
        let claimed = session.claim(worker, &[cursor()], 2, None).await.expect("claims");
        // One by one, so that the one that is held up comes first.
        for claimed in &claimed {
            session.finish(&[ended(claimed, error())]).await.expect("finishes");
        }
        let (barred, free) = if claimed[0].id == first[0].id { (&waits[0], &waits[1]) } else { (&waits[1], &waits[0]) };
        hold(&mut web, held).await;

        let done = session.propagate(1_000).await.expect("does not wait");
        assert!(done.held > 0, "{held}");
        assert_eq!(state(&mut session, free.id).await, "failed", "{held}");
        // While it is put off it costs nobody a wait, and is not forgotten.
        let again = session.propagate(1_000).await.expect("answers");
        assert_eq!(again.held, 0, "{held}");
        assert_eq!(state(&mut session, barred.id).await, "waiting", "{held}");
        assert!(session.survey_to_end(None).await.expect("surveys").under_way, "{held}");
        let_go(&mut web).await;
        session.set_now(Some(at(3)));
        propagate(&mut session).await;
        assert_eq!(state(&mut session, barred.id).await, "failed", "{held}");
    }
}

async fn a_schedule_whose_key_someone_is_taking_is_named_and_the_others_tick(fixture: &dyn Fixture) {
    let Some((mut session, mut web)) = two(fixture).await else { return };
    let mut schedules: Vec<_> = (0..6).map(|n| Announced { name: format!("s{n}"), ..every(10) }).collect();
    for n in [0, 3, 4] {
        schedules[n].job.unique_key = Some(format!("k{n}"));
    }
    announce(&mut session, &schedules).await;
    web.begin().await.expect("begins");
    let taken = ["k0", "k3"].map(|key| unique(key, UniqueUntil::Started));
    web.enqueue_within(&taken, web.now()).await.expect("enqueues");

    let ticked = session.tick("default", &Served::default(), 100).await.expect("does not wait");
    assert_eq!((ticked.jobs, &ticked.barred[..]), (4, &["s0".to_owned(), "s3".to_owned()][..]));
    assert_eq!(ticked.next_due, Some(Duration::from_secs(10)), "of the others");

    // Who puts them off is not kept by them any more.
    let served = Served { put_off: &ticked.barred, ..Served::default() };
    session.set_now(Some(at(10)));
    let later = session.tick("default", &served, 100).await.expect("ticks");
    assert_eq!((later.jobs + later.skipped, later.barred.len()), (4, 0));
    let_go(&mut web).await;
    let last = tick(&mut session).await;
    assert_eq!((last.jobs + last.skipped, last.barred.len()), (4, 0), "each with the one it missed");
    assert_eq!(ticks(&mut session).await.len(), 12);
}

async fn what_others_settle_is_told_apart_from_nothing_due(fixture: &dyn Fixture) {
    let Some((mut session, mut web)) = two(fixture).await else { return };
    announce(&mut session, &[every(10)]).await;
    hold(&mut web, "select now()::text from gristmill_schedule for update").await;
    let elsewhere = session.tick("default", &Served::default(), 100).await.expect("does not wait");
    assert_eq!((elsewhere.jobs, elsewhere.elsewhere), (0, true));
    let_go(&mut web).await;
    assert_eq!(tick(&mut session).await, jobs(1));
    assert_eq!(tick(&mut session).await, Ticked { ..jobs(0) });
}

async fn a_statement_that_waits_for_a_lock_has_done_nothing_and_leaves_its_session_usable(fixture: &dyn Fixture) {
    let Some((mut session, mut web)) = two(fixture).await else { return };
    let worker = worker(&mut session).await;
    hold(&mut web, "select now()::text from gristmill_worker for update").await;

    let held = session.heartbeat(worker).await;
    assert!(matches!(held, Err(Error::Locked(_))), "{held:?}");
    assert!(held.is_err_and(|error| error.is_passing()));
    session.enqueue(&[job()]).await.expect("its session goes on");
    let held = session.claim(worker, &[cursor()], 1, None).await;
    assert!(matches!(held, Err(Error::Locked(_))), "{held:?}");
    let_go(&mut web).await;
    assert!(session.heartbeat(worker).await.expect("beats").is_some());
    claim_one(&mut session, worker).await;
}

async fn who_ends_when_all_is_done_is_told_what_is_under_way(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let asked = [job(), job()];
    session.enqueue(&asked[..1]).await.expect("enqueues");
    let waits = after(&[asked[0].id], ALL, OnPreconditionFailure::Strand);
    session.enqueue(std::slice::from_ref(&waits)).await.expect("enqueues");
    let now = async |session: &mut Session| session.survey_to_end(None).await.expect("surveys").under_way;
    assert!(now(&mut session).await, "its edges are not resolved");
    propagate(&mut session).await;
    assert!(!now(&mut session).await, "what is ready is in the survey itself");
    let claimed = claim_one(&mut session, worker).await;
    assert!(now(&mut session).await, "a job waits for what runs");
    session.finish(&[ended(&claimed, error())]).await.expect("finishes");
    // As who could not carry it out at once puts it off.
    meddle(&mut session, "update gristmill_propagation set due_at = '2222-02-02 00:00:00.000000'").await;
    assert!(!session.survey(None).await.expect("surveys").propagations);
    assert!(now(&mut session).await, "its end is to be told");
    meddle(&mut session, "update gristmill_propagation set due_at = '2022-02-02 00:00:00.000000'").await;
    propagate(&mut session).await;
    assert!(!now(&mut session).await, "what is stranded waits for people");
    // Nobody waits for this one.
    session.enqueue(&asked[1..]).await.expect("enqueues");
    claim_one(&mut session, worker).await;
    assert!(!now(&mut session).await);
}
