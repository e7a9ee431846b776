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
fork = os.fork

def bounded_fork():
    "As under a limit of processes that has been reached, while there is a file that says so."
    if (HERE / "full").exists():
        with open(HERE / "full", "a") as failures:
            failures.write("x")
        raise BlockingIOError(11, "Resource temporarily unavailable")
    return fork()

os.fork = bounded_fork

@task
def pid(): return os.getpid()

@task
def leave(): os._exit(4)

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
def start_others(end="wait"):
    "Starts programs in the runner's process group and outside of it, one of which no longer has a parent here."
    there = HERE / "detached"
    detach = f"sleep 600 & echo $! > {there}.new; mv {there}.new {there}"
    children = [
        subprocess.Popen(["sleep", "600"]),
        subprocess.Popen(["sleep", "600"], start_new_session=True),
        subprocess.Popen(["sh", "-c", "sleep 600 & wait"], start_new_session=True),
    ]
    subprocess.run(["setsid", "sh", "-c", detach])
    while not there.exists(): time.sleep(0.001)
    pids = [os.getpid(), os.getppid(), *(child.pid for child in children), int(there.read_text())]
    (HERE / "new").write_text(" ".join(map(str, pids)))
    (HERE / "new").rename(HERE / "started")
    if end == "leave":
        os._exit(5)
    time.sleep(600)

@task
def start_others_deaf():
    try:
        start_others.func()
    except Exception:
        time.sleep(600)

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

/// The processes of a job that starts others: the zygote's is left out.
async fn others(worker: &mut Worker, project: &Project) -> Vec<u32> {
    worker.until("they are started", |_| project.path("started").exists()).await;
    let mut pids = pids_in(project, "started");
    pids.remove(1);
    assert!(pids.iter().all(|pid| lives(*pid)));
    pids
}

#[tokio::test]
async fn when_the_zygote_is_killed_no_process_of_a_job_lives_on_into_its_next_run() {
    let project = Project::with_tasks(TASKS);
    let mut worker = Worker::start(project.config()).await;
    let job = worker.run("start_others", "[]");
    let pids = others(&mut worker, &project).await;
    kill(pids_in(&project, "started")[1]);
    assert_eq!(worker.end_of(job).await.outcome, common::crash("the zygote died"));
    // At the moment at which it may run again.
    assert_eq!(pids.into_iter().filter(|pid| lives(*pid)).collect::<Vec<_>>(), Vec::<u32>::new());
    worker.until("there is room again", |worker| worker.pool.room() > 0).await;
    assert!(matches!(worker.outcome("pid", "[]").await, Outcome::Successful { .. }));
    worker.close().await;
    assert_eq!(processes_of(&project), Vec::<u32>::new());
}

#[tokio::test]
async fn no_process_of_a_job_outlives_its_runner_however_that_ends() {
    for how in ["a crash", "a timeout", "a lapse", "an interruption"] {
        let project = Project::with_tasks(TASKS);
        let mut worker = Worker::start(project.config()).await;
        worker.vouch(60.0);
        let options = if how == "a timeout" { r#"{"timeout": 10}"# } else { "{}" };
        let task = if how == "a timeout" { "start_others_deaf" } else { "start_others" };
        let job = worker.run_with(task, if how == "a crash" { r#"["leave"]"# } else { "[]" }, options).id;
        let bystander = worker.run("spin", "[]");
        worker.until("it spins", |_| project.path("spinning").exists()).await;
        worker.until("they are started", |_| project.path("started").exists()).await;
        match how {
            "a lapse" => worker.vouch(0.0),
            "an interruption" => worker.pool.interrupt(),
            _ => {}
        }
        worker.end_of(job).await;
        let pids = pids_in(&project, "started");
        let left: Vec<u32> = pids.iter().copied().filter(|pid| lives(*pid) && *pid != pids[1]).collect();
        assert_eq!(left, Vec::<u32>::new(), "{how}");
        assert!(lives(pids[1]), "the zygote");
        if how == "a crash" || how == "a timeout" {
            assert!(!worker.ended.contains_key(&bystander), "{how}");
        }
        worker.close().await;
        assert_eq!(processes_of(&project), Vec::<u32>::new());
    }
}

#[tokio::test]
async fn what_a_living_runner_has_started_is_not_touched_when_another_one_ends() {
    let project = Project::with_tasks(TASKS);
    let mut worker = Worker::start(project.config()).await;
    let job = worker.run("start_others", "[]");
    let pids = others(&mut worker, &project).await;
    assert_eq!(worker.outcome("leave", "[]").await, common::crash("exit status 4"));
    assert!(pids.iter().all(|pid| lives(*pid)));
    assert!(!worker.ended.contains_key(&job));
    worker.close().await;
    assert_eq!(processes_of(&project), Vec::<u32>::new());
}

#[tokio::test]
async fn a_fork_that_fails_is_waited_out_and_costs_no_job_anything() {
    let project = Project::with_tasks(TASKS);
    let mut worker = Worker::start(project.config()).await;
    let Outcome::Successful { return_value: zygote } = worker.outcome("parent", "[]").await else { panic!() };
    let bystander = worker.run("spin", "[]");
    worker.until("it spins", |_| project.path("spinning").exists()).await;
    project.write("full", "");
    assert_eq!(worker.outcome("leave", "[]").await, common::crash("exit status 4"));
    let waits = worker.run("parent", "[]");
    worker
        .until("a fork has failed again and again", |_| {
            std::fs::read_to_string(project.path("full")).is_ok_and(|failures| failures.len() >= 3)
        })
        .await;
    assert!(!worker.ended.contains_key(&bystander) && worker.broken.is_none());
    // No runner was free for it: uncharged.
    assert_eq!(worker.end_of(waits).await.outcome, Outcome::HandedBack);
    std::fs::remove_file(project.path("full")).unwrap();
    worker.until("there is room again", |worker| worker.pool.room() > 0).await;
    assert_eq!(worker.outcome("parent", "[]").await, returned(&zygote));
    assert!(!worker.ended.contains_key(&bystander));
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
            assert!(killed.elapsed() < Duration::from_secs(10), "they live on: {pids:?}");
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
