//! Small factories: a question shows only what matters to it.

use std::time::Duration;

use gristmill_core::{Attempt, Band, Claimed, JobId, Lane, Lease, Moment, Outcome, Reason, WorkerId};

use super::Fixture;
use crate::{Dialect, NewJob, NewWorker, Row, Session, Value};

/// `seconds` after the instant at which every question begins.
pub(super) fn at(seconds: i64) -> Moment {
    const BEGINNING: i64 = 1_900_000_000;
    Moment::from_unix_micros((BEGINNING + seconds) * 1_000_000)
}

/// A session whose present is the beginning, and for which the clock alone says who lives.
pub(super) async fn session(fixture: &dyn Fixture) -> Session {
    let mut session = fixture.session().await;
    session.set_now(Some(at(0)));
    session.lives = None;
    session
}

pub(super) fn lane(task_name: &str) -> Lane {
    Lane { backend: "default".into(), queue_name: "default".into(), task_name: task_name.into() }
}

pub(super) fn job() -> NewJob {
    NewJob::new(lane("app.tasks.grind"), "[1]")
}

pub(super) fn jobs(count: usize) -> Vec<NewJob> {
    (0..count).map(|_| job()).collect()
}

pub(super) fn ids(jobs: &[NewJob]) -> Vec<JobId> {
    jobs.iter().map(|job| job.id).collect()
}

pub(super) fn claimed_ids(claimed: &[Claimed]) -> Vec<JobId> {
    claimed.iter().map(|claimed| claimed.id).collect()
}

/// Every job of `task_name` and `priority`.
pub(super) fn band_of(task_name: &str, priority: i16) -> Band {
    Band { lane: lane(task_name), priority, deadline: Moment::earliest(), id: None }
}

/// Every job of the usual task.
pub(super) fn band() -> Band {
    band_of("app.tasks.grind", 0)
}

/// A worker with a heartbeat of 5 s, so a lease of 60 s and a mercy of 15 s.
pub(super) async fn worker(session: &mut Session) -> WorkerId {
    let id = WorkerId::new();
    let worker = NewWorker {
        id,
        label: "mill".into(),
        host: "localhost".into(),
        pid: 1,
        backend: "default".into(),
        queues_json: r#"{"include": null, "exclude": []}"#.into(),
        tasks_json: r#"["app.tasks.grind"]"#.into(),
        processes: 1,
        lease: Lease::new(Duration::from_secs(5)),
    };
    session.register(&worker).await.expect("registers");
    id
}

/// One job, enqueued and claimed.
pub(super) async fn claimed_job(session: &mut Session, worker: WorkerId) -> Claimed {
    session.enqueue(&[job()]).await.expect("enqueues");
    claim_one(session, worker).await
}

/// The next job of the usual task.
pub(super) async fn claim_one(session: &mut Session, worker: WorkerId) -> Claimed {
    session.claim(worker, &[band()], 1).await.expect("claims").pop().expect("a job was ready")
}

pub(super) fn ended(claimed: &Claimed, outcome: Outcome) -> Attempt {
    Attempt {
        claimed: claimed.clone(),
        started_after: Some(Duration::from_millis(2)),
        runner_pid: Some(4242),
        outcome,
        output: None,
    }
}

pub(super) fn success() -> Outcome {
    Outcome::Successful { return_value: r#"{"ok": true}"#.into() }
}

pub(super) fn error() -> Outcome {
    Outcome::failed(Reason::Error, "builtins.ValueError", "Traceback (most recent call last):\nValueError: no")
}

pub(super) fn crash() -> Outcome {
    Outcome::Crashed { how: "signal 9 (SIGKILL)".into() }
}

/// The number that a query gives.
pub(super) async fn number(session: &mut Session, sql: &'static str) -> i64 {
    let rows = session.connection.run(sql, &[]).await.expect("runs");
    match rows.first().and_then(|row| row.first()) {
        Some(Value::Int(number)) => *number,
        other => panic!("{sql} gave {other:?}"),
    }
}

/// Every row of every table, in order.
pub(super) async fn dump(session: &mut Session) -> Vec<Row> {
    let sql = match session.dialect() {
        Dialect::Postgres => include_str!("dump_postgres.sql"),
        Dialect::Sqlite => include_str!("dump_sqlite.sql"),
    };
    session.connection.run(sql, &[]).await.expect("dumps")
}
