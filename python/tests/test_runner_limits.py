"""Handlers that are ended from outside: their time is over, their memory is used up, someone cancels them."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from gristmill.exceptions import Cancelled, TimedOut
from gristmill.runner.limits import CALL, Guard, now
from tests.supervisor import Runner, Zygote, wait_for

TASKS = """
from functools import partial
from gristmill.exceptions import Cancelled, TimedOut
from gristmill.tasks.postpone import Postpone

@task
def add(a, b): return a + b

# It has no code of its own in which it could be interrupted: that is the handler's.
touch = partial(os.symlink, __file__)

@task
def spin(name=None):
    if name: touch(name)
    while True: pass

@task
def nap(name=None):
    if name: touch(name)
    time.sleep(FOREVER)

@task
def swallow(name=None):
    try:
        # In here, as the cancel may come at once.
        if name: touch(name)
        time.sleep(FOREVER)
    except BaseException as error:
        return type(error).__name__

@task
def only_exceptions(name=None):
    if name: touch(name)
    try:
        time.sleep(FOREVER)
    except Exception:
        return "swallowed"

@task
def postpone_instead(name=None):
    if name: touch(name)
    try:
        time.sleep(FOREVER)
    except BaseException:
        raise Postpone(5)

@task
def other_error(name=None):
    try:
        if name: touch(name)
        time.sleep(FOREVER)
    except BaseException:
        raise ValueError("while I cleaned up")

@task
def own_timeout():
    raise TimeoutError("a connection's")

@task
def replace_and_block():
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM, signal.SIGUSR1])

