//! Small factories: a question shows only what matters to it.

use std::time::Duration;

use gristmill_core::{Attempt, ClaimCursor, Claimed, JobId, Lane, Lease, Moment, Outcome, Reason, WorkerId};
use gristmill_store::{Acted, Connection, Dialect, NewJob, NewWorker, Row, Session, UniqueUntil, Value, Wanted};

use super::Fixture;

/// `seconds` after the instant at which every question begins.
pub(super) fn at(seconds: i64) -> Moment {
    const BEGINNING: i64 = 1_900_000_000;
    Moment::from_unix_micros((BEGINNING + seconds) * 1_000_000)
}

/// A session whose present is the beginning, and for which the clock alone says who lives.
pub(super) async fn session(fixture: &dyn Fixture) -> Session {
    over(fixture.session().await.into_connection())
}

/// The same over any connection.
pub(super) fn over(connection: Box<dyn Connection>) -> Session {
    let mut session = Session::over(connection);
    session.set_now(Some(at(0)));
    session
}

pub(super) fn lane(task_name: &str) -> Lane {
    Lane { backend: "default".into(), queue_name: "default".into(), task_name: task_name.into() }
}

pub(super) fn job() -> NewJob {
    NewJob::new(lane("app.tasks.grind"), "[1]")
}

/// A job that holds a key.
pub(super) fn unique(key: &str, until: UniqueUntil) -> NewJob {
    NewJob { unique_key: Some(key.into()), unique_until: until, ..job() }
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
pub(super) fn cursor_of(task_name: &str, priority: i16) -> ClaimCursor {
    ClaimCursor { lane: lane(task_name), priority, deadline: Moment::earliest(), id: None }
}

/// Every job of the usual task.
pub(super) fn cursor() -> ClaimCursor {
    cursor_of("app.tasks.grind", 0)
}

/// A worker with a heartbeat of 5 s, so a lease of 60 s and a mercy of 15 s.
pub(super) fn new_worker() -> NewWorker {
    NewWorker {
        id: WorkerId::new(),
        label: "mill".into(),
        host: "localhost".into(),
        pid: 1,
        backend: "default".into(),
        queues_json: r#"{"include": null, "exclude": []}"#.into(),
        tasks_json: r#"["app.tasks.grind"]"#.into(),
        processes: 1,
        lease: Lease::new(Duration::from_secs(5)),
        before: None,
    }
}

/// Such a worker, registered.
pub(super) async fn worker(session: &mut Session) -> WorkerId {
    let worker = new_worker();
    session.register(&worker).await.expect("registers");
    worker.id
}

/// One job, enqueued and claimed.
pub(super) async fn claimed_job(session: &mut Session, worker: WorkerId) -> Claimed {
    session.enqueue(&[job()]).await.expect("enqueues");
    claim_one(session, worker).await
}

/// The next job of the usual task.
pub(super) async fn claim_one(session: &mut Session, worker: WorkerId) -> Claimed {
    session.claim(worker, &[cursor()], 1, None).await.expect("claims").pop().expect("a job was ready")
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

pub(super) fn incompatible() -> Outcome {
    Outcome::Incompatible { why: "an argument too many".into() }
}

/// What was done to each job, in order of their ids.
pub(super) fn done(acted: &[Acted]) -> Vec<(JobId, &str)> {
    acted.iter().map(|acted| (acted.id, acted.done.as_str())).collect()
}

/// Where a job is, as people see it; "gone" when it is nowhere.
pub(super) async fn state(session: &mut Session, id: JobId) -> String {
    session.get(id).await.expect("reads").map_or_else(|| "gone".into(), |job| job.state)
}

/// Each unique key that is held, and by whom.
pub(super) async fn keys(session: &mut Session) -> Vec<(String, JobId)> {
    let sql = "select key, cast(job_id as text) from gristmill_unique_key order by key";
    texts(session, sql).await.into_iter().map(|(key, id)| (key, id.parse().expect("an id"))).collect()
}

/// What people did, in order of the verbs, and who did it.
pub(super) async fn actions(session: &mut Session) -> Vec<(String, String)> {
    texts(session, "select verb, actor from gristmill_action order by verb, actor").await
}

/// The two texts of each row that a query gives.
pub(super) async fn texts(session: &mut Session, sql: &'static str) -> Vec<(String, String)> {
    let rows = session.connection().run(sql, &[]).await.expect("runs");
    rows.into_iter()
        .map(|row| match row.as_slice() {
            [Value::Text(one), Value::Text(other)] => (one.clone(), other.clone()),
            other => panic!("{sql} gave {other:?}"),
        })
        .collect()
}

/// Does what no verb does.
pub(super) async fn meddle(session: &mut Session, sql: &'static str) {
    session.connection().run(sql, &[]).await.expect("runs");
}

/// The number that a query gives.
pub(super) async fn number(session: &mut Session, sql: &'static str) -> i64 {
    let rows = session.connection().run(sql, &[]).await.expect("runs");
    match rows.first().and_then(|row| row.first()) {
        Some(Value::Int(number)) => *number,
        other => panic!("{sql} gave {other:?}"),
    }
}

/// PostgreSQL: sessions on this database, other questions have theirs, that wait for somebody's lock.
pub(super) async fn waiting_for_locks(session: &mut Session) -> i64 {
    let waiting =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    number(session, waiting).await
}

/// Every row of every table, in order.
pub(super) async fn dump(session: &mut Session) -> Vec<Row> {
    let sql = match session.dialect() {
        Dialect::Postgres => include_str!("dump_postgres.sql"),
        Dialect::Sqlite => include_str!("dump_sqlite.sql"),
    };
    session.connection().run(sql, &[]).await.expect("dumps")
}

/// What a turn of this worker claims from these cursors.
pub(super) fn wanted(worker: WorkerId, cursors: &[ClaimCursor], limit: u32) -> Wanted<'_> {
    Wanted { worker, cursors, limit, horizon: None, serves: &|_| true }
}
