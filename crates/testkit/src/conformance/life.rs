//! What the locks of workers promise, where the database is a file on this host.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use gristmill_core::WorkerId;
use gristmill_store::testing::Lives;
use gristmill_store::{Session, Settings};

use super::scene::{at, claim_one, job, worker};
use super::{Fixture, asks};

asks![
    a_worker_that_holds_its_lock_is_never_suspected,
    a_worker_without_a_lock_is_suspected_and_lost_at_once,
    a_suspect_that_turns_out_to_hold_its_lock_is_not_lost,
    a_lock_ends_with_its_last_holder,
    a_lost_workers_file_is_removed,
    who_signs_off_removes_its_file_also_where_its_lock_is_shared,
    who_ends_when_all_is_done_sees_at_once_what_the_dead_have_left,
];

/// A session that sees locks, and where they are; none where the database is not a file.
async fn beside_a_file(fixture: &dyn Fixture) -> Option<(Session, Lives)> {
    let mut session = fixture.session().await;
    session.set_now(Some(at(0)));
    let Settings::Sqlite { path, .. } = fixture.store()?.settings().clone() else { return None };
    Some((session, Lives::beside(&path)))
}

/// What a killed worker leaves: its file, with nobody's lock.
fn leave_behind(lives: &Lives, worker: WorkerId) -> PathBuf {
    let path = lives.file(worker);
    std::fs::write(&path, "").expect("the directory can be written");
    path
}

/// Waits until nobody holds a lock that this process has dropped: a child that another thread has just forked still has its
/// descriptors until it becomes another program.
fn until_free(lives: &Lives, worker: WorkerId) {
    let began = Instant::now();
    while lives.is_held(worker) {
        assert!(began.elapsed() < Duration::from_mins(1), "the lock is still held");
        std::thread::yield_now();
    }
}

async fn a_worker_that_holds_its_lock_is_never_suspected(fixture: &dyn Fixture) {
    let Some((mut session, lives)) = beside_a_file(fixture).await else { return };
    let busy = worker(&mut session).await;
    let _lock = lives.hold(busy).expect("locks");
    // No heartbeat for an hour: a long transaction held the file, or someone stopped the process.
    session.set_now(Some(at(3_600)));

    assert_eq!(session.suspect(WorkerId::new()).await.expect("answers"), []);
}

async fn a_worker_without_a_lock_is_suspected_and_lost_at_once(fixture: &dyn Fixture) {
    let Some((mut session, lives)) = beside_a_file(fixture).await else { return };
    let dead = worker(&mut session).await;
    drop(lives.hold(dead).expect("locks"));
    until_free(&lives, dead);
    assert_eq!(session.declare_lost(WorkerId::new()).await.expect("answers"), []);

    assert_eq!(session.suspect(WorkerId::new()).await.expect("suspects"), [dead]);
    assert_eq!(session.declare_lost(WorkerId::new()).await.expect("declares"), [dead]);
}

async fn a_suspect_that_turns_out_to_hold_its_lock_is_not_lost(fixture: &dyn Fixture) {
    let Some((mut session, lives)) = beside_a_file(fixture).await else { return };
    let late = worker(&mut session).await;
    session.set_now(Some(at(1)));
    assert_eq!(session.suspect(WorkerId::new()).await.expect("suspects"), [late]);
    let _lock = lives.hold(late).expect("locks");
    session.set_now(Some(at(3_600)));

    assert_eq!(session.declare_lost(WorkerId::new()).await.expect("answers"), []);
}

async fn a_lock_ends_with_its_last_holder(fixture: &dyn Fixture) {
    let Some((_session, lives)) = beside_a_file(fixture).await else { return };
    let worker = WorkerId::new();
    assert!(!lives.is_held(worker));
    let lock = lives.hold(worker).expect("locks");
    assert!(lives.is_held(worker));
    assert!(lives.is_held(worker), "asking takes nothing away");
    // A zygote that has yet to end its runners.
    let shared = lock.share().expect("shares").expect("is a file");
    drop(lock);
    assert!(lives.is_held(worker));
    drop(shared);
    until_free(&lives, worker);
}

async fn who_ends_when_all_is_done_sees_at_once_what_the_dead_have_left(fixture: &dyn Fixture) {
    let Some((mut session, lives)) = beside_a_file(fixture).await else { return };
    let other = worker(&mut session).await;
    let lock = lives.hold(other).expect("locks");
    let asked = job();
    session.enqueue(std::slice::from_ref(&asked)).await.expect("enqueues");
    claim_one(&mut session, other).await;
    assert!(!session.survey_to_end(None).await.expect("surveys").under_way, "nobody waits for what lives run");

    drop(lock);
    until_free(&lives, other);

    assert!(session.survey_to_end(None).await.expect("surveys").under_way);
}

async fn who_signs_off_removes_its_file_also_where_its_lock_is_shared(fixture: &dyn Fixture) {
    let Some((_session, lives)) = beside_a_file(fixture).await else { return };
    let worker = WorkerId::new();
    let path = leave_behind(&lives, worker);
    let lock = lives.hold(worker).expect("locks");
    let _shared = lock.share().expect("shares").expect("is a file");

    lock.remove();

    assert!(!path.exists());
}

async fn a_lost_workers_file_is_removed(fixture: &dyn Fixture) {
    let Some((mut session, lives)) = beside_a_file(fixture).await else { return };
    let dead = worker(&mut session).await;
    let path = leave_behind(&lives, dead);
    session.set_now(Some(at(1)));
    session.suspect(WorkerId::new()).await.expect("suspects");
    session.set_now(Some(at(7)));

    assert_eq!(session.declare_lost(WorkerId::new()).await.expect("declares"), [dead]);

    assert!(!path.exists());
}
