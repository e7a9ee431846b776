//! What is kept of what running handlers say of themselves.

use gristmill_core::{Claimed, Progress};
use gristmill_store::{Session, Value};

use super::scene::{at, claim_one, claimed_job, dump, ended, error, number, session, success, worker};
use super::{Fixture, asks};

asks![
    the_newest_progress_stands,
    progress_of_a_stale_attempt_changes_nothing,
    a_later_attempt_says_it_anew,
    progress_stays_when_the_job_has_ended,
    progress_of_many_jobs_is_one_statement,
    nul_in_progress_is_storable,
];

fn said(claimed: &Claimed, done: f64) -> Progress {
    Progress {
        job: claimed.id,
        token: claimed.token,
        done: Some(done),
        total: Some(10.0),
        message: Some(format!("{done} of 10")),
        metadata: Some(r#"{"page": "ü"}"#.into()),
    }
}

/// Of the only job: how much, and what.
async fn known(session: &mut Session) -> Vec<(f64, String, String)> {
    let sql = "select done, message, metadata from gristmill_progress where total = 10";
    let rows = session.connection().run(sql, &[]).await.expect("runs");
    rows.into_iter()
        .map(|row| match row.as_slice() {
            [Value::Float(done), Value::Text(message), Value::Text(metadata)] => {
                (*done, message.clone(), metadata.clone())
            }
            other => panic!("{other:?}"),
        })
        .collect()
}

async fn the_newest_progress_stands(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let claimed = claimed_job(&mut session, worker).await;

    session.progress(&[said(&claimed, 1.0)]).await.expect("writes");
    session.set_now(Some(at(1)));
    session.progress(&[said(&claimed, 2.0), said(&claimed, 3.5)]).await.expect("writes");

    assert_eq!(known(&mut session).await, [(3.5, "3.5 of 10".to_owned(), r#"{"page": "ü"}"#.to_owned())]);
    session.progress(&[]).await.expect("writes nothing");
}

async fn progress_of_a_stale_attempt_changes_nothing(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let stale = claimed_job(&mut session, worker).await;
    session.hand_back(&[(stale.id, stale.token)]).await.expect("hands back");
    let newer = claim_one(&mut session, worker).await;
    session.progress(&[said(&newer, 5.0)]).await.expect("writes");
    let before = dump(&mut session).await;

    session.progress(&[said(&stale, 9.0)]).await.expect("answers");
    assert_eq!(dump(&mut session).await, before);

    session.finish(&[ended(&newer, success())]).await.expect("finishes");
    session.progress(&[said(&newer, 9.0)]).await.expect("answers");
    assert_eq!(known(&mut session).await[0].0.to_bits(), 5.0_f64.to_bits());
}

async fn a_later_attempt_says_it_anew(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let first = claimed_job(&mut session, worker).await;
    session.progress(&[said(&first, 9.0)]).await.expect("writes");
    session.finish(&[ended(&first, error())]).await.expect("finishes");
    session.retry(&[first.id], "ann").await.expect("retries");
    let second = claim_one(&mut session, worker).await;

    let nothing = Progress { done: None, message: None, ..said(&second, 0.0) };
    session.progress(&[nothing]).await.expect("writes");

    let empty = "select count(*) from gristmill_progress where done is null and message is null and token = 2";
    assert_eq!(number(&mut session, empty).await, 1);
}

async fn progress_stays_when_the_job_has_ended(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let claimed = claimed_job(&mut session, worker).await;
    session.progress(&[said(&claimed, 7.0)]).await.expect("writes");

    session.finish(&[ended(&claimed, success())]).await.expect("finishes");

    assert_eq!(known(&mut session).await.len(), 1);
}

async fn progress_of_many_jobs_is_one_statement(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let mut all = Vec::new();
    for _ in 0..20 {
        all.push(said(&claimed_job(&mut session, worker).await, 1.0));
    }
    all.reverse();

    session.progress(&all).await.expect("writes");

    assert_eq!(number(&mut session, "select count(*) from gristmill_progress").await, 20);
}

async fn nul_in_progress_is_storable(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let claimed = claimed_job(&mut session, worker).await;

    session.progress(&[Progress { message: Some("a\0b".into()), ..said(&claimed, 1.0) }]).await.expect("writes");

    assert_eq!(known(&mut session).await[0].1, "a\\0b");
}
