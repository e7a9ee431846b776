//! Which failures are of one cause, and who tells of them.

use gristmill_core::{JobId, Outcome, Reason};

use super::scene::{at, claim_one, claimed_job, ended, error, job, number, session, success, texts, worker};
use super::{Fixture, asks};

asks![what_failed_alike_has_one_fingerprint, what_did_not_fail_has_no_fingerprint, one_tells_of_a_cause_in_an_hour,];

async fn what_failed_alike_has_one_fingerprint(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let raised = |said: &str| Outcome::failed(Reason::Error, "builtins.ValueError", format!("ValueError: {said}"));
    for said in ["no order 7", "no order 8", "no stock"] {
        let claimed = claimed_job(&mut session, worker).await;
        session.finish(&[ended(&claimed, raised(said))]).await.expect("finishes");
    }

    let grouped = "select count(*) from gristmill_result where fingerprint is not null group by fingerprint order by 1";
    assert_eq!(number(&mut session, grouped).await, 1);
    assert_eq!(number(&mut session, "select count(distinct fingerprint) from gristmill_result").await, 2);
}

async fn what_did_not_fail_has_no_fingerprint(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let failed = claimed_job(&mut session, worker).await;
    session.finish(&[ended(&failed, error())]).await.expect("finishes");
    session.retry(&[failed.id], "ann").await.expect("retries");
    let again = claim_one(&mut session, worker).await;
    // Someone's cancel request wins over its failure.
    session.cancel(&[again.id], "ann").await.expect("asks");
    session.finish(&[ended(&again, error())]).await.expect("finishes");
    let fine = claimed_job(&mut session, worker).await;
    session.finish(&[ended(&fine, success())]).await.expect("finishes");

    let states = "select state, coalesce(fingerprint, 'none') from gristmill_result order by state";
    let none = |state: &str| (state.to_owned(), "none".to_owned());
    assert_eq!(texts(&mut session, states).await, [none("cancelled"), none("successful")]);
}

async fn one_tells_of_a_cause_in_an_hour(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    session.enqueue(&[job()]).await.expect("enqueues");
    let mut tells = async |cause: &str, hour| session.notice(cause, &at(hour), JobId::new()).await.expect("notes");

    assert!(tells("00000000000000a1", 0).await);
    assert!(!tells("00000000000000a1", 0).await);
    assert!(tells("00000000000000b2", 0).await);
    assert!(tells("00000000000000a1", 3_600).await);
}
