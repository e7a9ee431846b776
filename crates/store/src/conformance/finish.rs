//! What ending an attempt promises.

use super::scene::{claimed_job, dump, ended, session, success, worker};
use super::{Fixture, asks};

asks![a_stale_finish_changes_nothing, success_is_kept,];

async fn a_stale_finish_changes_nothing(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let stale = claimed_job(&mut session, worker).await;
    session.hand_back(&[(stale.id, stale.token)]).await.expect("hands back");
    super::scene::claim_one(&mut session, worker).await;
    let before = dump(&mut session).await;

    assert_eq!(session.finish(&[ended(&stale, success())]).await.expect("answers"), []);

    assert_eq!(dump(&mut session).await, before);
}

async fn success_is_kept(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let claimed = claimed_job(&mut session, worker).await;
    let accepted = session.finish(&[ended(&claimed, success())]).await.expect("finishes");
    assert_eq!(accepted, [(claimed.id, claimed.token)]);
}
