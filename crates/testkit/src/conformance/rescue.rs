//! What taking over from vanished workers promises, where the database's clock alone decides.

use gristmill_core::{Outcome, WorkerId};
use gristmill_store::{NewJob, Session};

use super::scene::{
    at, claim_one, claimed_job, cursor, dump, ended, job, jobs, meddle, number, session, success, worker,
};
use super::{Fixture, asks};

asks![
    a_worker_is_suspected_when_its_lease_has_run_out,
    a_worker_never_suspects_itself,
    a_heartbeat_takes_a_suspicion_back,
    a_suspect_is_lost_only_after_its_mercy,
    a_suspect_that_answered_is_not_lost,
    a_worker_never_declares_itself_lost,
    a_worker_that_nobody_suspected_is_not_lost,
    a_lost_worker_stays_lost,
    a_worker_that_signed_off_is_neither_suspected_nor_lost,
    a_heartbeat_of_an_unknown_worker_is_refused,
    a_heartbeat_after_signing_off_is_refused,
    the_first_sign_off_stands,
    idle_sets_and_clears_the_flag,
    orphans_are_those_of_workers_that_will_not_end_them,
    orphans_come_in_pages,
    orphans_are_finished_once_by_two_rescuers,
    the_late_owner_of_a_rescued_job_is_refused,
    a_lost_job_whose_options_cannot_be_read_does_not_run_twice,
];

/// Lets every worker fall silent, be suspected and be declared lost, from the beginning on.
pub(super) async fn declare_lost(session: &mut Session) -> Vec<WorkerId> {
    session.set_now(Some(at(61)));
    session.suspect(WorkerId::new()).await.expect("suspects");
    session.set_now(Some(at(77)));
    session.declare_lost(WorkerId::new()).await.expect("declares")
}

async fn a_worker_is_suspected_when_its_lease_has_run_out(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let silent = worker(&mut session).await;
    session.set_now(Some(at(59)));
    assert_eq!(session.suspect(WorkerId::new()).await.expect("answers"), []);

    session.set_now(Some(at(61)));

    assert_eq!(session.suspect(WorkerId::new()).await.expect("suspects"), [silent]);
    assert_eq!(session.suspect(WorkerId::new()).await.expect("answers"), [], "once is enough");
}

async fn a_worker_never_suspects_itself(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let asking = worker(&mut session).await;
    session.set_now(Some(at(10_000)));

    assert_eq!(session.suspect(asking).await.expect("answers"), []);
}

async fn a_heartbeat_takes_a_suspicion_back(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let slow = worker(&mut session).await;
    session.set_now(Some(at(61)));
    assert_eq!(session.suspect(WorkerId::new()).await.expect("suspects"), [slow]);
    session.set_now(Some(at(62)));

    assert!(session.heartbeat(slow).await.expect("beats").is_some());

    session.set_now(Some(at(77)));
    assert_eq!(session.declare_lost(WorkerId::new()).await.expect("answers"), []);
    session.set_now(Some(at(121)));
    assert_eq!(session.suspect(WorkerId::new()).await.expect("answers"), [], "a new lease began");
    session.set_now(Some(at(123)));
    assert_eq!(session.suspect(WorkerId::new()).await.expect("suspects"), [slow]);
}

async fn a_suspect_is_lost_only_after_its_mercy(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let silent = worker(&mut session).await;
    session.set_now(Some(at(300)));
    assert_eq!(session.suspect(WorkerId::new()).await.expect("suspects"), [silent]);
    session.set_now(Some(at(314)));
    assert_eq!(session.declare_lost(WorkerId::new()).await.expect("answers"), []);

    session.set_now(Some(at(316)));

    assert_eq!(session.declare_lost(WorkerId::new()).await.expect("declares"), [silent]);
    assert_eq!(session.declare_lost(WorkerId::new()).await.expect("answers"), [], "once is enough");
}

async fn a_suspect_that_answered_is_not_lost(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    worker(&mut session).await;
    session.set_now(Some(at(61)));
    session.suspect(WorkerId::new()).await.expect("suspects");
    // Whoever wrote this heartbeat did not take the suspicion back with it.
    let answered = "update gristmill_worker set heartbeat_at = suspect_at";
    session.connection().run(answered, &[]).await.expect("updates");

    session.set_now(Some(at(1_000)));

    assert_eq!(session.declare_lost(WorkerId::new()).await.expect("answers"), []);
}

