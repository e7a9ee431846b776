"""The zygote forks runners and is the fence around them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.supervisor import Zygote, wait_for, wait_until_gone

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
def spin():
    (HERE / "spinning").write_text(str(os.getpid()))
    while True:
        pass
"""


@pytest.fixture
def zygote(tmp_path: Path):  # type: ignore[no-untyped-def]
    zygote = Zygote(tmp_path, TASKS)
    yield zygote
    zygote.close()


def test_it_says_which_tasks_there_are(zygote: Zygote) -> None:
    hello = zygote.hello()
    assert hello["pid"] == zygote.process.pid
    assert "shop.tasks.pid" in hello["tasks"]


def test_a_runner_has_its_own_socket_and_nothing_of_the_zygotes(zygote: Zygote) -> None:
    zygote.hello()
    zygote.spawn()
    second = zygote.spawn()
    assert second.run("descriptors") == ["socket"]
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
    zygote.spawn()
    zygote.vouch(-1)
    assert zygote.exited()["killed"] == "lease"


def test_an_extended_lease_kills_nobody(zygote: Zygote) -> None:
    zygote.hello()
    runner = zygote.spawn()
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        zygote.vouch(0.2)
        assert runner.run("pid") == runner.pid
    assert zygote.is_silent()


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
    modules = [f"{name}.py" for name in ("zygote", "runner", "frame", "registry", "failure", "alone", "import_failure")]
    for name in [*modules, *(path.relative_to(source) for path in (source / "running").glob("*.py"))]:
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
    source = Path(__file__).parent.parent / "gristmill" / "registry.py"
    script = f"import runpy, sys; runpy.run_path({str(source)!r}); assert 'django' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
