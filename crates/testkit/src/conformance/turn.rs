//! What one commit promises: of a busy worker's turn, and of a session that breaks.

use std::sync::{Arc, Mutex};

use gristmill_core::Token;
use gristmill_store::{Answer, Bind, Connection, Dialect, Error, Row};

use super::scene::{claimed_ids, claimed_job, cursor, dump, ended, ids, jobs, over, session, success, wanted, worker};
use super::{Fixture, asks};

asks![
    a_turn_finishes_and_claims,
    a_turn_is_one_commit,
    a_turn_that_fails_halfway_changes_nothing,
    a_turn_of_a_lost_worker_finishes_and_claims_nothing,
    a_session_left_in_the_middle_is_spent,
];

async fn a_turn_finishes_and_claims(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let jobs = jobs(3);
    session.enqueue(&jobs).await.expect("enqueues");
    let first = session.claim(worker, &[cursor()], 2, None).await.expect("claims");
    let attempts: Vec<_> = first.iter().map(|claimed| ended(claimed, success())).collect();

    let turned = session.finish_and_claim(&attempts, wanted(worker, &[cursor()], 5)).await.expect("turns");
    let (mut accepted, claimed) = (turned.finished.accepted, turned.claimed);

    accepted.sort();
    assert_eq!(accepted, [(jobs[0].id, Token(1)), (jobs[1].id, Token(1))]);
    assert_eq!(claimed_ids(&claimed), ids(&jobs[2..]));
}

async fn a_turn_is_one_commit(fixture: &dyn Fixture) {
    let mut first = session(fixture).await;
    let worker = worker(&mut first).await;
    first.enqueue(&jobs(2)).await.expect("enqueues");
    let claimed = first.claim(worker, &[cursor()], 1, None).await.expect("claims").remove(0);
    let before = dump(&mut first).await;
    let log = Log::default();
    let connection = session(fixture).await.into_connection();
    let mut watched = over(Box::new(Watched { connection, log: log.clone(), trouble: None }));
    watched.begin().await.expect("begins");
    let turn = watched.turn(&[ended(&claimed, success())], wanted(worker, &[cursor()], 1)).await;

    assert_eq!(dump(&mut first).await, before, "nothing shows before the commit");
    watched.end(turn).await.expect("commits");
    assert_ne!(dump(&mut first).await, before);
    log.clear();

    let turned = watched.finish_and_claim(&[], wanted(worker, &[cursor()], 1)).await.expect("turns");
    assert_eq!(turned.claimed, []);
    let calls = log.calls();
    assert_eq!((calls.first(), calls.last()), (Some(&"begin"), Some(&"commit")));
    assert!(calls[1..calls.len() - 1].iter().all(|call| *call == "run"));
}

async fn a_turn_that_fails_halfway_changes_nothing(fixture: &dyn Fixture) {
    let mut first = session(fixture).await;
    let worker = worker(&mut first).await;
    first.enqueue(&jobs(2)).await.expect("enqueues");
    let claimed = first.claim(worker, &[cursor()], 1, None).await.expect("claims").remove(0);
    let before = dump(&mut first).await;
    // Whichever statement fails: the turn has `finish`'s and then `claim`'s.
    for call in 1.. {
        let connection = session(fixture).await.into_connection();
        let trouble = Some(Trouble { at: call, kind: Kind::Fails });
        let mut failing = over(Box::new(Watched { connection, log: Log::default(), trouble }));

        let turn = failing.finish_and_claim(&[ended(&claimed, success())], wanted(worker, &[cursor()], 1)).await;

        if turn.is_ok() {
            assert!(call > 2, "a turn is two statements at least");
            return;
        }
        assert_eq!(dump(&mut first).await, before);
    }
}

async fn a_turn_of_a_lost_worker_finishes_and_claims_nothing(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let lost = worker(&mut session).await;
    session.enqueue(&jobs(2)).await.expect("enqueues");
    let claimed = session.claim(lost, &[cursor()], 1, None).await.expect("claims").remove(0);
    super::rescue::declare_lost(&mut session).await;

    // Nobody has taken the job over yet, so its token is still the job's: the result is worth keeping.
    let attempts = [ended(&claimed, success())];
    let turned = session.finish_and_claim(&attempts, wanted(lost, &[cursor()], 1)).await.expect("turns");
    let (accepted, claimed) = (turned.finished.accepted, turned.claimed);

    assert_eq!((accepted.len(), claimed.len()), (1, 0));
}

async fn a_session_left_in_the_middle_is_spent(fixture: &dyn Fixture) {
    let mut first = session(fixture).await;
    let worker = worker(&mut first).await;
    let claimed = claimed_job(&mut first, worker).await;
    let before = dump(&mut first).await;
    let connection = session(fixture).await.into_connection();
    let trouble = Some(Trouble { at: 2, kind: Kind::Hangs });
    let mut hanging = over(Box::new(Watched { connection, log: Log::default(), trouble }));
    let (attempts, cursors) = ([ended(&claimed, success())], [cursor()]);
    let turn = hanging.finish_and_claim(&attempts, wanted(worker, &cursors, 1));
    assert!(tokio::time::timeout(std::time::Duration::from_millis(300), turn).await.is_err());

    assert!(matches!(hanging.heartbeat(worker).await, Err(Error::Unavailable(_))));
    assert!(matches!(
        hanging.finish_and_claim(&attempts, wanted(worker, &cursors, 1)).await,
        Err(Error::Unavailable(_))
    ));

    drop(hanging);
    assert_eq!(dump(&mut first).await, before);
}

/// What a connection was asked to do.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<&'static str>>>);

impl Log {
    fn note(&self, call: &'static str) {
        self.0.lock().expect("no panic holds it").push(call);
    }

    fn calls(&self) -> Vec<&'static str> {
        self.0.lock().expect("no panic holds it").clone()
    }

    fn clear(&self) {
        self.0.lock().expect("no panic holds it").clear();
    }
}

/// Something that goes wrong at the n-th statement, from 1 on.
struct Trouble {
    at: u32,
    kind: Kind,
}

enum Kind {
    Fails,
    Hangs,
}

/// A connection that keeps a log and may get into trouble.
struct Watched {
    connection: Box<dyn Connection>,
    log: Log,
    trouble: Option<Trouble>,
}

impl Connection for Watched {
    fn dialect(&self) -> Dialect {
        self.connection.dialect()
    }

    fn run<'a>(&'a mut self, sql: &'static str, binds: &'a [Bind<'a>]) -> Answer<'a, Vec<Row>> {
        self.log.note("run");
        if let Some(trouble) = &mut self.trouble {
            trouble.at = trouble.at.wrapping_sub(1);
            if trouble.at == 0 {
                return match trouble.kind {
                    Kind::Fails => Box::pin(async { Err(Error::Unavailable("as the question asks".into())) }),
                    Kind::Hangs => Box::pin(std::future::pending()),
                };
            }
        }
        self.connection.run(sql, binds)
    }

    fn begin(&mut self) -> Answer<'_, ()> {
        self.log.note("begin");
        self.connection.begin()
    }

    fn commit(&mut self) -> Answer<'_, ()> {
        self.log.note("commit");
        self.connection.commit()
    }

    fn rollback(&mut self) -> Answer<'_, ()> {
        self.log.note("rollback");
        self.connection.rollback()
    }
}
