//! What wake-ups promise: hints, and only hints.

use std::time::Duration;

use gristmill_store::{Dialect, Error, Session, WakeUps};

use super::scene::{job, session};
use super::{Fixture, asks};

asks![a_commit_of_another_session_wakes_who_waits, nothing_wakes_when_nothing_is_committed, a_lost_listener_says_so,];

const SOON: Duration = Duration::from_secs(5);

/// Enqueues as a web process does: on PostgreSQL it notifies after its commit.
async fn enqueue(session: &mut Session) {
    session.enqueue(&[job()]).await.expect("enqueues");
    if session.dialect() == Dialect::Postgres {
        session.connection().run("select pg_notify('gristmill', '')::text", &[]).await.expect("notifies");
    }
}

async fn wakes(wake_ups: &mut WakeUps, within: Duration) -> bool {
    tokio::time::timeout(within, wake_ups.next()).await.is_ok_and(|hint| hint.is_ok())
}

async fn a_commit_of_another_session_wakes_who_waits(fixture: &dyn Fixture) {
    let Some(store) = fixture.store() else { return };
    let mut session = session(fixture).await;
    let mut wake_ups = store.wake_ups().await.expect("watches");

    for _ in 0..3 {
        enqueue(&mut session).await;
        assert!(wakes(&mut wake_ups, SOON).await);
    }

    // Many at once may be one hint; after it there is silence.
    enqueue(&mut session).await;
    enqueue(&mut session).await;
    while wakes(&mut wake_ups, Duration::from_millis(200)).await {}
}

async fn nothing_wakes_when_nothing_is_committed(fixture: &dyn Fixture) {
    let Some(store) = fixture.store() else { return };
    let mut session = session(fixture).await;
    enqueue(&mut session).await;
    let mut wake_ups = store.wake_ups().await.expect("watches");

    session.begin().await.expect("begins");
    session.claim_within(gristmill_core::WorkerId::new(), &[], 1, None).await.expect("claims nothing");
    session.end::<()>(Err(Error::Refused("to roll back".into()))).await.expect_err("as given");

    assert!(!wakes(&mut wake_ups, Duration::from_millis(100)).await);
}

async fn a_lost_listener_says_so(fixture: &dyn Fixture) {
    let Some(store) = fixture.store() else { return };
    let mut session = session(fixture).await;
    if session.dialect() == Dialect::Sqlite {
        return; // There is no connection to lose.
    }
    let mut wake_ups = store.wake_ups().await.expect("watches");
    let end_it = "select pg_terminate_backend(pid) from pg_stat_activity \
        where datname = current_database() and query like 'LISTEN%'";
    session.connection().run(end_it, &[]).await.expect("ends it");

    let lost = tokio::time::timeout(SOON, wake_ups.next()).await.expect("soon");

    assert!(matches!(lost, Err(Error::Unavailable(_))), "{lost:?}");
}
