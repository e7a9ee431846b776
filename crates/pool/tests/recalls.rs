//! What has not started can be taken back; what has started cannot.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

mod common;

use std::collections::HashSet;

use common::{Project, Worker, returned};
use gristmill_core::Outcome;
use gristmill_engine::Executor;

const TASKS: &str = r#"
from pathlib import Path

HERE = Path(__file__).parent.parent

@task
def note(number):
    with open(HERE / "notes", "a") as notes:
        notes.write(f"{number}\n")

@task
def wait_for(name, seconds=0):
    while not (HERE / name).exists():
        time.sleep(0.001)
"#;

#[tokio::test]
async fn a_recalled_job_never_runs_and_a_job_that_runs_was_not_recalled() {
    let project = Project::with_tasks(TASKS);
    let mut worker = Worker::start(project.config()).await;
    let mut ids = Vec::new();
    for round in 0..60_usize {
        for _ in 0..40 {
            let number = ids.len();
            ids.push(worker.run("note", &format!("[{number}]")));
        }
        // A little later every round, so that every moment of a job's life is met.
        let some = ids.len() - 40 + round % 40;
        worker.until("some have ended", |worker| worker.ended.len() >= some).await;
        worker.pool.recall();
    }
    worker.until("all have ended", |worker| worker.ended.len() == ids.len()).await;
    worker.close_first().await;
    let notes = std::fs::read_to_string(project.path("notes")).unwrap();
    let mut ran = HashSet::new();
    for line in notes.lines() {
        assert!(ran.insert(line.parse::<usize>().unwrap()), "{line} ran twice");
    }
    let mut given_back = 0;
    for (number, id) in ids.iter().enumerate() {
        match &worker.ended[id].outcome {
            Outcome::HandedBack => {
                given_back += 1;
                assert!(!ran.contains(&number), "{number} was given back and ran");
            }
            outcome => {
                assert_eq!(*outcome, returned("null"));
                assert!(ran.contains(&number), "{number} did not run");
            }
        }
    }
    println!("{given_back} of {} were given back", ids.len());
    assert!(given_back > 0);
}

#[tokio::test]
async fn a_job_behind_one_that_turns_out_long_moves_to_an_idle_runner() {
    let project = Project::with_tasks(TASKS);
    project.write("quick", "");
    let mut worker = Worker::start(project.config()).await;
    // The pool learns that this task is short, and sends many ahead.
    for _ in 0..50 {
        assert_eq!(worker.outcome("wait_for", "[\"quick\"]").await, returned("null"));
    }
    let long = worker.run("wait_for", "[\"slow\"]");
    let short: Vec<_> = (0..10).map(|_| worker.run("wait_for", "[\"quick\"]")).collect();
    for id in short {
        assert_eq!(worker.end_of(id).await.outcome, returned("null"));
    }
    assert!(!worker.ended.contains_key(&long));
    project.write("slow", "");
    assert_eq!(worker.end_of(long).await.outcome, returned("null"));
    worker.close().await;
}

#[tokio::test]
async fn nothing_waits_behind_a_long_job_for_long() {
    let project = Project::with_tasks(TASKS);
    let mut config = project.config();
    config.processes = 1;
    let mut worker = Worker::start(config).await;
    let long = worker.run("wait_for", "[\"slow\"]");
    let other = worker.run("note", "[1]");
    // Another worker may be idle, so it goes back.
    assert_eq!(worker.end_of(other).await.outcome, Outcome::HandedBack);
    assert_eq!(worker.pool.room(), 0);
    project.write("slow", "");
    assert_eq!(worker.end_of(long).await.outcome, returned("null"));
    worker.close().await;
}

#[tokio::test]
async fn an_interrupt_ends_what_runs_and_gives_back_the_rest() {
    let project = Project::with_tasks(TASKS);
    let mut worker = Worker::start(project.config()).await;
    let running = [worker.run("wait_for", "[\"never\"]"), worker.run("wait_for", "[\"never\"]")];
    let waiting: Vec<_> = (0..5).map(|number| worker.run("note", &format!("[{number}]"))).collect();
    worker.until("two run", |worker| worker.pool.room() == 0).await;
    worker.pool.interrupt();
    for id in waiting {
        assert_eq!(worker.end_of(id).await.outcome, Outcome::HandedBack);
    }
    for id in running {
        let outcome = &worker.end_of(id).await.outcome;
        // One that had not begun yet goes back untouched.
        assert!(matches!(outcome, Outcome::Interrupted | Outcome::HandedBack), "{outcome:?}");
    }
    // It goes on with new runners.
    assert_eq!(worker.outcome("note", "[7]").await, returned("null"));
    worker.close().await;
}
