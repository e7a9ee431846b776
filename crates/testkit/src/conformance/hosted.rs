//! What verbs promise on a connection that someone else keeps; and a database where every session is over one, so that
//! all other questions are asked there too.

use gristmill_core::{Attempt, Outcome};
use gristmill_store::hosted::{self, Carrier, Hosted, Script};
use gristmill_store::{Answer, Bind, Connection, Dialect, Row, Session, UniqueUntil, Value};

use super::scene::{
    at, claim_one, claimed_job, cursor, dump, ended, error, incompatible, job, keys, meddle, number, state, success,
    texts, unique, wanted, worker,
};
use super::{Databases, Fixture, Pending, asks};

asks![
    a_script_ends_an_attempt_in_the_hosts_transaction,
    a_script_that_comes_too_late_is_refused_and_undone,
    what_a_hosted_session_writes_is_undone_with_the_hosts_transaction,
    a_hosted_session_goes_on_after_an_undone_verb,
    peoples_verbs_take_null_for_the_databases_clock,
];

/// Databases whose sessions are hosted: each verb runs statement by statement, in a savepoint of a transaction.
pub(super) struct HostedDatabases<'a>(pub(super) &'a dyn Databases);

impl Databases for HostedDatabases<'_> {
    fn fresh(&self) -> Pending<'_, Box<dyn Fixture>> {
        Box::pin(async { Box::new(HostedFixture(self.0.fresh().await)) as Box<dyn Fixture> })
    }
}

struct HostedFixture(Box<dyn Fixture>);

impl Fixture for HostedFixture {
    fn session(&self) -> Pending<'_, Session> {
        Box::pin(async {
            let connection = self.0.session().await.into_connection();
            over(Driver { connection, outer: Outer::Each })
        })
    }

    fn close(self: Box<Self>) -> Pending<'static, ()> {
        self.0.close()
    }
}

fn over(driver: Driver) -> Session {
    Session::over(Box::new(Hosted::new(driver.connection.dialect(), Box::new(driver))))
}

/// Carries statements over a real connection as a web framework would.
struct Driver {
    connection: Box<dyn Connection>,
    outer: Outer,
}

/// Whose the transaction around a verb's savepoint is.
#[derive(PartialEq)]
enum Outer {
    /// The verb's own.
    Each,
    /// The host's: it was open before and goes on.
    Host,
}

impl Carrier for Driver {
    fn run<'a>(&'a mut self, statements: Vec<&'static str>, binds: &'a [Bind<'a>]) -> Answer<'a, Vec<Row>> {
        Box::pin(async move {
            let mut rows = Vec::new();
            for statement in statements {
                rows.extend(self.connection.run(statement, binds).await?);
            }
            Ok(rows)
        })
    }

    fn begin(&mut self) -> Answer<'_, ()> {
        Box::pin(async {
            if self.outer == Outer::Each {
                self.connection.begin().await?;
            }
            self.connection.run("savepoint verb", &[]).await.map(drop)
        })
    }

    fn commit(&mut self) -> Answer<'_, ()> {
        Box::pin(async {
            self.connection.run("release savepoint verb", &[]).await?;
            if self.outer == Outer::Each { self.connection.commit().await } else { Ok(()) }
        })
    }

    fn rollback(&mut self) -> Answer<'_, ()> {
        Box::pin(async {
            self.connection.run("rollback to savepoint verb", &[]).await?;
            self.connection.run("release savepoint verb", &[]).await?;
            if self.outer == Outer::Each { self.connection.rollback().await } else { Ok(()) }
        })
    }
}

/// Carries a script out as a runner does, in a transaction that is open; the attempts it accepted.
async fn carried_out(connection: &mut dyn Connection, script: &Script) -> usize {
    let binds: Vec<Bind<'_>> = script
        .binds
        .iter()
        .map(|bind| match bind {
            serde_json::Value::Null => Bind::Null,
            serde_json::Value::String(text) => text.as_str().into(),
            other => panic!("{other}"),
        })
        .collect();
    let mut last = Vec::new();
    for statement in &script.statements {
        last = connection.run(statement, &binds).await.expect("runs");
    }
    match last.first().map(Vec::as_slice) {
        None => 0,
        Some([Value::Text(packed)]) => serde_json::from_str::<Vec<Row>>(packed).expect("is a list").len(),
        Some(_) => last.len(),
    }
}

