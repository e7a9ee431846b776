//! Handlers that kill, wreck or mistreat their process cost their own job and nothing else.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

mod common;

use common::{Project, Worker, crash, lives, processes_of, returned};
use gristmill_core::{Outcome, Reason};
use gristmill_engine::Executor;

const TASKS: &str = r#"
from pathlib import Path

HERE = Path(__file__).parent.parent

@task
def noop(): pass

@task
def signal_self(number): os.kill(os.getpid(), number)

@task
def leave(status): os._exit(status)

@task
def sys_exit(): sys.exit("enough")

@task
def interrupted(): raise KeyboardInterrupt

@task
def close_descriptors(): os.closerange(3, 4096)

@task
def take_the_descriptor():
    "Closes the worker's socket and lets a file have its number."
    os.closerange(3, 4096)
    for number in range(3, 40):
        os.dup2(os.open(HERE / "stolen", os.O_RDWR | os.O_CREAT), number)

@task
def lie():
    "Writes nonsense to every socket it can find."
    import socket
    for number in range(3, 64):
        try:
            socket.socket(fileno=os.dup(number)).send(b"\xff" * 64)
        except OSError:
            pass
    time.sleep(60)

@task
def claim_anothers_job():
    import socket
    from gristmill.runner.frame import pack_job
    for number in range(3, 64):
        try:
            socket.socket(fileno=os.dup(number)).send(pack_job(ord("D"), bytes(16), 1, b"null"))
        except OSError:
            pass
    time.sleep(60)

@task
def huge(): return "x" * (17 * 1024 * 1024)

@task
def not_json(): return {"items": [1, {2}]}

@task
def recurse(): return recurse.func()

@task
def deaf():
    for number in signal.valid_signals():
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    mark("deaf")
    while True:
        pass

@task
def leave_a_child():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    mark("child", child.pid)
    os._exit(3)

@task
def fork_and_return():
    if os.fork() == 0:
        # The child comes back from the handler too, and must not speak for the runner.
        return "child"
    os.wait()
    return "parent"

@task
def stop_a_child():
    child = subprocess.Popen(["sleep", "60"])
    child.terminate()
    import multiprocessing
    forked = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    forked.start()
    forked.terminate()
    forked.join()
    return [child.wait(), forked.exitcode]

@task
def hold():
    mark("hold", os.getpid())
    time.sleep(600)

def mark(name, content="x"):
    (HERE / "new").write_text(str(content))
    (HERE / "new").rename(HERE / name)
"#;

async fn start(project: &Project, processes: usize) -> Worker {
    let mut config = project.config();
    config.processes = processes;
    Worker::start(config).await
}

async fn marked(worker: &mut Worker, project: &Project, name: &str) -> u32 {
    worker.until(name, |_| project.path(name).exists()).await;
    std::fs::read_to_string(project.path(name)).unwrap().parse().unwrap_or(0)
}

async fn still_works(worker: &mut Worker) {
    assert_eq!(worker.outcome("noop", "[]").await, returned("null"));
}

#[tokio::test]
async fn a_runner_that_is_killed_mid_job_is_a_crash_with_its_signal() {
    let project = Project::with_tasks(TASKS);
    let mut worker = start(&project, 1).await;
    let id = worker.run("hold", "[]");
    let pid = marked(&mut worker, &project, "hold").await;
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let ended = worker.end_of(id).await;
    assert_eq!(ended.outcome, crash("signal 9 (SIGKILL)"));
    assert_eq!(ended.runner_pid, Some(pid.as_raw_nonzero().get().cast_unsigned()));
    still_works(&mut worker).await;
    worker.close().await;
}