@task
def just(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until: pass
    return "done"

@task
def grow(megabytes):
    return len(bytearray(megabytes * 1024 * 1024))

@task(takes_context=True)
def talk(context, name):
    if name: touch(name)
    number = 0
    while True:
        number += 1
        context.progress(number, message="x" * 1000)
"""


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    zygote = Zygote(tmp_path_factory.mktemp("project"), TASKS)
    zygote.hello()
    yield zygote
    zygote.close()


@pytest.fixture
def runner(zygote: Zygote) -> Iterator[Runner]:
    runner = zygote.spawn()
    yield runner
    zygote.kill(runner)
    assert zygote.exited()["runner"] == runner.number


@pytest.fixture
def here(zygote: Zygote) -> Iterator[Path]:
    yield zygote.folder
    (zygote.folder / "go").unlink(missing_ok=True)


@pytest.mark.parametrize("task", ["spin", "nap"])
def test_a_handler_whose_time_is_over_is_ended(runner: Runner, task: str) -> None:
    failure = runner.fail(task, options={"timeout": 0.1})
    assert failure["reason"] == "timeout"
    assert failure["exception_class_path"] == "gristmill.exceptions.TimedOut"
    assert "builtins.TimeoutError" in failure["classes"]
    assert failure["traceback"].endswith("it ran longer than its timeout of 0.1 s\n")
    # The next one has its own time.
    assert runner.run("just", [0.2]) == "done"


def test_what_comes_of_a_timeout_is_a_timeout_and_a_timeout_of_its_own_is_not(runner: Runner) -> None:
    failure = runner.fail("other_error", options={"timeout": 0.05})
    assert failure["reason"] == "timeout"
    assert failure["exception_class_path"] == "builtins.ValueError"
    assert runner.fail("own_timeout", options={"timeout": 5})["reason"] == "error"


def test_a_handler_may_answer_a_timeout_with_a_result(runner: Runner) -> None:
    assert runner.run("swallow", options={"timeout": 0.05}) == "TimedOut"


def test_a_timeout_that_comes_as_the_handler_returns_changes_nothing(runner: Runner) -> None:
    ends = []
    for number in range(300):
        key = runner.start("just", [0.002], options={"timeout": 0.0015 + number * 0.000004})
        ((kind, told),) = runner.rest(key)
        ends.append(kind)
        assert kind == "D" or told["reason"] == "timeout"
    # Else the timer has always been too early or too late to ask anything.
    assert set(ends) == {"D", "F"}
    assert runner.run("add", [1, 2]) == 3


def test_nothing_is_raised_where_the_handler_has_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    timers: list[float] = []
    monkeypatch.setattr(signal, "setitimer", lambda which, seconds: timers.append(seconds))
    guard = Guard(lambda: None)
    own, handlers = SimpleNamespace(f_code=CALL), SimpleNamespace(f_code=None)
    # Between its last instruction and the moment at which the runner says that nothing may be raised any more.
    guard.armed, guard.ends = True, now()
    guard._time_is_over(signal.SIGALRM, own)  # type: ignore[arg-type]
    assert timers == [0.001]
    # Nor in the middle of a frame on the socket.
    guard.held = 1
    guard._time_is_over(signal.SIGALRM, handlers)  # type: ignore[arg-type]
    assert timers == [0.001, 0.001]
    guard.held = 0
    with pytest.raises(TimedOut):
        guard._time_is_over(signal.SIGALRM, handlers)  # type: ignore[arg-type]
    # Once is enough, and after the end is too late.
    guard._time_is_over(signal.SIGALRM, handlers)  # type: ignore[arg-type]
    guard.armed, guard.fired = False, None
    guard._time_is_over(signal.SIGALRM, handlers)  # type: ignore[arg-type]
    assert timers == [0.001, 0.001]


def test_an_alert_in_the_middle_of_a_frame_is_read_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    timers: list[float] = []
    monkeypatch.setattr(signal, "setitimer", lambda which, seconds: timers.append(seconds))
    handlers = SimpleNamespace(f_code="anything else")
    heard: list[str] = []
    guard = Guard(lambda: heard.append("read"))
    guard.armed, guard.timeout, guard.ends = True, 60, now() + 60
    guard.held = 1
    guard._alerted(signal.SIGUSR1, handlers)  # type: ignore[arg-type]
    assert (heard, timers) == ([], [0.001])
    # The time is not over because the timer asks again; what was sent meant another job, so the rest is waited for.
    guard.held = 0
    guard._time_is_over(signal.SIGALRM, handlers)  # type: ignore[arg-type]
    assert heard == ["read"]
    assert 59 < timers[-1] <= 60
    # What was sent means this job.
    guard.listen = guard.cancel
    guard.held = 1
    guard._alerted(signal.SIGUSR1, handlers)  # type: ignore[arg-type]
    guard.held = 0
    with pytest.raises(Cancelled):
        guard._time_is_over(signal.SIGALRM, handlers)  # type: ignore[arg-type]


def test_the_shortest_timeouts_end_the_job_and_not_the_runner(runner: Runner) -> None:
    for _ in range(50):
        failure = runner.fail("spin", options={"timeout": 1e-9})
        assert failure["reason"] == "timeout"
    assert runner.run("add", [1, 2]) == 3


def test_a_limit_holds_whatever_the_task_before_did_to_signals(runner: Runner) -> None:
    runner.run("replace_and_block")
    assert runner.fail("spin", options={"timeout": 0.05})["reason"] == "timeout"


def test_memory_over_the_limit_is_refused(runner: Runner) -> None:
    failure = runner.fail("grow", [2000], options={"max_memory_mb": 200})
    assert failure["reason"] == "memory"
    assert failure["exception_class_path"] == "builtins.MemoryError"
    assert runner.run("grow", [10], options={"max_memory_mb": 200}) == 10 * 1024 * 1024
    # The limit is that job's alone.
    assert runner.run("grow", [300]) == 300 * 1024 * 1024


@pytest.mark.parametrize(("task", "path"), [
    ("spin", "gristmill.exceptions.Cancelled"),
    ("nap", "gristmill.exceptions.Cancelled"),
    ("only_exceptions", "gristmill.exceptions.Cancelled"),
    ("other_error", "builtins.ValueError"),
    ("postpone_instead", "gristmill.exceptions.Cancelled"),
])  # fmt: skip
def test_a_cancelled_handler_ends_as_cancelled_whatever_it_raises(
    runner: Runner, here: Path, task: str, path: str
) -> None:
    key = runner.start(task, [str(here / "go")])
    wait_for(here / "go")
    runner.cancel(key)
    ((kind, told),) = runner.rest(key)
    assert kind == "F"
    assert told["reason"] == "cancelled"
    assert told["exception_class_path"] == path
    assert runner.run("add", [1, 2]) == 3


def test_a_cancelled_handler_that_returns_has_succeeded(runner: Runner, here: Path) -> None:
    key = runner.start("swallow", [str(here / "go")])
    wait_for(here / "go")
    runner.cancel(key)
    assert runner.rest(key) == [("D", "Cancelled")]


def test_the_zygote_passes_the_alert_on(runner: Runner, zygote: Zygote, here: Path) -> None:
    from gristmill.runner.frame import pack

    key = runner.start("spin", [str(here / "go")])
    wait_for(here / "go")
    runner.socket.sendall(pack(ord("X"), key))
    zygote.alert(runner)
    assert runner.rest(key)[0][1]["reason"] == "cancelled"


def test_a_cancel_of_another_job_or_another_attempt_ends_nothing(runner: Runner, here: Path) -> None:
    key = runner.start("just", [0.3])
    runner.cancel(bytes(16) + key[16:])
    runner.cancel(key[:16] + bytes(8))
    os.kill(runner.pid, signal.SIGUSR1)
    assert runner.rest(key) == [("D", "done")]
    # Nor does one that comes too late.
    runner.cancel(key)
    assert runner.run("add", [1, 2]) == 3


def test_jobs_that_come_with_a_cancel_are_not_lost(runner: Runner, here: Path) -> None:
    first = runner.start("spin", [str(here / "go")])
    wait_for(here / "go")
    second = runner.send("add", [1, 2])
    runner.cancel(first)
    assert runner.rest(first)[0][1]["reason"] == "cancelled"
    frame = runner.next()
    assert frame is not None and frame[0] == "S" and frame[1].startswith(second)
    assert runner.rest(second) == [("D", 3)]


def test_a_cancel_never_cuts_a_frame_in_two(runner: Runner, here: Path) -> None:
    for number in range(20):
        key = runner.start("talk", [str(here / "go")])
        wait_for(here / "go")
        time.sleep(0.001 * number)
        runner.cancel(key)
        *_, (kind, told) = runner.rest(key)
        assert (kind, told["reason"]) == ("F", "cancelled")
        (here / "go").unlink()
