"""What is called besides handlers: after an end that has been accepted, in a time of its own, and never to its cost."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.supervisor import AGAIN, SETTINGS, Runner, Zygote, until, wait_for

TASKS = """
import threading
from pathlib import Path
from gristmill.compat import task_backends, task_finished, task_started

HERE = Path(__file__).parent.parent
seen = []
task_backends["default"].callback_timeout = 600

@task
def work(does, then=None):
    if does == "stay": threading.Thread(target=time.sleep, args=(FOREVER,)).start()
    if does in ("fail", "stay"): raise ValueError("no")
    if does == "deafen":
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    return does

@task
async def work_later(does, then=None):
    if does == "stay": asyncio.get_running_loop().run_in_executor(None, time.sleep, FOREVER)
    if does in ("fail", "stay"): raise ValueError("no")
    return does

@task
def hasten(seconds):
    task_backends["default"].callback_timeout = seconds
    from gristmill.runner.attempt import call_of
    call_of.cache_clear()

@task
def told(): return [*seen]

def wait(name):
    (HERE / "waiting").write_text("x")
    while not (HERE / name).exists():
        time.sleep(0.002)

def do(then, task_result):
    if then == "wait": wait("go on")
    if then == "exit": os._exit(3)
    if then == "leave": raise SystemExit("a receiver's")
    if then == "never": time.sleep(FOREVER)
    if then == "again":
        until = time.monotonic() + 3
        while time.monotonic() < until:
            try: time.sleep(FOREVER)
            except BaseException: pass

def finish(sender, task_result, **kwargs):
    if task_result.task.name.startswith("work"):
        seen.append([task_result.args[0], task_result.status, task_result._return_value, str(sys.exc_info()[1])])
        do(task_result.args[1], task_result)

def start(sender, task_result, **kwargs):
    if task_result.task.name.startswith("work"):
        do(task_result.kwargs.get("then"), task_result)

def advice(error, task_result):
    do(task_result.args[1], task_result)
    return 7

for each in (work, work_later):
    object.__setattr__(each, "backoff", advice)

def get_result(result_id):
    time.sleep(FOREVER)

