//! Async jobs share a runner; and what handlers say of themselves reaches their own job.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

mod common;

use common::{Project, Worker, crash, returned};
use gristmill_core::{Outcome, Until};
use gristmill_engine::Executor;

const TASKS: &str = r#"
import asyncio
from pathlib import Path
from gristmill.tasks.postpone import Postpone

HERE = Path(__file__).parent.parent
here = 0

@task
async def meet(many):
    "Ends when so many are here at once."
    global here
    here += 1
    while here < many:
        await asyncio.sleep(0.001)
    return os.getpid()

@task
async def say(word):
    print(word)
    await asyncio.sleep(0)
    print(word)

@task
async def die():
    os._exit(4)

@task
async def wait(number):
    (HERE / f"waits {number}").write_text("x")
    await asyncio.sleep(600)

@task
def pid(): return os.getpid()

@task(takes_context=True)
def report(context):
    context.metadata["page"] = 7
    context.progress(1, 2, "half")
    print("printed")

@task
def later(): raise Postpone(30, reason="the shop is closed")
"#;

async fn start(project: &Project, processes: usize, concurrency: usize) -> Worker {
    let mut config = project.config();
    config.processes = processes;
    config.concurrency = concurrency;
    Worker::start(config).await
}

#[tokio::test]
async fn twenty_async_jobs_run_at_once_in_one_runner() {
    let project = Project::with_tasks(TASKS);
    let mut worker = start(&project, 1, 20).await;
    assert!(worker.pool.runs_async());
    let mut jobs = Vec::new();
    // As the engine does: never more than there is room for, and room comes with the jobs.
    while jobs.len() < 20 {
        worker.until("there is room", |worker| worker.pool.room() > 0).await;
        for _ in 0..worker.pool.room().min(20 - jobs.len()) {
            jobs.push(worker.run("meet", "[20]"));
        }
    }
    let mut pids = Vec::new();
    for id in jobs {
        let ended = worker.end_of(id).await;
        assert_eq!(ended.outcome, returned(&ended.runner_pid.unwrap().to_string()));
        pids.push(ended.runner_pid);
    }
    pids.dedup();
    assert_eq!(pids.len(), 1);
    worker.close().await;
}

#[tokio::test]
async fn a_sync_job_runs_while_async_jobs_wait_elsewhere() {
    let project = Project::with_tasks(TASKS);
    let mut worker = start(&project, 2, 10).await;
    let waiting: Vec<_> = (0..5).map(|number| worker.run("wait", &format!("[{number}]"))).collect();
    let Outcome::Successful { .. } = worker.outcome("pid", "[]").await else { panic!("it did not run") };
    let all_wait = |_: &mut Worker| (0..5).all(|number| project.path(&format!("waits {number}")).exists());
    worker.until("all wait", all_wait).await;
    assert!(waiting.iter().all(|id| !worker.ended.contains_key(id)));
    worker.pool.interrupt();
    for id in waiting {
        assert_eq!(worker.end_of(id).await.outcome, Outcome::Interrupted);
    }
    worker.close().await;
}

#[tokio::test]
async fn a_crash_takes_what_runs_beside_it_and_no_more() {
    let project = Project::with_tasks(TASKS);
    let mut worker = start(&project, 1, 10).await;
    let beside = worker.run("wait", "[0]");
    worker.until("it waits", |_| project.path("waits 0").exists()).await;
    let dying = worker.run("die", "[]");
    assert_eq!(worker.end_of(dying).await.outcome, crash("exit status 4"));
    assert_eq!(worker.end_of(beside).await.outcome, crash("exit status 4"));
    worker.until("there is room", |worker| worker.pool.room() > 0).await;
    assert!(matches!(worker.outcome("pid", "[]").await, Outcome::Successful { .. }));
    worker.close().await;
}

#[tokio::test]
async fn many_short_async_jobs_end_once_each_with_their_own_output() {
    let project = Project::with_tasks(TASKS);
    let mut worker = start(&project, 2, 5).await;
    let mut jobs = Vec::new();
    while jobs.len() < 400 {
        worker.until("there is room", |worker| worker.pool.room() > 0).await;
        for _ in 0..worker.pool.room() {
            jobs.push(worker.run("say", &format!("[\"word {}\"]", jobs.len())));
        }
    }
    worker.until("all have ended", |worker| worker.ended.len() == jobs.len()).await;
    for (number, id) in jobs.iter().enumerate() {
        let ended = &worker.ended[id];
        assert_eq!(ended.outcome, returned("null"));
        assert_eq!(ended.output.as_deref(), Some(format!("word {number}\nword {number}\n").as_str()));
    }
    worker.close().await;
}

#[tokio::test]
async fn progress_and_output_come_with_their_job() {
    let project = Project::with_tasks(TASKS);
    let mut worker = start(&project, 1, 1).await;
    let id = worker.run("report", "[]");
    let ended = worker.end_of(id).await;
    assert_eq!((&ended.outcome, ended.output.as_deref()), (&returned("null"), Some("printed\n")));
    let progress = worker.progress.last().unwrap();
    assert_eq!((progress.job, progress.done, progress.total), (id, Some(1.0), Some(2.0)));
    assert_eq!(progress.message.as_deref(), Some("half"));
    let metadata: serde_json::Value = serde_json::from_str(progress.metadata.as_ref().unwrap()).unwrap();
    assert_eq!(metadata, serde_json::json!({"page": 7}));
    worker.close().await;
}

#[tokio::test]
async fn a_job_postpones_itself_and_one_that_does_not_fit_says_so() {
    let project = Project::with_tasks(TASKS);
    let mut worker = start(&project, 1, 1).await;
    let until = Until::After(std::time::Duration::from_secs(30));
    assert_eq!(
        worker.outcome("later", "[]").await,
        Outcome::Postponed { until, after: None, why: "the shop is closed".into() }
    );
    let Outcome::Incompatible { why } = worker.outcome("pid", "[1]").await else { panic!("it fits") };
    assert!(why.contains("shop.tasks.pid"), "{why}");
    worker.close().await;
}
