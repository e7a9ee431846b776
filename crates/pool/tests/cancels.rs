//! A job that someone wants cancelled ends, in whatever it is.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

mod common;

use common::{Project, Worker, lives, returned};
use gristmill_core::{Claimed, Outcome};
use gristmill_engine::Executor;

const TASKS: &str = r#"
import asyncio
from pathlib import Path

HERE = Path(__file__).parent.parent

def mark(name): (HERE / name).write_text("x")

@task
def pid(): return os.getpid()

@task
def spin():
    mark("spin")
    while True:
        pass

@task
def sleep():
    mark("sleep")
    time.sleep(600)

@task
async def wait():
    mark("wait")
    await asyncio.sleep(600)

@task
async def block():
    mark("block")
    time.sleep(600)

@task
def swallow():
    mark("swallow")
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass

@task
def note(number):
    with open(HERE / "notes", "a") as notes:
        notes.write(f"{number}\n")
"#;

async fn running(worker: &mut Worker, project: &Project, task: &str) -> Claimed {
    let claimed = worker.run_with(task, "[]", "{}");
    worker.until("it runs", |_| project.path(task).exists()).await;
    claimed
}

fn cancelled(how: &str) -> Outcome {
    Outcome::Cancelled { how: how.into() }
}

#[tokio::test]
async fn a_handler_that_listens_is_stopped_and_its_runner_lives_on() {
    let project = Project::with_tasks(TASKS);
    let mut config = project.config();
    config.processes = 1;
    let mut worker = Worker::start(config).await;
    for task in ["spin", "sleep", "wait"] {
        let job = running(&mut worker, &project, task).await;
        worker.pool.cancel(job.id, job.token);
        let ended = worker.end_of(job.id).await;
        assert_eq!(ended.outcome, cancelled("when it was asked to stop"), "{task}");
        let pid = ended.runner_pid.unwrap().to_string();
        assert_eq!(worker.outcome("pid", "[]").await, returned(&pid), "{task}");
    }
    worker.close().await;
}

#[tokio::test]
async fn a_handler_that_does_not_listen_is_stopped_with_its_runner() {
    let project = Project::with_tasks(TASKS);
    let mut worker = Worker::start(project.config()).await;
    let jobs = [running(&mut worker, &project, "swallow").await, running(&mut worker, &project, "block").await];
    for job in &jobs {
        worker.pool.cancel(job.id, job.token);
    }
    for job in &jobs {
        let ended = worker.end_of(job.id).await;
        assert_eq!(ended.outcome, cancelled("stopped with its runner"));
        assert!(!lives(ended.runner_pid.unwrap()));
    }
    worker.close().await;
}

#[tokio::test]
async fn one_of_many_async_jobs_is_stopped_alone() {
    let project = Project::with_tasks(TASKS);
    let mut config = project.config();
    config.processes = 1;
    let mut worker = Worker::start(config).await;
    let first = running(&mut worker, &project, "wait").await;
    std::fs::remove_file(project.path("wait")).unwrap();
    let second = running(&mut worker, &project, "wait").await;
    worker.pool.cancel(first.id, first.token);
    assert_eq!(worker.end_of(first.id).await.outcome, cancelled("when it was asked to stop"));
    assert!(!worker.ended.contains_key(&second.id));
    worker.pool.cancel(second.id, second.token);
    assert_eq!(worker.end_of(second.id).await.outcome, cancelled("when it was asked to stop"));
    worker.close().await;
}

#[tokio::test]
async fn a_job_cancelled_before_it_started_never_runs_and_one_that_ran_was_not() {
    let project = Project::with_tasks(TASKS);
    let mut worker = Worker::start(project.config()).await;
    let mut jobs = Vec::new();
    for round in 0..40_usize {
        for _ in 0..20 {
            jobs.push(worker.run_with("note", &format!("[{}]", jobs.len()), "{}"));
        }
        // A little later every round, so that every moment of a job's life is met.
        let some = jobs.len() - 20 + round % 20;
        worker.until("some have ended", |worker| worker.ended.len() >= some).await;
        for job in &jobs[jobs.len() - 20..] {
            worker.pool.cancel(job.id, job.token);
        }
    }
    worker.until("all have ended", |worker| worker.ended.len() == jobs.len()).await;
    worker.close_first().await;
    let notes = std::fs::read_to_string(project.path("notes")).unwrap();
    let ran: Vec<usize> = notes.lines().map(|line| line.parse().unwrap()).collect();
    let mut before = 0;
    for (number, job) in jobs.iter().enumerate() {
        let times = ran.iter().filter(|noted| **noted == number).count();
        let outcome = &worker.ended[&job.id].outcome;
        if *outcome == cancelled("before it started") {
            before += 1;
            assert_eq!(times, 0, "{number} ran");
        } else if *outcome == cancelled("when it was asked to stop") {
            assert!(times <= 1, "{number} ran {times} times");
        } else {
            assert_eq!((times, outcome), (1, &returned("null")), "{number}");
        }
    }
    println!("{before} of {} were cancelled before they started", jobs.len());
    assert!(before > 0);
}