task_backends["default"].get_result = get_result
task_finished.connect(finish)
task_started.connect(start)
"""

BOTH = pytest.mark.parametrize("task", ["work", "work_later"])
ASKS: dict[str, Any] = {"options": {"backoff": {"kind": "callable"}}, **AGAIN}


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    zygote = Zygote(tmp_path_factory.mktemp("project"), TASKS)
    zygote.hello()
    yield zygote
    zygote.close()


@pytest.fixture
def runner(zygote: Zygote) -> Iterator[Runner]:
    for name in ("waiting", "go on"):
        (zygote.folder / name).unlink(missing_ok=True)
    runner = zygote.spawn()
    runner.sees_all = True
    yield runner
    zygote.kill(runner)
    assert zygote.exited()["runner"] == runner.number


def has_started(runner: Runner, task: str, arguments: Any, **changes: Any) -> bytes:
    """Starts a job of a project with receivers, and waits until its handler is called."""
    key = runner.send(task, arguments, **changes)
    while runner.expect("S").endswith(b"~"):
        pass
    return key


def asked(runner: Runner, key: bytes, kind: str) -> Any:
    """Waits for an end and the question what becomes of it; gives what the end says."""
    assert runner.expect("A") == key + b"?"
    end = runner.expect(kind)
    assert end.startswith(key)
    return json.loads(end[len(key) :])


def aside(runner: Runner, task: str, *arguments: Any) -> Any:
    """Runs a job of which nothing is to be looked at."""
    runner.sees_all = False
    value = runner.run(task, arguments)
    runner.sees_all = True
    runner.expect("N")
    return value


def told(runner: Runner) -> Any:
    return aside(runner, "told")


def hasten(runner: Runner, seconds: float) -> None:
    aside(runner, "hasten", seconds)


def leaves(runner: Runner, task: str, *, at_once: bool) -> None:
    """Has a runner say that it takes no other job: at once where others may run beside this one, else at the end."""
    if at_once == (task == "work_later"):
        assert runner.expect("L") == b""


@BOTH
def test_the_end_is_sent_before_anybody_hears_of_it(zygote: Zygote, runner: Runner, task: str) -> None:
    key = has_started(runner, task, ["done", "wait"])
    assert asked(runner, key, "D") == "done"
    assert runner.is_silent()
    runner.settle(key, "successful")
    # Its receiver is at it, and the next job waits for it where there is one thread.
    wait_for(zygote.folder / "waiting")
    assert runner.is_silent()
    (zygote.folder / "go on").touch()
    assert runner.expect("N") == key
    assert told(runner) == [["done", "SUCCESSFUL", "done", "None"]]


@BOTH
@pytest.mark.parametrize(("does", "kind"), [("done", "D"), ("fail", "F")])
def test_nobody_hears_of_an_end_that_was_not_accepted_or_after_which_the_job_goes_on(
    runner: Runner, task: str, does: str, kind: str
) -> None:
    key = has_started(runner, task, [does, None], **AGAIN)
    asked(runner, key, kind)
    runner.settle(key, "")
    assert runner.expect("N") == key
    assert told(runner) == []


@BOTH
@pytest.mark.parametrize("request_changes", [{}, AGAIN])
def test_whether_a_failure_is_the_last_one_is_for_the_worker_to_say(
    runner: Runner, task: str, request_changes: dict[str, Any]
) -> None:
    # Someone may have cancelled it in the meantime.
    key = has_started(runner, task, ["fail", None], **request_changes)
    asked(runner, key, "F")
    runner.settle(key, "cancelled")
    assert runner.expect("N") == key
    assert told(runner) == [["fail", "FAILED", None, "no"]]


@BOTH
def test_a_success_that_could_not_be_stored_is_told_as_what_was_stored(runner: Runner, task: str) -> None:
    key = has_started(runner, task, ["done", None])
    asked(runner, key, "D")
    runner.settle(key, "failed")
    assert runner.expect("N") == key
    assert told(runner) == [["done", "FAILED", None, "None"]]


@BOTH
@pytest.mark.parametrize(("does", "kind"), [("done", "D"), ("fail", "F")])
def test_a_runner_that_dies_in_a_receiver_has_said_how_its_job_ended(
    zygote: Zygote, task: str, does: str, kind: str
) -> None:
    runner = zygote.spawn()
    key = runner.start(task, [does, "exit"])
    assert runner.rest(key)[-1][0] == kind
    assert runner.next() is None
    assert zygote.exited()["status"] == 3


@BOTH
def test_what_a_receiver_raises_changes_nothing(zygote: Zygote, runner: Runner, task: str) -> None:
    key = has_started(runner, task, ["done", "leave"])
    asked(runner, key, "D")
    runner.settle(key, "successful")
    assert runner.expect("N") == key
    until(lambda: "a signal receiver raised builtins.SystemExit" in zygote.errors())
    assert told(runner) == [["done", "SUCCESSFUL", "done", "None"]]


@BOTH
@pytest.mark.parametrize("then", ["never", "again"])
def test_a_receiver_that_takes_too_long_is_cut_off_and_its_process_takes_no_other_job(
    zygote: Zygote, task: str, then: str
) -> None:
    runner = zygote.spawn()
    hasten(runner, 0.2)
    key = has_started(runner, task, ["done", then])
    asked(runner, key, "D")
    runner.settle(key, "successful")
    leaves(runner, task, at_once=True)
    assert runner.expect("N") == key
    leaves(runner, task, at_once=False)
    assert runner.next() is None
    assert zygote.exited()["status"] == 0
    words = "receivers of task_finished took longer than CALLBACK_TIMEOUT = 0.2 s, and was cut off"
    assert f"job {key[:16].hex()}: {words}" in zygote.errors()


def test_a_task_that_took_the_signals_for_itself_keeps_no_receiver_from_being_cut_off(zygote: Zygote) -> None:
    runner = zygote.spawn()
    hasten(runner, 0.2)
    key = has_started(runner, "work", ["deafen", "never"])
    asked(runner, key, "D")
    runner.settle(key, "successful")
    assert runner.expect("N") == key
    assert runner.expect("L") == b""
    assert runner.next() is None
    assert zygote.exited()["status"] == 0


def test_a_receiver_that_is_cut_off_leaves_neighbours_what_they_need(zygote: Zygote) -> None:
    runner = zygote.spawn()
    hasten(runner, 0.2)
    key = has_started(runner, "work_later", ["done", "never"])
    asked(runner, key, "D")
    # It uses the thread in which the receiver hangs.
    neighbour = runner.send("work_later", ["beside", "wait"])
    runner.settle(key, "successful")
    # The neighbour may begin and end before the receiver is cut off, or after that.
    said = {"S": runner.expect("S")}
    while {"L", "N", "D"} - set(said):
        kind, payload = runner.next()
        said[kind] = payload
    assert (said["L"], said["N"], said["A"]) == (b"", key, neighbour + b"?")
    assert said["S"].startswith(neighbour) and said["D"].startswith(neighbour)
    (zygote.folder / "go on").touch()
    runner.settle(neighbour, "successful")
    assert runner.expect("N") == neighbour
    assert runner.next() is None
    assert zygote.exited()["status"] == 0


@BOTH
def test_a_worker_that_does_not_say_what_became_of_an_end_is_not_waited_for_when_it_is_gone(
    zygote: Zygote, task: str
) -> None:
    runner = zygote.spawn()
    runner.sees_all = True
    key = has_started(runner, task, ["done", None])
    asked(runner, key, "D")
    runner.socket.close()
    assert zygote.exited()["status"] == 1


@BOTH
def test_the_handler_begins_when_receivers_of_task_started_are_done(zygote: Zygote, runner: Runner, task: str) -> None:
    key = runner.send(task, ["done"], kwargs={"then": "wait"}, options={"timeout": 600})
    started = runner.expect("S")
    assert started.startswith(key) and started.endswith(b"~")
    wait_for(zygote.folder / "waiting")
    assert runner.is_silent()
    (zygote.folder / "go on").touch()
    begun = runner.expect("S")
    assert begun.startswith(key) and len(begun) == len(key) + 8
    assert begun[len(key) :] != started[len(key) : -1]
    assert asked(runner, key, "D") == "done"
    runner.settle(key, "")
    assert runner.expect("N") == key


@BOTH
def test_a_cancel_that_comes_before_the_handler_begins_ends_the_job(zygote: Zygote, runner: Runner, task: str) -> None:
    key = runner.send(task, ["done"], kwargs={"then": "wait"})
    assert runner.expect("S").endswith(b"~")
    wait_for(zygote.folder / "waiting")
    runner.cancel(key)
    (zygote.folder / "go on").touch()
    assert runner.expect("S").startswith(key)
    assert asked(runner, key, "F")["reason"] == "cancelled"
    runner.settle(key, "")
    assert runner.expect("N") == key


@BOTH
def test_receivers_of_task_started_that_take_too_long_are_cut_off_and_the_handler_is_called(
    zygote: Zygote, task: str
) -> None:
    runner = zygote.spawn()
    hasten(runner, 0.2)
    key = runner.send(task, ["done"], kwargs={"then": "never"}, options={"timeout": 600})
    assert runner.expect("S").endswith(b"~")
    leaves(runner, task, at_once=True)
    assert runner.expect("S")[:-8] == key
    assert asked(runner, key, "D") == "done"
    runner.settle(key, "")
    assert runner.expect("N") == key
    leaves(runner, task, at_once=False)
    assert runner.next() is None
    assert zygote.exited()["status"] == 0
    assert "receivers of task_started took longer than CALLBACK_TIMEOUT" in zygote.errors()


@BOTH
def test_a_past_that_takes_too_long_to_read_is_left_unread(zygote: Zygote, task: str) -> None:
    runner = zygote.spawn()
    hasten(runner, 0.2)
    key = runner.send(task, ["done", None], attempt=3, started_at="2026-01-01 10:00:00")
    assert runner.expect("S").endswith(b"~")
    leaves(runner, task, at_once=True)
    assert runner.expect("S").endswith(b"~")
    assert runner.expect("S")[:-8] == key
    assert asked(runner, key, "D") == "done"
    runner.settle(key, "")
    assert runner.expect("N") == key
    leaves(runner, task, at_once=False)
    assert runner.next() is None
    assert zygote.exited()["status"] == 0
    assert "reading its past took longer than CALLBACK_TIMEOUT" in zygote.errors()


@BOTH
def test_a_failure_is_said_before_its_task_is_asked_how_long_to_wait(zygote: Zygote, runner: Runner, task: str) -> None:
    key = has_started(runner, task, ["fail", "wait"], **ASKS)
    first = runner.expect("F")
    assert json.loads(first[len(key) :])["advice"] == "asked"
    wait_for(zygote.folder / "waiting")
    assert runner.is_silent()
    (zygote.folder / "go on").touch()
    failure = asked(runner, key, "F")
    assert failure == {**json.loads(first[len(key) :]), "advice": {"after": 7.0}}
    runner.settle(key, "")
    assert runner.expect("N") == key


@BOTH
def test_a_runner_that_dies_in_a_backoff_function_has_said_how_its_job_failed(zygote: Zygote, task: str) -> None:
    runner = zygote.spawn()
    runner.sees_all = True
    key = has_started(runner, task, ["fail", "exit"], **ASKS)
    assert json.loads(runner.expect("F")[len(key) :])["advice"] == "asked"
    assert runner.next() is None
    assert zygote.exited()["status"] == 3


@BOTH
def test_a_backoff_function_that_takes_too_long_is_cut_off_and_that_is_in_the_output(zygote: Zygote, task: str) -> None:
    runner = zygote.spawn()
    hasten(runner, 0.2)
    key = has_started(runner, task, ["fail", "never"], **ASKS)
    runner.expect("F")
    words = "the task's backoff function took longer than CALLBACK_TIMEOUT = 0.2 s, and was cut off"
    leaves(runner, task, at_once=True)
    assert words in runner.expect("O")[len(key) :].decode()
    assert asked(runner, key, "F")["advice"] is None
    runner.settle(key, "")
    assert runner.expect("N") == key
    leaves(runner, task, at_once=False)
    assert runner.next() is None
    assert zygote.exited()["status"] == 0


def says_what_goes_on(runner: Runner, key: bytes) -> None:
    output = runner.expect("O")[len(key) :].decode()
    assert f"job {key[:16].hex()} has ended and goes on here, which ends with this process: " in output


@BOTH
def test_nobody_hears_in_a_process_with_which_a_job_ends_and_its_task_is_asked_first(zygote: Zygote, task: str) -> None:
    runner = zygote.spawn()
    runner.sees_all = True
    key = has_started(runner, task, ["stay", None], **{**ASKS, "options": {**ASKS["options"], "timeout": 0.5}})
    says_what_goes_on(runner, key)
    assert json.loads(runner.expect("F")[len(key) :])["advice"] == "asked"
    assert runner.expect("L") == key
    says_what_goes_on(runner, key)
    assert json.loads(runner.expect("F")[len(key) :])["advice"] == {"after": 7.0}
    zygote.kill(runner)
    assert zygote.exited()["runner"] == runner.number


def test_a_last_failure_is_told_also_where_something_of_its_job_goes_on(zygote: Zygote) -> None:
    runner = zygote.spawn()
    runner.sees_all = True
    key = has_started(runner, "work", ["stay", None])
    says_what_goes_on(runner, key)
    asked(runner, key, "F")
    runner.settle(key, "failed")
    assert runner.expect("N") == key
    assert runner.expect("L") == b""
    assert runner.next() is None
    assert zygote.exited()["status"] == 0


QUIET = """
LOGGING_CONFIG = None
import logging
class FarAway(logging.Handler):
    def emit(self, record):
        pass
