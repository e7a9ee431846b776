//! How fast the verbs are: jobs per second through one session, by batch size.
//!
//! `cargo run --release -p gristmill-store --example verbs -- [jobs] [backlog] [sqlite|postgres]` measures SQLite on a file of its own and
//! PostgreSQL on the server that `GRISTMILL_TEST_POSTGRES` names, or on a throw-away one whose commits wait for the
//! disk. `jobs` are finished for each batch size; `backlog` more stay ready all the while.

use std::time::{Duration, Instant};

use gristmill_core::{Attempt, ClaimCursor, Claimed, Lane, Lease, Moment, Outcome, WorkerId};
use gristmill_store::{NewJob, NewWorker, Session, Settings, Store, Wanted};
use gristmill_testkit::server::{Durability, Server};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let jobs = numbers.next().unwrap_or(20_000);
    let backlog = numbers.next().unwrap_or(0);

    let only = std::env::args().nth(3);
    let chosen = |database: &str| only.as_deref().is_none_or(|word| word == database);

    if chosen("sqlite") {
        let directory = std::env::temp_dir().join(format!("gristmill-verbs-{}", std::process::id()));
        std::fs::create_dir(&directory)?;
        let store = Store::new(Settings::sqlite(directory.join("db.sqlite3")))?;
        let measured = measure("sqlite", &store, jobs, backlog).await;
        std::fs::remove_dir_all(&directory)?;
        measured?;
    }
    for durability in [Durability::On, Durability::Off] {
        if !chosen("postgres") {
            break;
        }
        let server = Server::start(durability);
        let name = format!("gristmill_verbs_{}", std::process::id());
        let mut administrator = PgConnection::connect(server.url()).await?;
        administrator.execute(AssertSqlSafe(format!("create database {name}"))).await?;
        let store = Store::new(Settings::from_url(&server.url_of(&name))?)?;
        let measured = measure(&format!("postgres, fsync {durability:?}"), &store, jobs, backlog).await;
        administrator.execute(AssertSqlSafe(format!("drop database {name} with (force)"))).await?;
        measured?;
    }
    Ok(())
}

async fn measure(name: &str, store: &Store, jobs: usize, backlog: usize) -> Result<(), Failure> {
    store.migrate().await?;
    let mut session = store.open().await?;
    let worker = WorkerId::new();
    session.register(&new_worker(worker)).await?;
    for chunk in chunks(backlog) {
        session.enqueue(&chunk).await?;
    }
    for batch in [1, 10, 50, 100] {
        // A single job waits for its own commit; fewer of them tell as much.
        let jobs = if batch == 1 { jobs / 10 } else { jobs };
        let enqueue = Instant::now();
        for chunk in chunks(jobs) {
            session.enqueue(&chunk).await?;
        }
        let enqueue = enqueue.elapsed();
        let drain = Instant::now();
        drained(&mut session, worker, jobs, batch).await?;
        println!(
            "{name}: batch {batch:>3}: {:>7.0} jobs/s claimed and finished, {:>7.0} jobs/s enqueued",
            rate(jobs, drain.elapsed()),
            rate(jobs, enqueue)
        );
    }
    let survey = Instant::now();
    let cursors = session.survey(None).await?.cursors.len();
    println!("{name}: survey of {cursors} cursors: {:?}", survey.elapsed());
    Ok(())
}

/// Claims and finishes `jobs` jobs the way a busy worker does: one turn a batch, its watermark moving on.
async fn drained(session: &mut Session, worker: WorkerId, jobs: usize, batch: usize) -> Result<(), Failure> {
    let mut cursor = ClaimCursor { lane: lane(), priority: 0, deadline: Moment::earliest(), id: None };
    let mut ended: Vec<Attempt> = Vec::new();
    let mut done = 0;
    while done < jobs {
        let limit = u32::try_from(batch.min(jobs - done - ended.len()))?;
        let cursors = std::slice::from_ref(&cursor);
        let wanted = Wanted { worker, cursors, limit, horizon: None, serves: &|_| true };
        let turned = session.finish_and_claim(&ended, wanted).await?;
        let (accepted, claimed) = (turned.finished.accepted, turned.claimed);
        assert_eq!(accepted.len(), ended.len());
        done += accepted.len();
        if let Some(last) = claimed.last() {
            cursor.deadline = last.deadline.clone();
            cursor.id = Some(last.id);
        }
        ended = claimed.into_iter().map(success).collect();
    }
    Ok(())
}

fn success(claimed: Claimed) -> Attempt {
    Attempt {
        claimed,
        started_after: Some(Duration::from_micros(700)),
        runner_pid: Some(4242),
        outcome: Outcome::Successful { return_value: r#"{"width": 640, "height": 480}"#.into() },
        output: None,
    }
}

fn chunks(jobs: usize) -> impl Iterator<Item = Vec<NewJob>> {
    (0..jobs).step_by(1_000).map(move |from| (from..jobs.min(from + 1_000)).map(|_| new_job()).collect())
}

fn new_job() -> NewJob {
    NewJob {
        kwargs: r#"{"size": [640, 480]}"#.into(),
        ..NewJob::new(lane(), r#"[12345, "https://example.org/photos/12345.jpg"]"#)
    }
}

fn lane() -> Lane {
    Lane { backend: "default".into(), queue_name: "default".into(), task_name: "photos.tasks.resize".into() }
}

fn new_worker(id: WorkerId) -> NewWorker {
    NewWorker {
        id,
        label: "verbs".into(),
        host: "localhost".into(),
        pid: std::process::id(),
        backend: "default".into(),
        queues_json: r#"{"include": null, "exclude": []}"#.into(),
        tasks_json: "[]".into(),
        processes: 1,
        lease: Lease::new(Duration::from_secs(5)),
        before: None,
    }
}

fn rate(jobs: usize, elapsed: Duration) -> f64 {
    f64::from(u32::try_from(jobs).unwrap_or(u32::MAX)) / elapsed.as_secs_f64()
}
