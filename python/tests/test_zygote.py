"""The zygote forks runners and is the fence around them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.supervisor import PATIENCE, Zygote, gone, until, wait_for, wait_until_gone

TASKS = """
from pathlib import Path

HERE = Path(__file__).parent.parent

@task
def pid(): return os.getpid()

@task
def descriptors():
    own = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            own.add(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            pass
    return sorted(each.split(":")[0] for each in own if "socket" in each)

@task
def environment(): return [os.environ.get("PYTHONPATH"), os.environ.get("GRISTMILL_CONTROL_FD")]

@task
def roll():
    import random
    return random.random()

@task
def read_stdin(): return sys.stdin.read()

@task
def leave_a_child():
    import subprocess
    child = subprocess.Popen(["sleep", "600"])
    (HERE / "child").write_text(str(child.pid))
    os._exit(4)

@task
def detach(name):
    "Starts a program in a session of its own, without a parent here."
    import subprocess
    new = HERE / f"{name}.new"
    subprocess.run(["setsid", "sh", "-c", f"sleep 600 & echo $! > {new}; mv {new} {HERE / name}"])
    while not (HERE / name).exists():
        time.sleep(0.001)

@task
def spin():
    (HERE / "spinning").write_text(str(os.getpid()))
    while True:
        pass
"""


# Adds what the machine has slept, as a file says, to the clock that counts it.
SLEEPS = """
import time
from pathlib import Path

asleep, real = Path(__file__).with_name("asleep"), time.clock_gettime_ns

def clock_gettime_ns(clock):
    slept = int(asleep.read_text()) if clock == time.CLOCK_BOOTTIME and asleep.exists() else 0
    return real(clock) + slept

time.clock_gettime_ns = clock_gettime_ns
"""


@pytest.fixture
def zygote(tmp_path: Path):  # type: ignore[no-untyped-def]
    zygote = Zygote(tmp_path, TASKS)
    yield zygote
    zygote.close()


def test_what_shows_its_workers_life_stays_open_until_every_runner_is_gone(zygote: Zygote) -> None:
    zygote.hello()
    replaced, life = zygote.hand_over(), zygote.hand_over()
    runner = zygote.spawn()
    assert replaced.recv(1) == b"", "another one takes its place"
    assert runner.run("descriptors") == ["socket"], "no runner keeps it open"
    life.setblocking(False)
    with pytest.raises(BlockingIOError):
        life.recv(1)

    # As when its worker is killed.
    zygote.socket.close()
    life.settimeout(PATIENCE)

    assert life.recv(1) == b""
    assert gone(runner.pid)


def test_it_says_which_tasks_there_are(zygote: Zygote) -> None:
    hello = zygote.hello()
    assert hello["pid"] == zygote.process.pid
    assert "shop.tasks.pid" in hello["tasks"]


def test_a_runner_has_its_own_socket_and_nothing_of_the_zygotes(zygote: Zygote) -> None:
    zygote.hello()
    first, second = zygote.spawn(), zygote.spawn()
    assert first.run("descriptors") == second.run("descriptors") == ["socket"]
    assert second.run("environment")[1] is None
    assert second.run("read_stdin") == ""


def test_every_runner_rolls_its_own_dice(zygote: Zygote) -> None:
    zygote.hello()
    assert zygote.spawn().run("roll") != zygote.spawn().run("roll")


def test_the_wait_status_is_told_and_the_process_group_is_gone(zygote: Zygote, tmp_path: Path) -> None:
    zygote.hello()
    runner = zygote.spawn()
    runner.send("leave_a_child")
    told = zygote.exited()
    assert told == {"runner": 1, "pid": runner.pid, "signal": None, "status": 4, "killed": None}
    wait_until_gone(int(wait_for(tmp_path / "child")))


def test_a_kill_is_told_apart_from_a_death(zygote: Zygote) -> None:
    zygote.hello()
    first, second = zygote.spawn(), zygote.spawn()
    zygote.kill(first)
    assert zygote.exited()["killed"] == "kill"
    os.kill(second.pid, signal.SIGKILL)
    assert zygote.exited() == {"runner": 2, "pid": second.pid, "signal": 9, "status": None, "killed": None}


def test_a_process_that_has_left_its_runners_group_ends_with_it(zygote: Zygote, tmp_path: Path) -> None:
    zygote.hello()
    first, second = zygote.spawn(), zygote.spawn()
    first.run("detach", ["first"])
    second.run("detach", ["second"])
    one, other = int((tmp_path / "first").read_text()), int((tmp_path / "second").read_text())
    first.send("leave_a_child")
    assert zygote.exited()["runner"] == first.number
    assert gone(one)
    assert not gone(other)
    zygote.kill(second)
    assert zygote.exited()["runner"] == second.number
    assert gone(other)


def test_what_the_project_has_started_itself_is_spared(tmp_path: Path) -> None:
    helper = "\nchild = __import__('subprocess').Popen(['sleep', '600'])\n@task\ndef helper(): return child.pid\n"
    zygote = Zygote(tmp_path, TASKS + helper)
    zygote.hello()
    runner = zygote.spawn()
    pid = runner.run("helper")
    runner.send("leave_a_child")
    assert zygote.exited()["status"] == 4
    assert not gone(pid)
    zygote.close()
    os.kill(pid, signal.SIGKILL)


def test_a_fork_that_fails_is_tried_again_and_ends_no_runner(tmp_path: Path) -> None:
    full = """
def fork(fork=os.fork):
    if (HERE / "full").exists():
        with open(HERE / "full", "a") as failures:
            failures.write("x")
        raise BlockingIOError(11, "Resource temporarily unavailable")
    return fork()

os.fork = fork
"""
    zygote = Zygote(tmp_path, TASKS + full)
    zygote.hello()
    runner = zygote.spawn()
    (tmp_path / "full").touch()
    waits, abandoned = zygote.ask_to_spawn(), zygote.ask_to_spawn()
    until(lambda: len((tmp_path / "full").read_text()) >= 3)
    assert runner.run("pid") == runner.pid
    zygote.kill(abandoned)
    assert zygote.exited()["runner"] == abandoned.number
    (tmp_path / "full").unlink()
    zygote.up(waits)
    assert waits.run("pid") == waits.pid
    assert "a runner cannot be forked ([Errno 11] Resource temporarily unavailable)" in zygote.errors()
    zygote.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user who has no other process")
def test_a_limit_of_processes_holds_runners_back_and_ends_none(tmp_path: Path) -> None:
    limited = """
import resource
os.setgid(54321)
os.setuid(54321)
# The zygote and one runner.
resource.setrlimit(resource.RLIMIT_NPROC, (2, 2))
"""
    zygote = Zygote(tmp_path, TASKS + limited)
    zygote.hello()
    runner = zygote.spawn()
    waits = zygote.ask_to_spawn()
    until(lambda: "cannot be forked" in zygote.errors())
    assert runner.run("pid") == runner.pid
    zygote.kill(runner)
    assert zygote.exited()["runner"] == runner.number
    zygote.up(waits)
    assert waits.run("pid") == waits.pid
    zygote.close()


def test_signals_to_the_zygote_and_runners_change_nothing(zygote: Zygote) -> None:
    zygote.hello()
    runner = zygote.spawn()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        os.kill(zygote.process.pid, number)
        os.kill(runner.pid, number)
    assert runner.run("pid") == runner.pid
    assert zygote.spawn().run("pid")


def test_a_lapsed_lease_kills_runners_and_new_ones_wait_for_the_next(zygote: Zygote) -> None:
    zygote.hello()
    zygote.vouch(0.2)
    runner = zygote.spawn()
    assert zygote.exited() == {"runner": 1, "pid": runner.pid, "signal": 9, "status": None, "killed": "lease"}
    waiting = zygote.ask_to_spawn()
    zygote.kill(abandoned := zygote.ask_to_spawn())
    assert zygote.exited()["runner"] == abandoned.number
    zygote.vouch(60)
    zygote.up(waiting)
    assert waiting.run("pid") == waiting.pid


def test_a_lease_in_the_past_kills_at_once(zygote: Zygote) -> None:
    zygote.hello()
    # Held: one that nobody holds ends by itself.
    runner = zygote.spawn()
    zygote.vouch(-1)
    assert zygote.exited() == {"runner": 1, "pid": runner.pid, "signal": 9, "status": None, "killed": "lease"}


def test_an_extended_lease_kills_nobody(zygote: Zygote) -> None:
    zygote.hello()
    runner = zygote.spawn()
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        zygote.vouch(0.2)
        assert runner.run("pid") == runner.pid
    assert zygote.is_silent()


def test_a_lease_runs_out_while_the_machine_sleeps(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SLEEPS)
    zygote = Zygote(tmp_path, TASKS)
    zygote.hello()
    zygote.vouch(60)
    runner = zygote.spawn()
    runner.send("spin")
    wait_for(tmp_path / "spinning")
    assert zygote.is_silent()
    (tmp_path / "for a while").write_text(str(120 * 10**9))
    os.replace(tmp_path / "for a while", tmp_path / "asleep")
    assert zygote.exited() == {"runner": 1, "pid": runner.pid, "signal": 9, "status": None, "killed": "lease"}
    zygote.close()


def test_when_the_worker_is_gone_so_is_everything(tmp_path: Path) -> None:
    zygote = Zygote(tmp_path, TASKS)
    zygote.hello()
    runner = zygote.spawn()
    runner.send("spin")
    pid = int(wait_for(tmp_path / "spinning"))
    zygote.close()
    wait_until_gone(pid, 1)
    assert zygote.process.returncode == 0


def test_when_the_zygote_is_killed_its_runners_die_with_it(tmp_path: Path) -> None:
    zygote = Zygote(tmp_path, TASKS)
    zygote.hello()
    runner = zygote.spawn()
    runner.send("spin")
    pid = int(wait_for(tmp_path / "spinning"))
    zygote.process.kill()
    wait_until_gone(pid, 1)
    zygote.close()


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ("x\n", "cannot import shop.tasks: NameError: name 'x' is not defined (shop/tasks.py, line 3)"),
        (
            "import nowhere",
            "cannot import shop.tasks: ModuleNotFoundError: No module named 'nowhere' (shop/tasks.py, line 3)",
        ),
        ("def f(:", "cannot import shop.tasks: SyntaxError: invalid syntax (shop/tasks.py, line 3)"),
        ("raise SystemExit('off')", "cannot import shop.tasks: SystemExit: off (shop/tasks.py, line 3)"),
        ("@task\ndef f(): pass\nf = task(backend='other')(f.func)", "cannot import shop.tasks: "),
    ],
)
def test_a_project_that_cannot_be_imported_is_told_in_one_sentence(tmp_path: Path, tasks: str, message: str) -> None:
    zygote = Zygote(tmp_path, tasks)
    told = json.loads(zygote.expect("E"))
    assert told["message"].startswith(message)
    assert told["traceback"].startswith("Traceback")
    assert zygote.next() is None
    zygote.close()
    assert zygote.process.returncode == 1


def test_settings_that_cannot_be_imported_are_named(tmp_path: Path) -> None:
    zygote = Zygote(tmp_path, "", settings="import nowhere\n")
    told = json.loads(zygote.expect("E"))
    assert told["message"] == (
        "cannot import settings: ModuleNotFoundError: No module named 'nowhere' (settings.py, line 1)"
    )
    zygote.close()


def test_an_app_that_starts_a_thread_is_refused_by_the_threads_name(tmp_path: Path) -> None:
    tasks = "import threading\nthreading.Thread(target=time.sleep, args=(60,), name='metrics', daemon=True).start()\n"
    zygote = Zygote(tmp_path, tasks)
    assert "other threads run: metrics;" in json.loads(zygote.expect("E"))["message"]
    zygote.close()


def test_with_reload_a_change_is_told(tmp_path: Path) -> None:
    zygote = Zygote(tmp_path, TASKS, reload=True)
    zygote.hello()
    runner = zygote.spawn()
    (tmp_path / "shop" / "tasks.py").write_text("x\n")
    assert json.loads(zygote.expect("M"))["path"] == str(tmp_path / "shop" / "tasks.py")
    assert runner.run("pid") == runner.pid
    zygote.close()


def test_with_reload_a_broken_project_waits_for_the_next_change(tmp_path: Path) -> None:
    zygote = Zygote(tmp_path, "def f(:", reload=True)
    zygote.expect("E")
    (tmp_path / "shop" / "tasks.py").write_text("f = 1\n")
    assert json.loads(zygote.expect("M"))["path"] == str(tmp_path / "shop" / "tasks.py")
    zygote.close()


def test_nothing_is_unpickled_and_nothing_is_imported_by_name() -> None:
    source = Path(__file__).parent.parent / "gristmill"
    modules = [
        *("worker/zygote.py", "worker/fork_safety.py", "worker/import_failure.py"),
        *("tasks/registry.py", "values/failure.py"),
    ]
    for name in [*modules, *(path.relative_to(source) for path in (source / "runner").glob("*.py"))]:
        text = (source / name).read_text()
        for word in ("pickle", "marshal", "eval(", "exec(", "import_string", "import_module", "__import__"):
            assert word not in text, f"{word} in {name}"


def test_an_alert_means_nothing_to_a_runner_that_runs_nothing(zygote: Zygote) -> None:
    zygote.hello()
    runner = zygote.ask_to_spawn()
    # Perhaps before it is up, and of one that there is not.
    zygote.alert(runner)
    runner.number += 1
    zygote.alert(runner)
    runner.number -= 1
    zygote.up(runner)
    zygote.alert(runner)
    assert runner.run("pid") == runner.pid


def test_output_at_import_goes_to_the_real_streams(tmp_path: Path) -> None:
    zygote = Zygote(tmp_path, "print('imported', file=sys.stderr)\n" + TASKS)
    zygote.hello()
    assert "imported\n" in zygote.errors()
    zygote.close()


def test_the_registry_needs_no_django() -> None:
    source = Path(__file__).parent.parent / "gristmill" / "tasks" / "registry.py"
    script = f"import runpy, sys; runpy.run_path({str(source)!r}); assert 'django' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
