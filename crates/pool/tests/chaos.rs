//! Whatever happens to runners, every job ends once, and one that was given back has not run.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

mod common;

use std::collections::HashMap;

use common::{Project, Worker, processes_of, returned};
use gristmill_core::{JobId, Outcome, Reason};
use gristmill_engine::Executor;

const TASKS: &str = r#"
import asyncio
from pathlib import Path

HERE = Path(__file__).parent.parent

def note(number):
    with open(HERE / "notes", "a") as notes:
        notes.write(f"{number}\n")

@task
def quick(number): note(number)

@task
def slow(number):
    note(number)
    time.sleep(0.08)

@task
def deadly(number):
    note(number)
    os.kill(os.getpid(), 9)

@task
def wrecked(number):
    note(number)
    os.closerange(3, 4096)

@task
def late(number):
    note(number)
    time.sleep(600)

@task
async def async_quick(number): note(number)

@task
async def async_slow(number):
    note(number)
    await asyncio.sleep(0.08)

@task
async def async_deadly(number):
    note(number)
    os.kill(os.getpid(), 9)
"#;

/// A small linear congruential generator: the same mishaps in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

#[tokio::test]
async fn every_job_ends_once_whatever_happens_to_its_runner() {
    let project = Project::with_tasks(TASKS);
    let mut config = project.config();
    config.processes = 3;
    config.max_jobs_per_runner = Some(50);
    let mut worker = Worker::start(config).await;
    let mut dice = Dice(7);
    let mut newest = Vec::new();
    let mut jobs: HashMap<JobId, (usize, &str)> = HashMap::new();
    while jobs.len() < 1_500 {
        for _ in 0..dice.roll(30) {
            let task = match dice.roll(100) {
                0 => "deadly",
                1 => "wrecked",
                2 => "async_deadly",
                3 => "late",
                4..8 => "slow",
                8..20 => "async_slow",
                20..40 => "async_quick",
                _ => "quick",
            };
            let number = jobs.len();
            let options = if task == "late" { r#"{"timeout": 0.1}"# } else { "{}" };
            let claimed = worker.run_with(task, &format!("[{number}]"), options);
            jobs.insert(claimed.id, (number, task));
            newest.push(claimed);
        }
        let enough = jobs.len().saturating_sub(usize::try_from(dice.roll(40)).unwrap());
        worker.until("enough have ended", |worker| worker.ended.len() >= enough).await;
        match dice.roll(12) {
            0..3 => worker.pool.recall(),
            3 => worker.pool.interrupt(),
            4..7 => {
                for job in newest.iter().rev().take(usize::try_from(dice.roll(10)).unwrap()) {
                    worker.pool.cancel(job.id, job.token);
                }
            }
            _ => {}
        }
    }
    worker.until("all have ended", |worker| worker.ended.len() == jobs.len()).await;
    worker.close_first().await;
    assert_eq!(processes_of(&project), Vec::<u32>::new());

    let mut runs: HashMap<usize, usize> = HashMap::new();
    for line in std::fs::read_to_string(project.path("notes")).unwrap().lines() {
        *runs.entry(line.parse().unwrap()).or_default() += 1;
    }
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for (id, (number, task)) in &jobs {
        let outcome = &worker.ended[id].outcome;
        *counts.entry(outcome.word()).or_default() += 1;
        let ran = runs.get(number).copied().unwrap_or(0);
        match outcome {
            Outcome::HandedBack => assert_eq!(ran, 0, "{number} ({task}) was given back and ran"),
            Outcome::Cancelled { how } if how == "before it started" => {
                assert_eq!(ran, 0, "{number} ({task}) was cancelled before it started and ran");
            }
            // Cut short between its start and its first line, perhaps.
            Outcome::Interrupted | Outcome::Cancelled { .. } => {
                assert!(ran <= 1, "{number} ({task}) ran {ran} times");
            }
            Outcome::Crashed { .. } if task.starts_with("async") => {
                assert!(ran <= 1, "{number} ({task}) ran {ran} times");
            }
            Outcome::Crashed { .. } => {
                assert!(ran == 1 && matches!(*task, "deadly" | "wrecked"), "{number} ({task}) crashed");
            }
            Outcome::Failed { reason: Reason::Timeout, .. } => assert!(ran <= 1 && *task == "late"),
            other => assert!(ran == 1 && *other == returned("null"), "{number} ({task}): {other:?}"),
        }
    }
    println!("{counts:?}");
}