#[tokio::test]
async fn an_end_without_a_result_is_a_crash_whatever_its_status() {
    let project = Project::with_tasks(TASKS);
    let mut worker = start(&project, 1).await;
    assert_eq!(worker.outcome("leave", "[0]").await, crash("exit status 0"));
    assert_eq!(worker.outcome("leave", "[3]").await, crash("exit status 3"));
    assert_eq!(worker.outcome("signal_self", "[11]").await, crash("signal 11 (SIGSEGV)"));
    assert_eq!(worker.outcome("signal_self", "[6]").await, crash("signal 6 (SIGABRT)"));
    still_works(&mut worker).await;
    worker.close().await;
}

#[tokio::test]
async fn signals_that_ask_a_runner_to_end_do_nothing() {
    let project = Project::with_tasks(TASKS);
    let mut worker = start(&project, 1).await;
    for number in ["[1]", "[2]", "[3]", "[15]"] {
        assert_eq!(worker.outcome("signal_self", number).await, returned("null"));
    }
    worker.close().await;
}

#[tokio::test]
async fn exits_and_interrupts_raised_by_a_handler_are_failures_and_the_runner_lives_on() {
    let project = Project::with_tasks(TASKS);
    let mut worker = start(&project, 1).await;
    let mut pids = Vec::new();
    for (task, class) in [
        ("sys_exit", "builtins.SystemExit"),
        ("interrupted", "builtins.KeyboardInterrupt"),
        ("recurse", "builtins.RecursionError"),
    ] {
        let id = worker.run(task, "[]");
        let ended = worker.end_of(id).await;
        pids.push(ended.runner_pid.unwrap());
        let Outcome::Failed { exception_class_path, .. } = &ended.outcome else { panic!("{:?}", ended.outcome) };
        assert_eq!(exception_class_path, class);
    }
    pids.dedup();
    assert_eq!(pids.len(), 1);
    worker.close().await;
}

#[tokio::test]
async fn a_result_that_is_too_big_or_not_json_is_a_bad_result() {
    let project = Project::with_tasks(TASKS);
    let mut worker = start(&project, 1).await;
    for (task, words) in [("huge", "result: "), ("not_json", "result.items[1]: set is not JSON")] {
        match worker.outcome(task, "[]").await {
            Outcome::Failed { reason: Reason::BadResult, traceback, .. } => {
                assert!(traceback.contains(words), "{traceback}");
            }
            other => panic!("{other:?}"),
        }
    }
    still_works(&mut worker).await;
    worker.close().await;
}