async fn a_worker_never_declares_itself_lost(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let asking = worker(&mut session).await;
    session.set_now(Some(at(61)));
    assert_eq!(session.suspect(WorkerId::new()).await.expect("suspects"), [asking]);
    session.set_now(Some(at(1_000)));

    assert_eq!(session.declare_lost(asking).await.expect("answers"), []);
}

async fn a_worker_that_nobody_suspected_is_not_lost(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    worker(&mut session).await;
    session.set_now(Some(at(10_000)));

    assert_eq!(session.declare_lost(WorkerId::new()).await.expect("answers"), []);
}

async fn a_lost_worker_stays_lost(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let lost = worker(&mut session).await;
    assert_eq!(declare_lost(&mut session).await, [lost]);
    let before = dump(&mut session).await;

    assert!(session.heartbeat(lost).await.expect("answers").is_none());

    assert_eq!(dump(&mut session).await, before);
}

async fn a_worker_that_signed_off_is_neither_suspected_nor_lost(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let (gone, slow) = (worker(&mut session).await, worker(&mut session).await);
    session.sign_off(gone, 0, None).await.expect("signs off");
    session.set_now(Some(at(61)));
    assert_eq!(session.suspect(WorkerId::new()).await.expect("suspects"), [slow]);
    session.sign_off(slow, 0, None).await.expect("signs off");
    session.set_now(Some(at(1_000)));

    assert_eq!(session.declare_lost(WorkerId::new()).await.expect("answers"), []);
}

async fn a_heartbeat_of_an_unknown_worker_is_refused(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    worker(&mut session).await;
    assert!(session.heartbeat(WorkerId::new()).await.expect("answers").is_none());
}

async fn a_heartbeat_after_signing_off_is_refused(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let gone = worker(&mut session).await;
    session.sign_off(gone, 0, None).await.expect("signs off");
    assert!(session.heartbeat(gone).await.expect("answers").is_none());
}

async fn the_first_sign_off_stands(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let gone = worker(&mut session).await;
    session.sign_off(gone, 77, Some("the database went away \0")).await.expect("signs off");
    let before = dump(&mut session).await;
    session.sign_off(gone, 0, None).await.expect("answers");

    assert_eq!(dump(&mut session).await, before);
    let with_it = "select count(*) from gristmill_worker where exit_status = 77 \
        and last_error = 'the database went away \\0' and stopped_at is not null";
    assert_eq!(number(&mut session, with_it).await, 1);
}

async fn idle_sets_and_clears_the_flag(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let (one, other) = (worker(&mut session).await, worker(&mut session).await);
    let idle = "select count(*) from gristmill_worker where idle";
    session.idle(one, true).await.expect("sets");
    assert_eq!(number(&mut session, idle).await, 1);
    session.idle(other, true).await.expect("sets");
    session.idle(one, false).await.expect("clears");
    assert_eq!(number(&mut session, idle).await, 1);
    session.sign_off(other, 0, None).await.expect("signs off");
    assert_eq!(number(&mut session, idle).await, 0, "nobody wakes who has gone");
}

async fn orphans_are_those_of_workers_that_will_not_end_them(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let (lost, closed, erased) = (worker(&mut session).await, worker(&mut session).await, worker(&mut session).await);
    let mut expected = Vec::new();
    for worker in [lost, closed, erased] {
        expected.push(claimed_job(&mut session, worker).await);
    }
    session.sign_off(closed, 99, None).await.expect("signs off");
    let erase = "delete from gristmill_worker where id = (select id from gristmill_worker order by id desc limit 1)";
    session.connection().run(erase, &[]).await.expect("erases");
    assert_eq!(declare_lost(&mut session).await, [lost]);
    session.set_now(Some(at(0)));
    let alive = worker(&mut session).await;
    claimed_job(&mut session, alive).await;

    let orphans = session.orphans(10).await.expect("reads");

    let found: Vec<_> = orphans.iter().map(|orphan| orphan.claimed.clone()).collect();
    assert_eq!(found, expected);
    assert!(orphans.iter().all(|orphan| orphan.outcome == Outcome::Lost && orphan.started_after.is_none()));
}