"""
LOUD = f"{QUIET}logging.getLogger().addHandler(FarAway(level=logging.ERROR))\n"
PLAIN = """
@task
def work(does):
    if does == "fail": raise ValueError("no")
    return does

@task
async def work_later(does): return await asyncio.sleep(0, work.func(does))
"""


@BOTH
def test_where_nobody_but_a_log_listens_nothing_more_is_said_than_the_end(tmp_path: Any, task: str) -> None:
    zygote = Zygote(tmp_path, PLAIN, settings=SETTINGS + QUIET)
    zygote.hello()
    runner = zygote.spawn()
    runner.sees_all = True
    for _ in range(3):
        key = runner.send(task, ["done"])
        assert runner.expect("S")[:-8] == key
        assert runner.expect("D").startswith(key)
        key = runner.send(task, ["fail"])
        assert runner.expect("S")[:-8] == key
        assert runner.expect("F").startswith(key)
    zygote.close()


@BOTH
def test_a_log_that_may_take_its_time_is_not_waited_for_and_needs_no_answer(tmp_path: Any, task: str) -> None:
    zygote = Zygote(tmp_path, PLAIN, settings=SETTINGS + LOUD)
    zygote.hello()
    runner = zygote.spawn()
    runner.sees_all = True
    began = time.monotonic()
    key = runner.start(task, ["fail"])
    assert runner.expect("A") == key
    assert runner.expect("F").startswith(key)
    assert runner.expect("N") == key
    # Which is not logged to where it takes time.
    key = runner.start(task, ["done"])
    assert runner.expect("D").startswith(key)
    assert time.monotonic() - began < 50
    zygote.close()
