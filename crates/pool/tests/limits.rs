//! Time and memory have their limits, whatever a handler does.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

mod common;

use std::time::{Duration, Instant};

use common::{Project, Worker, lives, returned};
use gristmill_core::{Outcome, Reason};
use gristmill_engine::Executor;

const TASKS: &str = r#"
import asyncio, collections, itertools, mmap

@task
def pid(): return os.getpid()

@task
def spin():
    while True:
        pass

@task
def sleep(): time.sleep(600)

@task
def in_c():
    "Never comes back to the interpreter, which is where signal handlers run."
    collections.deque(itertools.repeat(0), maxlen=0)

@task
def swallow():
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass

@task
def deaf():
    for number in signal.valid_signals():
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    while True:
        pass

@task
async def wait(): await asyncio.sleep(600)

@task
async def block(): time.sleep(600)

@task
def hoard():
    hoarded = []
    while True:
        hoarded.append(bytearray(1024 * 1024))

@task
def share():
    "Memory that only its being resident tells of."
    shared = mmap.mmap(-1, 1 << 30)
    for page in range(0, len(shared), 4096):
        shared[page] = 1
        if page % (1 << 22) == 0:
            time.sleep(0.001)
    time.sleep(600)

@task
def grow():
    global kept
    kept = bytearray(b"x" * (200 << 20))
    return os.getpid()
"#;

async fn start(project: &Project, processes: usize) -> Worker {
    let mut config = project.config();
    config.processes = processes;
    Worker::start(config).await
}

/// The reason of a failure, its class, and the runner's process.
async fn failure(worker: &mut Worker, task: &str, options: &str) -> (Reason, String, u32) {
    let id = worker.run_with(task, "[]", options).id;
    let ended = worker.end_of(id).await;
    let Outcome::Failed { reason, exception_class_path, classes, .. } = &ended.outcome else {
        panic!("{task}: {:?}", ended.outcome)
    };
    assert_eq!(classes.first(), Some(exception_class_path));
    assert!(classes.contains(&"builtins.Exception".to_owned()), "{classes:?}");
    (*reason, exception_class_path.clone(), ended.runner_pid.unwrap())
}

#[tokio::test]
async fn a_handler_that_listens_ends_in_time_and_its_runner_lives_on() {
    let project = Project::with_tasks(TASKS);
    let mut worker = start(&project, 1).await;
    for task in ["spin", "sleep", "wait"] {
        let started = Instant::now();
        let (reason, class, pid) = failure(&mut worker, task, r#"{"timeout": 0.3}"#).await;
        assert_eq!((reason, class.as_str()), (Reason::Timeout, "gristmill.exceptions.TimedOut"), "{task}");
        assert!(started.elapsed() >= Duration::from_millis(300));
        assert_eq!(worker.outcome("pid", "[]").await, returned(&pid.to_string()), "{task}");
    }
    worker.close().await;
}

#[tokio::test]
async fn a_handler_that_does_not_listen_is_killed_with_its_runner() {
    let project = Project::with_tasks(TASKS);
    let mut worker = start(&project, 4).await;
    let started = Instant::now();
    let tasks = ["in_c", "swallow", "deaf", "block"];
    let ids = tasks.map(|task| worker.run_with(task, "[]", r#"{"timeout": 0.3}"#).id);
    for (task, id) in tasks.iter().zip(ids) {
        let ended = worker.end_of(id).await;
        let Outcome::Failed { reason: Reason::Timeout, exception_class_path, traceback, .. } = &ended.outcome else {
            panic!("{task}: {:?}", ended.outcome)
        };
        assert_eq!(exception_class_path, "gristmill.exceptions.TimedOut");
        assert!(traceback.contains("its runner was killed"), "{task}: {traceback}");
        assert!(!lives(ended.runner_pid.unwrap()), "{task}");
    }
    assert!(started.elapsed() >= Duration::from_millis(2_300));
    worker.until("there is room", |worker| worker.pool.room() > 0).await;
    assert!(matches!(worker.outcome("pid", "[]").await, Outcome::Successful { .. }));
    worker.close().await;
}

#[tokio::test]
async fn memory_over_the_limit_ends_a_handler_by_itself_or_with_its_runner() {
    let project = Project::with_tasks(TASKS);
    let mut worker = start(&project, 1).await;
    let (reason, class, pid) = failure(&mut worker, "hoard", r#"{"max_memory_mb": 150}"#).await;
    assert_eq!((reason, class.as_str()), (Reason::Memory, "builtins.MemoryError"));
    assert!(lives(pid));
    let (reason, class, pid) = failure(&mut worker, "share", r#"{"max_memory_mb": 150}"#).await;
    assert_eq!((reason, class.as_str()), (Reason::Memory, "gristmill.exceptions.OutOfMemory"));
    assert!(!lives(pid));
    worker.close().await;
}

#[tokio::test]
async fn a_runner_that_a_job_leaves_too_big_is_replaced() {
    let project = Project::with_tasks(TASKS);
    let mut config = project.config();
    config.processes = 1;
    config.max_runner_memory_mb = Some(150);
    let mut worker = Worker::start(config).await;
    let Outcome::Successful { return_value: big } = worker.outcome("grow", "[]").await else { panic!("it grows") };
    worker.until("the big one ends", |_| !lives(big.parse().unwrap())).await;
    worker.until("there is room", |worker| worker.pool.room() > 0).await;
    let first = worker.outcome("pid", "[]").await;
    assert_ne!(first, returned(&big));
    // The next one is small, and stays.
    assert_eq!(worker.outcome("pid", "[]").await, first);
    worker.close().await;
}