#[tokio::test]
async fn closing_every_descriptor_is_a_crash() {
    let project = Project::with_tasks(TASKS);
    let mut worker = start(&project, 1).await;
    for task in ["close_descriptors", "take_the_descriptor"] {
        match worker.outcome(task, "[]").await {
            Outcome::Crashed { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(std::fs::read(project.path("stolen")).unwrap(), b"");
    still_works(&mut worker).await;
    worker.close().await;
}

#[tokio::test]
async fn a_runner_that_breaks_the_protocol_is_killed_and_only_it() {
    let project = Project::with_tasks(TASKS);
    let mut worker = start(&project, 2).await;
    let bystander = worker.run("hold", "[]");
    let pid = marked(&mut worker, &project, "hold").await;
    for task in ["lie", "claim_anothers_job"] {
        match worker.outcome(task, "[]").await {
            Outcome::Crashed { how } => assert!(how.starts_with("it broke the worker's protocol"), "{how}"),
            other => panic!("{other:?}"),
        }
    }
    still_works(&mut worker).await;
    assert!(lives(pid) && !worker.ended.contains_key(&bystander));
    worker.pool.interrupt();
    assert_eq!(worker.end_of(bystander).await.outcome, Outcome::Interrupted);
    worker.close().await;
}

#[tokio::test]
async fn arguments_that_are_not_json_fail_their_job_only() {
    let project = Project::with_tasks(TASKS);
    let mut worker = start(&project, 1).await;
    for args in ["[", "{}", "[], \"task\": \"os.system\"", "[]}", "\u{0}", "3"] {
        let outcome = worker.outcome("noop", args).await;
        // What comes after the first value is overruled by the keys that follow.
        let harmless = args == "[], \"task\": \"os.system\"" && outcome == returned("null");
        assert!(harmless || matches!(outcome, Outcome::Failed { reason: Reason::Error, .. }), "{args}: {outcome:?}");
    }
    still_works(&mut worker).await;
    worker.close().await;
}

#[tokio::test]
async fn a_name_that_is_not_registered_is_given_back_and_never_imported() {
    let project = Project::with_tasks(TASKS);
    project.write("bait.py", "raise SystemExit('imported')");
    let mut worker = start(&project, 1).await;
    for name in ["nothing", "os.system", "HERE", "__init__", "../bait"] {
        assert_eq!(worker.outcome(name, "[]").await, Outcome::HandedBack);
    }
    still_works(&mut worker).await;
    worker.close().await;
}

#[tokio::test]
async fn a_task_that_ignores_every_signal_is_still_interrupted() {
    let project = Project::with_tasks(TASKS);
    let mut worker = start(&project, 1).await;
    let id = worker.run("deaf", "[]");
    marked(&mut worker, &project, "deaf").await;
    worker.pool.interrupt();
    assert_eq!(worker.end_of(id).await.outcome, Outcome::Interrupted);
    worker.close().await;
}

#[tokio::test]
async fn what_a_runner_leaves_behind_in_its_process_group_dies_with_it() {
    let project = Project::with_tasks(TASKS);
    let mut worker = start(&project, 1).await;
    let id = worker.run("leave_a_child", "[]");
    assert_eq!(worker.end_of(id).await.outcome, crash("exit status 3"));
    let child = marked(&mut worker, &project, "child").await;
    worker.until("the child is dead", |_| !lives(child)).await;
    worker.close().await;
}

#[tokio::test]
async fn a_process_that_a_handler_forks_cannot_speak_for_the_runner() {
    let project = Project::with_tasks(TASKS);
    let mut worker = start(&project, 1).await;
    assert_eq!(worker.outcome("fork_and_return", "[]").await, returned("\"parent\""));
    still_works(&mut worker).await;
    worker.close().await;
}

#[tokio::test]
async fn a_handler_can_end_the_processes_it_starts() {
    let project = Project::with_tasks(TASKS);
    let mut worker = start(&project, 1).await;
    assert_eq!(worker.outcome("stop_a_child", "[]").await, returned("[-15,-15]"));
    worker.close().await;
}

#[tokio::test]
async fn jobs_in_the_pipe_of_a_runner_that_dies_run_elsewhere() {
    let project = Project::with_tasks(TASKS);
    let mut worker = start(&project, 1).await;
    // Until the pool has learnt that both are short.
    for _ in 0..20 {
        still_works(&mut worker).await;
        assert_eq!(worker.outcome("signal_self", "[2]").await, returned("null"));
    }
    let killer = worker.run("signal_self", "[9]");
    let others: Vec<_> = (0..20).map(|_| worker.run("noop", "[]")).collect();
    assert_eq!(worker.end_of(killer).await.outcome, crash("signal 9 (SIGKILL)"));
    for id in others {
        assert_eq!(worker.end_of(id).await.outcome, returned("null"));
    }
    worker.close().await;
    assert_eq!(processes_of(&project), Vec::<u32>::new());
}

#[tokio::test]
async fn a_worn_runner_is_replaced() {
    let project = Project::with_tasks("@task\ndef pid(): return os.getpid()\n");
    let mut config = project.config();
    config.processes = 1;
    config.max_jobs_per_runner = Some(3);
    let mut worker = Worker::start(config).await;
    let mut pids = Vec::new();
    for _ in 0..12 {
        let id = worker.run("pid", "[]");
        pids.push(worker.end_of(id).await.runner_pid.unwrap());
    }
    for three in pids.chunks(3) {
        assert!(three.iter().all(|pid| *pid == three[0]));
    }
    pids.dedup();
    assert_eq!(pids.len(), 4);
    worker.close().await;
}
