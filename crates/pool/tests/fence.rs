//! Nothing runs that nobody vouches for.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Project, Worker, lives, processes_of, returned};
use gristmill_core::Outcome;
use gristmill_engine::Executor;
use gristmill_engine::executor::Event;
use gristmill_pool::{Error, Pool};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;

const TASKS: &str = r#"
from pathlib import Path

HERE = Path(__file__).parent.parent

@task
def pid(): return os.getpid()

@task
def parent(): return os.getppid()

@task
def c_loop():
    "Holds the interpreter in C code for minutes, where no signal handler of Python's runs."
    import re
    child = subprocess.Popen(["sleep", "600"])
    (HERE / "new").write_text(f"{os.getpid()} {os.getppid()} {child.pid}")
    (HERE / "new").rename(HERE / "looping")
    re.match(r"(a*)*b", "a" * 60)

@task
def spin():
    (HERE / "new").write_text(f"{os.getpid()} {os.getppid()}")
    (HERE / "new").rename(HERE / "spinning")
    while True:
        pass
"#;

fn pids_in(project: &Project, name: &str) -> Vec<u32> {
    let text = std::fs::read_to_string(project.path(name)).unwrap();
    text.split(' ').map(|pid| pid.parse().unwrap()).collect()
}

fn kill(pid: u32) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_lapsed_lease_kills_the_runners_and_spares_the_zygote() {
    let project = Project::with_tasks(TASKS);
    let mut worker = Worker::start(project.config()).await;
    worker.vouch(60.0);
    let Outcome::Successful { return_value: zygote } = worker.outcome("parent", "[]").await else { panic!() };
    let job = worker.run("spin", "[]");
    worker.until("it spins", |_| project.path("spinning").exists()).await;
    let runner = pids_in(&project, "spinning")[0];
    let lapse = Instant::now() + Duration::from_millis(300);
    worker.vouch(0.3);
    // Extensions count: this one comes in time.
    worker.vouch(0.6);
    assert_eq!(worker.end_of(job).await.outcome, Outcome::Interrupted);
    assert!(Instant::now() >= lapse + Duration::from_millis(300));
    assert!(!lives(runner));
    assert!(lives(zygote.parse().unwrap()));
    // The idle one has gone too, and no runner comes up before there is a lease again.
    worker.until("there is no room", |worker| worker.pool.room() == 0).await;
    worker.vouch(60.0);
    assert_eq!(worker.outcome("parent", "[]").await, returned(&zygote));
    worker.close().await;
}

#[tokio::test]
async fn when_the_zygote_dies_what_ran_has_crashed_and_there_is_a_new_one() {
    let project = Project::with_tasks(TASKS);
    let mut worker = Worker::start(project.config()).await;
    let job = worker.run("spin", "[]");
    worker.until("it spins", |_| project.path("spinning").exists()).await;
    let pids = pids_in(&project, "spinning");
    kill(pids[1]);
    assert_eq!(worker.end_of(job).await.outcome, common::crash("the zygote died"));
    worker.until("the runner is dead", |_| !lives(pids[0])).await;
    worker.until("there is room again", |worker| worker.pool.room() > 0).await;
    assert!(matches!(worker.outcome("pid", "[]").await, Outcome::Successful { .. }));
    worker.close().await;
}

/// A worker in a process of its own: runs one job and waits for its end. Not a test by itself.
#[tokio::test]
#[ignore = "started by the tests below"]
async fn a_worker_to_kill() {
    let Ok(folder) = std::env::var("GRISTMILL_TEST_PROJECT") else { return };
    let project = std::mem::ManuallyDrop::new(Project { folder: folder.into() });
    let mut worker = Worker::start(project.config()).await;
    let job = worker.run(&std::env::var("GRISTMILL_TEST_TASK").unwrap(), "[]");
    worker.end_of(job).await;
}