/// A session for which the present is the beginning, and a connection of the host's.
async fn both(fixture: &dyn Fixture) -> (Session, Box<dyn Connection>) {
    let mut session = fixture.session().await;
    session.set_now(Some(at(-1_000_000_000)));
    (session, fixture.session().await.into_connection())
}

async fn a_script_ends_an_attempt_in_the_hosts_transaction(fixture: &dyn Fixture) {
    let (mut session, mut host) = both(fixture).await;
    let worker = worker(&mut session).await;
    // The second finds what the first left in its connection.
    for (outcome, word) in [(success(), "successful"), (error(), "failed"), (incompatible(), "scheduled")] {
        session.enqueue(&[unique("k", UniqueUntil::Finished)]).await.expect("enqueues");
        let claimed = claim_one(&mut session, worker).await;
        let attempt = Attempt { output: Some("printed\0".into()), ..ended(&claimed, outcome) };
        let script = hosted::finish(session.dialect(), &attempt);

        host.begin().await.expect("begins");
        assert_eq!(carried_out(&mut *host, &script).await, 1);
        assert_eq!(state(&mut session, claimed.id).await, "running", "nothing shows before the commit");
        host.commit().await.expect("commits");

        assert_eq!(state(&mut session, claimed.id).await, word);
        let attempts = session.attempts(claimed.id).await.expect("reads");
        assert_eq!(attempts[0].output.as_deref(), Some("printed\\0"));
        assert_eq!(keys(&mut session).await.is_empty(), word != "scheduled");
    }
}

async fn a_script_that_comes_too_late_is_refused_and_undone(fixture: &dyn Fixture) {
    let (mut session, mut host) = both(fixture).await;
    let worker = worker(&mut session).await;
    let claimed = claimed_job(&mut session, worker).await;
    let script = hosted::finish(session.dialect(), &ended(&claimed, success()));
    session.hand_back(&[(claimed.id, claimed.token)]).await.expect("hands back");
    claim_one(&mut session, worker).await;
    let before = dump(&mut session).await;

    host.begin().await.expect("begins");
    assert_eq!(carried_out(&mut *host, &script).await, 0);
    host.commit().await.expect("commits");

    assert_eq!(dump(&mut session).await, before);
}

async fn what_a_hosted_session_writes_is_undone_with_the_hosts_transaction(fixture: &dyn Fixture) {
    let (mut session, mut connection) = both(fixture).await;
    let worker = worker(&mut session).await;
    let claimed = claimed_job(&mut session, worker).await;
    let before = dump(&mut session).await;

    connection.begin().await.expect("begins");
    let mut hosted = over(Driver { connection, outer: Outer::Host });
    hosted.set_now(Some(at(0)));
    hosted.enqueue(&[job(), unique("k", UniqueUntil::Started)]).await.expect("enqueues");
    let attempts = [ended(&claimed, Outcome::Lost)];
    let turned = hosted.finish_and_claim(&attempts, wanted(worker, &[cursor()], 9)).await.expect("turns");
    let (accepted, again) = (turned.finished.accepted, turned.claimed);
    assert_eq!((accepted.len(), again.len()), (1, 3));
    hosted.cancel(&[claimed.id], "ann").await.expect("asks");
    assert_ne!(dump(&mut hosted).await, before);
    meddle(&mut hosted, "rollback").await;

    assert_eq!(dump(&mut session).await, before);
}

async fn a_hosted_session_goes_on_after_an_undone_verb(fixture: &dyn Fixture) {
    let (mut session, connection) = both(fixture).await;
    let worker = worker(&mut session).await;
    let claimed = claimed_job(&mut session, worker).await;
    let mut hosted = over(Driver { connection, outer: Outer::Each });

    // Its first verb makes what `finish` needs, and is undone with it.
    hosted.begin().await.expect("begins");
    hosted.claim_within(worker, &[], 1, None).await.expect("claims nothing");
    let undone: gristmill_store::Result<()> =
        hosted.end(Err(gristmill_store::Error::Refused("as the question asks".into()))).await;
    undone.expect_err("was undone");

    assert_eq!(hosted.finish(&[ended(&claimed, success())]).await.expect("finishes").accepted.len(), 1);
    assert_eq!(state(&mut session, claimed.id).await, "successful");
}