async fn orphans_come_in_pages(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let lost = worker(&mut session).await;
    session.enqueue(&jobs(5)).await.expect("enqueues");
    let claimed = session.claim(lost, &[cursor()], 5, None).await.expect("claims");
    declare_lost(&mut session).await;

    let mut rescued = Vec::new();
    loop {
        let orphans = session.orphans(2).await.expect("reads");
        if orphans.is_empty() {
            break;
        }
        assert!(orphans.len() <= 2);
        rescued.extend(session.finish(&orphans).await.expect("finishes").accepted);
    }

    rescued.sort();
    assert_eq!(rescued, claimed.iter().map(|claimed| (claimed.id, claimed.token)).collect::<Vec<_>>());
}

async fn orphans_are_finished_once_by_two_rescuers(fixture: &dyn Fixture) {
    let mut first = session(fixture).await;
    let lost = worker(&mut first).await;
    first.enqueue(&jobs(60)).await.expect("enqueues");
    first.claim(lost, &[cursor()], 60, None).await.expect("claims");
    declare_lost(&mut first).await;
    let mut ready = Vec::new();
    for backwards in [false, true] {
        let mut session = session(fixture).await;
        let mut orphans = session.orphans(60).await.expect("reads");
        assert_eq!(orphans.len(), 60);
        // Each in an order of its own: they must not lock each other out.
        if backwards {
            orphans.reverse();
        }
        ready.push((session, orphans));
    }

    let mut rescuers = tokio::task::JoinSet::new();
    for (mut session, orphans) in ready {
        rescuers.spawn(async move { session.finish(&orphans).await.expect("finishes").accepted.len() });
    }

    assert_eq!(rescuers.join_all().await.into_iter().sum::<usize>(), 60);
    assert_eq!(number(&mut first, "select count(*) from gristmill_ready where counts = '{\"losses\":1}'").await, 60);
    assert_eq!(number(&mut first, "select count(*) from gristmill_attempt where outcome = 'lost'").await, 60);
}

async fn the_late_owner_of_a_rescued_job_is_refused(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let frozen = worker(&mut session).await;
    let stale = claimed_job(&mut session, frozen).await;
    declare_lost(&mut session).await;
    let orphans = session.orphans(10).await.expect("reads");
    session.finish(&orphans).await.expect("rescues");
    let rescuer = worker(&mut session).await;
    let again = claim_one(&mut session, rescuer).await;
    assert_eq!(again.id, stale.id);
    let before = dump(&mut session).await;

    assert_eq!(session.finish(&[ended(&stale, success())]).await.expect("answers").accepted, []);

    assert_eq!(dump(&mut session).await, before);
    assert_eq!(session.finish(&[ended(&again, success())]).await.expect("finishes").accepted.len(), 1);
}

async fn a_lost_job_whose_options_cannot_be_read_does_not_run_twice(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let newer = worker(&mut session).await;
    // Of code that knows more than this does; of the second it can be read that the job may run again.
    let options = [r#"{"on_crash": "ask"}"#, r#"{"timeout": "soon", "on_crash": "rerun"}"#];
    let jobs = options.map(|options| NewJob { options_json: Some(options.into()), ..job() });
    session.enqueue(&jobs).await.expect("enqueues");
    let uncounted = job();
    session.enqueue(std::slice::from_ref(&uncounted)).await.expect("enqueues");
    let all_but_those = "update gristmill_ready
        set counts = '[]'
        where id not in (select id from gristmill_job where options is not null)";
    meddle(&mut session, all_but_those).await;
    session.claim(newer, &[cursor()], 10, None).await.expect("claims");
    declare_lost(&mut session).await;

    let orphans = session.orphans(10).await.expect("finds");
    session.finish(&orphans).await.expect("finishes");

    let [once, again] = jobs.map(|job| job.id);
    for once in [once, uncounted.id] {
        let once = session.get(once).await.expect("reads").expect("exists");
        assert_eq!((once.state.as_str(), once.reason.as_deref()), ("failed", Some("outcome unknown")));
    }
    assert_eq!(session.get(again).await.expect("reads").expect("exists").state, "ready");
}
