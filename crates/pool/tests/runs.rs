//! Jobs run in Python and their ends come back.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

mod common;

use common::{Project, Worker, processes_of, returned};
use gristmill_core::{JobId, Outcome, Reason};
use gristmill_engine::Executor;

#[tokio::test]
async fn jobs_run_and_their_results_come_back() {
    let project = Project::with_tasks(
        "@task\ndef add(a, b): return {'sum': a + b}\n\n@task\nasync def later(): return [1, None]\n\n@task(takes_context=True)\ndef who(context): return [context.attempt, context.task_result.id]\n",
    );
    let mut worker = Worker::start(project.config()).await;
    assert_eq!(worker.pool.tasks(), ["shop.tasks.add", "shop.tasks.later", "shop.tasks.who"]);
    assert_eq!(worker.outcome("add", "[1, 2]").await, returned("{\"sum\":3}"));
    assert_eq!(worker.outcome("later", "[]").await, returned("[1,null]"));
    let id = worker.run("who", "[]");
    assert_eq!(worker.end_of(id).await.outcome, returned(&format!("[1,\"{id}\"]")));
    worker.close().await;
    assert_eq!(processes_of(&project), Vec::<u32>::new());
}

#[tokio::test]
async fn runners_have_the_options_that_the_interpreter_is_given() {
    let project = Project::with_tasks(
        "@task\ndef options(): return [sys.flags.optimize, sys._xoptions['own'], 'error::ResourceWarning' in sys.warnoptions]\n",
    );
    let mut config = project.config();
    config.python_options = ["-O", "-Werror::ResourceWarning", "-Xown=1"].map(String::from).to_vec();
    let mut worker = Worker::start(config).await;
    assert_eq!(worker.outcome("options", "[]").await, returned("[1,\"1\",true]"));
    worker.close().await;
}

#[tokio::test]
async fn ten_thousand_jobs_end_once_each() {
    let project = Project::with_tasks("@task\ndef noop(): pass\n");
    let mut worker = Worker::start(project.config()).await;
    let started = std::time::Instant::now();
    let mut ids: Vec<JobId> = Vec::new();
    while ids.len() < 10_000 {
        worker.until("there is room", |worker| worker.pool.room() > 0).await;
        for _ in 0..worker.pool.room() {
            ids.push(worker.run("noop", "[]"));
        }
    }
    worker.until("all have ended", |worker| worker.ended.len() == ids.len()).await;
    println!("{:?} a job", started.elapsed() / 10_000);
    assert!(ids.iter().all(|id| worker.ended[id].outcome == returned("null")));
    worker.close().await;
}

#[tokio::test]
async fn a_failure_is_told_with_class_and_traceback() {
    let project = Project::with_tasks("@task\ndef fail(): raise LookupError('no such photo')\n");
    let mut worker = Worker::start(project.config()).await;
    let Outcome::Failed { reason, exception_class_path, traceback, .. } = worker.outcome("fail", "[]").await else {
        panic!("it did not fail");
    };
    assert_eq!(reason, Reason::Error);
    assert_eq!(exception_class_path, "builtins.LookupError");
    assert!(traceback.starts_with("Traceback") && traceback.contains("shop/tasks.py"), "{traceback}");
    assert!(traceback.ends_with("LookupError: no such photo\n"), "{traceback}");
    worker.close().await;
}
