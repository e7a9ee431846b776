//! The writes of a transactional job and its end are one commit.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

mod common;

use std::time::Duration;

use common::{Project, Worker, crash, returned};
use gristmill_core::{Attempt, ClaimCursor, Claimed, Lane, Lease, Moment, Outcome, WorkerId};
use gristmill_engine::Executor;
use gristmill_store::{NewJob, NewWorker, Session, Settings, Store};

const TASKS: &str = r#"
from django.db import connection

def write(word):
    with connection.cursor() as cursor:
        cursor.execute("create table if not exists words (word text)")
        cursor.execute("insert into words values (%s)", [word])

@task
def good(): write("good")

@task
def bad():
    write("bad")
    raise ValueError("no")

@task
def deadly():
    write("deadly")
    os._exit(5)

@task
def words():
    with connection.cursor() as cursor:
        cursor.execute("select word from words order by word")
        return [word for word, in cursor.fetchall()]
"#;

fn lane(task: &str) -> Lane {
    Lane { backend: "default".into(), queue_name: "default".into(), task_name: format!("shop.tasks.{task}") }
}

async fn claim(session: &mut Session, worker: WorkerId, task: &str) -> Claimed {
    let job = NewJob { options_json: Some(r#"{"transactional": true}"#.into()), ..NewJob::new(lane(task), "[]") };
    session.enqueue(&[job]).await.unwrap();
    let cursor = ClaimCursor { lane: lane(task), priority: 0, deadline: Moment::earliest(), id: None };
    session.claim(worker, &[cursor], 1, None).await.unwrap().remove(0)
}

fn accepted_by_nobody(claimed: &Claimed) -> Attempt {
    Attempt::unstarted(claimed.clone(), Outcome::HandedBack)
}

#[tokio::test]
async fn what_a_handler_wrote_stands_exactly_where_its_end_does() {
    let project = Project::with_tasks(TASKS);
    let database = project.path("db.sqlite3");
    let settings = std::fs::read_to_string(project.path("settings.py")).unwrap();
    let databases = format!(
        "DATABASES = {{\"default\": {{\"ENGINE\": \"django.db.backends.sqlite3\", \"NAME\": {:?}}}}}",
        database.to_str().unwrap()
    );
    project.write("settings.py", &settings.replace("DATABASES = {}", &databases));
    let store = Store::new(Settings::sqlite(database)).unwrap();
    store.migrate().await.unwrap();
    let mut session = store.open().await.unwrap();
    let id = WorkerId::new();
    let new = NewWorker {
        id,
        label: "test".into(),
        host: "localhost".into(),
        pid: std::process::id(),
        backend: "default".into(),
        queues_json: r#"{"include": null, "exclude": []}"#.into(),
        tasks_json: "[]".into(),
        processes: 1,
        lease: Lease::new(Duration::from_secs(5)),
        before: None,
    };
    session.register(&new).await.unwrap();
    let mut config = project.config();
    config.processes = 1;
    let mut worker = Worker::start(config).await;

    let good = claim(&mut session, id, "good").await;
    worker.pool.start(vec![good.clone()]);
    let ended = worker.end_of(good.id).await;
    assert!(ended.written);
    assert_eq!(ended.outcome, returned("null"));
    // Its place has been taken: nothing can end it once more.
    assert_eq!(session.finish(&[accepted_by_nobody(&good)]).await.unwrap().accepted, []);

    // Someone else has this one by the time its handler returns.
    let late = claim(&mut session, id, "good").await;
    assert_eq!(session.finish(&[accepted_by_nobody(&late)]).await.unwrap().accepted.len(), 1);
    worker.pool.start(vec![late.clone()]);
    let ended = worker.end_of(late.id).await;
    assert_eq!((&ended.outcome, ended.written), (&Outcome::Interrupted, false));

    let bad = claim(&mut session, id, "bad").await;
    worker.pool.start(vec![bad.clone()]);
    let ended = worker.end_of(bad.id).await;
    assert!(matches!(ended.outcome, Outcome::Failed { .. }) && !ended.written);
    assert_eq!(session.finish(&[accepted_by_nobody(&bad)]).await.unwrap().accepted.len(), 1);

    let deadly = claim(&mut session, id, "deadly").await;
    worker.pool.start(vec![deadly.clone()]);
    let ended = worker.end_of(deadly.id).await;
    assert_eq!((&ended.outcome, ended.written), (&crash("exit status 5"), false));

    worker.until("there is room", |worker| worker.pool.room() > 0).await;
    assert_eq!(worker.outcome("words", "[]").await, returned("[\"good\"]"));
    worker.close().await;
}
