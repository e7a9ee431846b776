//! What is added to attempts that have ended.

use gristmill_core::{Attempt, Claimed, Note};
use gristmill_store::{Session, Value};

use super::scene::{claimed_job, dump, ended, session, success, worker};
use super::{Fixture, asks};

asks![
    a_note_is_added_to_the_output_of_an_attempt_that_has_ended,
    a_note_on_an_attempt_that_is_not_there_changes_nothing,
    nul_in_a_note_is_storable,
];

fn note(claimed: &Claimed, text: &str) -> Note {
    Note { job: claimed.id, token: claimed.token, text: text.into() }
}

/// Of the newest job's attempt.
async fn output(session: &mut Session) -> Value {
    let sql = "select output from gristmill_attempt order by job_id desc limit 1";
    let rows = session.connection().run(sql, &[]).await.expect("runs");
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    row[0].clone()
}

async fn a_note_is_added_to_the_output_of_an_attempt_that_has_ended(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    for (before, after) in [(None, "one\ntwo\n"), (Some("a"), "a\none\ntwo\n"), (Some("a\n"), "a\none\ntwo\n")] {
        let claimed = claimed_job(&mut session, worker).await;
        let attempt = Attempt { output: before.map(str::to_owned), ..ended(&claimed, success()) };
        session.finish(&[attempt]).await.expect("finishes");

        session.note(&[note(&claimed, "one\n"), note(&claimed, "two\n")]).await.expect("adds");

        assert_eq!(output(&mut session).await, Value::Text(after.into()));
        session.note(&[]).await.expect("adds nothing");
    }
}

async fn a_note_on_an_attempt_that_is_not_there_changes_nothing(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let claimed = claimed_job(&mut session, worker).await;
    let before = dump(&mut session).await;
    session.note(&[note(&claimed, "it runs")]).await.expect("adds nothing");
    assert_eq!(dump(&mut session).await, before);

    session.finish(&[ended(&claimed, success())]).await.expect("finishes");
    let before = dump(&mut session).await;
    let mut earlier = note(&claimed, "of another attempt");
    earlier.token.0 -= 1;
    session.note(&[earlier]).await.expect("adds nothing");
    assert_eq!(dump(&mut session).await, before);
}

async fn nul_in_a_note_is_storable(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let claimed = claimed_job(&mut session, worker).await;
    session.finish(&[ended(&claimed, success())]).await.expect("finishes");
    session.note(&[note(&claimed, "a\0b")]).await.expect("adds");
    assert_eq!(output(&mut session).await, Value::Text("a\\0b".into()));
}