#[tokio::test]
async fn the_death_of_the_worker_kills_a_runner_that_sits_in_c_code() {
    for task in ["c_loop", "spin"] {
        let mark = if task == "spin" { "spinning" } else { "looping" };
        let project = Project::with_tasks(TASKS);
        let mut worker = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "a_worker_to_kill", "--nocapture"])
            .env("GRISTMILL_TEST_PROJECT", &project.folder)
            .env("GRISTMILL_TEST_TASK", task)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(worker.stdout.take().unwrap()).lines();
        drop(lines.next());
        while !project.path(mark).exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let pids = pids_in(&project, mark);
        assert!(pids.iter().all(|pid| lives(*pid)));
        worker.kill().unwrap();
        worker.wait().unwrap();
        let killed = Instant::now();
        while pids.iter().any(|pid| lives(*pid)) {
            assert!(killed.elapsed() < Duration::from_secs(1), "they live on: {pids:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        println!("{task}: dead {:?} after the worker", killed.elapsed());
    }
}

#[tokio::test]
async fn a_project_that_cannot_be_imported_is_told_in_one_sentence() {
    for (tasks, message) in [
        ("x\n", "cannot import shop.tasks: NameError: name 'x' is not defined (shop/tasks.py, line 4)"),
        (
            "import nowhere\n",
            "cannot import shop.tasks: ModuleNotFoundError: No module named 'nowhere' (shop/tasks.py, line 4)",
        ),
        ("def f(:\n", "cannot import shop.tasks: SyntaxError: invalid syntax (shop/tasks.py, line 4)"),
        (
            "import threading\nthreading.Thread(target=time.sleep, args=(600,), name='metrics', daemon=True).start()\n",
            "cannot fork runners while other threads run: metrics; start them in the task or after the fork \
             (os.register_at_fork), not at import",
        ),
    ] {
        let project = Project::with_tasks(tasks);
        match Pool::start(project.config(), watch::channel(None).1).await {
            Err(Error::Import { message: told, .. }) => assert_eq!(told, message),
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("it was imported"),
        }
        assert_eq!(processes_of(&project), Vec::<u32>::new());
    }
}

#[tokio::test]
async fn runners_that_die_before_they_can_work_charge_no_job_and_are_reported() {
    let project = Project::with_tasks(
        "@task\ndef noop(): pass\n\nif (pathlib := __import__('pathlib')).Path(__file__).parent.joinpath('deadly').exists():\n    os.register_at_fork(after_in_child=lambda: os._exit(7))\n",
    );
    project.write("shop/deadly", "");
    let (_lease, watched) = watch::channel(None);
    let mut pool = Pool::start(project.config(), watched).await.unwrap();
    let mut events = Vec::new();
    while events.is_empty() {
        pool.events(&mut events).await;
    }
    match &events[0] {
        Event::Broken(why) => assert_eq!(why, "runners die before they can work: exit status 7"),
        other => panic!("{other:?}"),
    }
    pool.close().await;
}

#[tokio::test]
async fn a_changed_source_file_is_picked_up_and_a_broken_one_waits_for_the_next_change() {
    let project = Project::with_tasks("@task\ndef answer(): return 1\n");
    let mut config = project.config();
    config.reload = true;
    let mut worker = Worker::start(config).await;
    assert_eq!(worker.outcome("answer", "[]").await, returned("1"));
    project.write_tasks("@task\ndef answer(): return 2\n\n@task\ndef more(): pass\n");
    worker.until("the new task is known", |worker| worker.pool.tasks().len() == 2).await;
    worker.until("there is room", |worker| worker.pool.room() > 0).await;
    assert_eq!(worker.outcome("answer", "[]").await, returned("2"));
    project.write_tasks("@task\ndef answer(: return 2\n");
    worker.until("nothing is claimed", |worker| worker.pool.room() == 0).await;
    project.write_tasks("@task\ndef answer(): return 3\n");
    worker.until("there is room", |worker| worker.pool.room() > 0).await;
    assert_eq!(worker.outcome("answer", "[]").await, returned("3"));
    worker.close().await;
    assert_eq!(processes_of(&project), Vec::<u32>::new());
}
