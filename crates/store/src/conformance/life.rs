//! What the locks of workers promise, where the database is a file on this host.

use gristmill_core::WorkerId;

use super::scene::{at, worker};
use super::{Fixture, asks};
use crate::Session;
use crate::life::Lives;

asks![
    a_worker_that_holds_its_lock_is_never_suspected,
    a_worker_without_a_lock_is_suspected_at_once_and_lost_a_heartbeat_later,
    a_suspect_that_turns_out_to_hold_its_lock_is_not_lost,
    a_lock_ends_with_its_holder,
    a_lost_workers_file_is_removed,
];

/// A session that sees locks, and where they are; none where the database is not a file.
async fn beside_a_file(fixture: &dyn Fixture) -> Option<(Session, Lives)> {
    let mut session = fixture.session().await;
    session.set_now(Some(at(0)));
    let lives = session.lives.clone()?;
    Some((session, lives))
}

async fn a_worker_that_holds_its_lock_is_never_suspected(fixture: &dyn Fixture) {
    let Some((mut session, lives)) = beside_a_file(fixture).await else { return };
    let busy = worker(&mut session).await;
    let _lock = lives.hold(busy).expect("locks");
    // No heartbeat for an hour: a long transaction held the file, or someone stopped the process.
    session.set_now(Some(at(3_600)));

    assert_eq!(session.suspect(WorkerId::new()).await.expect("answers"), []);
}

async fn a_worker_without_a_lock_is_suspected_at_once_and_lost_a_heartbeat_later(fixture: &dyn Fixture) {
    let Some((mut session, lives)) = beside_a_file(fixture).await else { return };
    let dead = worker(&mut session).await;
    drop(lives.hold(dead).expect("locks"));
    session.set_now(Some(at(1)));
    assert_eq!(session.suspect(WorkerId::new()).await.expect("suspects"), [dead]);
    session.set_now(Some(at(5)));
    assert_eq!(session.declare_lost(WorkerId::new()).await.expect("answers"), []);

    session.set_now(Some(at(7)));

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

async fn a_lock_ends_with_its_holder(fixture: &dyn Fixture) {
    let Some((_session, lives)) = beside_a_file(fixture).await else { return };
    let worker = WorkerId::new();
    assert!(!lives.is_held(worker));
    let lock = lives.hold(worker).expect("locks");
    assert!(lives.is_held(worker));
    assert!(lives.is_held(worker), "asking takes nothing away");
    drop(lock);
    assert!(!lives.is_held(worker));
}

async fn a_lost_workers_file_is_removed(fixture: &dyn Fixture) {
    let Some((mut session, lives)) = beside_a_file(fixture).await else { return };
    let dead = worker(&mut session).await;
    let path = lives.leave_behind(dead);
    session.set_now(Some(at(1)));
    session.suspect(WorkerId::new()).await.expect("suspects");
    session.set_now(Some(at(7)));

    assert_eq!(session.declare_lost(WorkerId::new()).await.expect("declares"), [dead]);

    assert!(!path.exists());
}