async fn peoples_verbs_take_null_for_the_databases_clock(fixture: &dyn Fixture) {
    let (mut session, mut host) = both(fixture).await;
    let waits = gristmill_store::NewJob { run_after: Some(at(0)), ..job() };
    session.enqueue(std::slice::from_ref(&waits)).await.expect("enqueues");
    // Ids as people write them, too.
    let ids = Bind::from(format!(r#"["{}"]"#, waits.id.0.hyphenated().to_string().to_uppercase()));
    let (actor, null) = (Bind::from("ann"), Bind::Null);
    let four = [ids.clone(), actor.clone(), null.clone(), null.clone()];
    let three = [ids.clone(), actor.clone(), null.clone()];
    let six = [ids, actor, Bind::from("5"), Bind::from("mail"), Bind::from(r#"["default"]"#), null.clone()];
    for (verb, binds, after) in [
        ("hold", &four[..], "held"),
        ("release", &three[..], "scheduled"),
        ("change", &six[..], "scheduled"),
        ("run_now", &three[..], "ready"),
        ("cancel", &three[..], "cancelled"),
        ("retry", &three[..], "ready"),
    ] {
        host.begin().await.expect("begins");
        let mut rows = Vec::new();
        for statement in statements_of(session.dialect(), verb) {
            assert!(!statement.contains(";\n\n"));
            rows.extend(host.run(statement, binds).await.expect("runs"));
        }
        host.commit().await.expect("commits");

        assert_eq!((rows.len(), rows[0].len()), (1, 3), "{verb}");
        assert_eq!(state(&mut session, waits.id).await, after);
    }
    let queue = [Bind::from("default"), Bind::from("default"), Bind::from("why"), Bind::Null];
    for (verb, binds) in [("pause", &queue[..]), ("resume", &queue[..2])] {
        let statements = statements_of(session.dialect(), verb);
        let rows = host.run(statements[0], binds).await.expect("runs");
        assert_eq!((statements.len(), rows), (1, vec![vec![Value::Text("default".into())]]));
    }
    let schedule = r#"{"name": "mill", "task_name": "app.tasks.grind", "definition": {"cron": "@daily"}}"#;
    let (backend, name, id) =
        (Bind::from("default"), Bind::from("mill"), Bind::from(waits.id.0.hyphenated().to_string()));
    for (verb, binds, column) in [
        ("schedule_define", vec![backend.clone(), Bind::from(schedule), Bind::Null], "defined_at"),
        ("schedule_pause", vec![backend.clone(), name.clone(), Bind::from("why"), Bind::Null], "paused_at"),
        ("schedule_resume", vec![backend.clone(), name.clone(), Bind::Null], "next_at"),
        ("tick_by_hand", vec![backend.clone(), name.clone(), id, Bind::Null], "found_at"),
        ("schedule_remove", vec![backend, name], ""),
    ] {
        let statements = statements_of(session.dialect(), verb);
        assert_eq!((statements.len(), host.run(statements[0], &binds).await.expect("runs").len()), (1, 1), "{verb}");
        let moments = "select cast(defined_at as text), 'defined_at' from gristmill_schedule
            union all select cast(paused_at as text), 'paused_at' from gristmill_schedule where paused_at is not null
            union all select cast(next_at as text), 'next_at' from gristmill_schedule
            union all select cast(found_at as text), 'found_at' from gristmill_tick";
        let found = texts(&mut session, moments).await;
        let written = found.iter().find(|(_, found)| found == column).map(|(moment, _)| moment.as_str());
        let sane = "2026-01-01".."2029-01-01";
        assert!(column.is_empty() || written.is_some_and(|moment| sane.contains(&moment)), "{verb}: {found:?}");
    }
    let by_hand = "select count(*) from gristmill_tick join gristmill_job on id = job_id where nominal = found_at";
    assert_eq!(number(&mut session, by_hand).await, 1);
    let now = "select count(*) from gristmill_action where acted_at > '2026-01-01' and acted_at < '2029-01-01'";
    assert_eq!(number(&mut session, now).await, 6);
}

/// A verb's statements, as another program reads them.
fn statements_of(dialect: Dialect, verb: &str) -> Vec<&'static str> {
    dialect.statements(verb).expect("there is such a verb")
}
