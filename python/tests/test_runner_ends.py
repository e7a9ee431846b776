"""How attempts end: retries and advice, postponed jobs, misfits, what is left behind."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import django
import pytest

from tests.supervisor import AGAIN, Runner, Zygote, until, wait_until_gone

TASKS = """
import functools, threading
from datetime import datetime, timedelta, timezone
from pathlib import Path
from django.utils import timezone as django_timezone, translation
from gristmill.compat import task_backends, task_finished
from gristmill.tasks.postpone import Postpone

HERE = Path(__file__).parent.parent
finished = []

class Mine(KeyError): pass

@task
def fail(): raise Mine("no")

class Slow(Exception):
    def __str__(self):
        while True: time.sleep(0.01)

@task
def fail_slowly(): raise Slow

@task
def leave(code): sys.exit(code)

@task
def advised(advice):
    raise Mine(advice)

def advice(error, task_result):
    assert task_result.errors[-1].exception_class_path == "shop.tasks.Mine"
    return eval(error.args[0])

object.__setattr__(advised, "backoff", advice)

@task
def postpone(expression): raise eval(expression)

@task
def give_postpone(expression): return eval(expression)

@task
def ends(): return [*finished]

@task
def two(a, b): return [a, b]

@task(takes_context=True)
def with_context(context, a): return a

def adds(function):
    @functools.wraps(function)
    def wrapper(*args): return function("added", *args)
    return wrapper

@task
@adds
def decorated(first, second): return [first, second]

@task
def change_the_world():
    translation.activate("fr")
    django_timezone.activate("Asia/Tokyo")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)

@task
def world():
    return [translation.get_language(), str(django_timezone.get_current_timezone())]

@task
def leave_a_thread(daemon):
    threading.Thread(target=time.sleep, args=(600,), name="left", daemon=daemon).start()

@task
def use_an_executor():
    from concurrent.futures import ThreadPoolExecutor
    global pool
    pool = ThreadPoolExecutor(1)
    return pool.submit(lambda: 5).result()

@task
def leave_a_child():
    import subprocess
    return subprocess.Popen(["sleep", "600"]).pid

@task
def exit_now(code): os._exit(code)

@task
def close_everything(): os.closerange(3, 4096)

@task
def use_a_pool():
    import multiprocessing
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(abs, [-1, -2])

@task(takes_context=True)
def past(context):
    result = context.task_result
    return [context.attempt, result.worker_ids, [error.exception_class_path for error in result.errors]]

def get_result(result_id):
    from dataclasses import make_dataclass
    from gristmill.compat import TaskError, TaskResultStatus
    status = TaskResultStatus.RUNNING if (HERE / "is running").exists() else TaskResultStatus.READY
    ids = ["b" * 32, "c" * 32, *(["a" * 32] if status == TaskResultStatus.RUNNING else [])]
    errors = [TaskError(exception_class_path="gristmill.exceptions.RunnerCrashed", traceback="")]
    return make_dataclass("Stored", ["status", "worker_ids", "errors"])(status, ids, errors)

task_backends["default"].get_result = get_result

def note(sender, task_result, **kwargs):
    finished.append([task_result.task.name, task_result.status])

# Like Django's own log, which is told by what the runner itself knows.
from gristmill.runner.signals import LOG
note.__module__ = f"{LOG.name}.signals"
task_finished.connect(note)
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


def test_a_failure_names_all_that_the_exception_is(runner: Runner) -> None:
    assert runner.fail("fail")["classes"] == [
        "shop.tasks.Mine",
        "builtins.KeyError",
        "builtins.LookupError",
        "builtins.Exception",
        "builtins.BaseException",
        "builtins.object",
    ]


@pytest.mark.parametrize(
    ("retried_classes", "is_final"),
    [
        ([], True),
        (["builtins.Exception"], False),
        (["builtins.OSError"], True),
        (["builtins.OSError", "builtins.LookupError"], False),
    ],
)
def test_task_finished_is_sent_only_when_no_retry_follows(
    runner: Runner, retried_classes: list[str], is_final: bool
) -> None:
    runner.fail("fail", retried_classes=retried_classes)
    assert runner.run("ends") == ([["fail", "FAILED"]] if is_final else [])


def test_an_exception_whose_text_never_ends_is_told_without_it(runner: Runner) -> None:
    failure = runner.fail("fail_slowly")
    assert failure["exception_class_path"] == "shop.tasks.Slow"
    assert "shop.tasks.Slow" in failure["traceback"]
    if django.VERSION < (6, 0):
        # The backport's own log asks for the text once more, and is stopped in the middle of that.
        assert runner.expect("L") == b""
    else:
        assert runner.run("two", [1, 2]) == [1, 2]


def test_a_traceback_begins_in_the_handler(runner: Runner) -> None:
    assert "gristmill" not in runner.fail("fail")["traceback"]


def test_base_exceptions_are_not_retried_by_default(runner: Runner) -> None:
    failure = runner.fail("leave", [3], **AGAIN)
    assert failure["exception_class_path"] == "builtins.SystemExit"
    assert "builtins.Exception" not in failure["classes"]
    assert runner.run("ends") == [["leave", "FAILED"]]


@pytest.mark.parametrize(
    ("expression", "advice"),
    [
        ("5", {"after": 5.0}),
        ("0.25", {"after": 0.25}),
        ("timedelta(minutes=2)", {"after": 120.0}),
        ("-3", {"after": 0.0}),
        ("float('inf')", {"after": 366 * 86400.0}),
        ("10 ** 400", {"after": 366 * 86400.0}),
        ("None", "give up"),
        ("float('nan')", None),
        ("'soon'", None),
        ("True", None),
        ("1 / 0", None),
        ("sys.exit()", None),
    ],
)
def test_a_tasks_own_backoff_function_is_asked(runner: Runner, expression: str, advice: Any) -> None:
    options = {"backoff": {"kind": "callable"}}
    assert runner.all_of("advised", [expression], options=options, **AGAIN)["F"]["advice"] == advice
    assert runner.run("ends") == ([["advised", "FAILED"]] if advice == "give up" else [])


def test_a_backoff_function_that_fails_says_so_in_the_output(runner: Runner) -> None:
    options = {"backoff": {"kind": "callable"}}
    said = runner.all_of("advised", ["1 / 0"], options=options, **AGAIN)
    assert "the backoff function of shop.tasks.advised failed" in said["O"]
    assert "ZeroDivisionError" in said["O"]


def test_the_backoff_function_is_not_asked_where_no_retry_can_follow(runner: Runner) -> None:
    options = {"backoff": {"kind": "callable"}}
    assert runner.fail("advised", ["5"], options=options)["advice"] is None
    assert runner.fail("advised", ["5"])["advice"] is None


@pytest.mark.parametrize("task", ["postpone", "give_postpone"])
@pytest.mark.parametrize(
    ("expression", "frame"),
    [
        ("Postpone()", {"after": None, "until": None, "why": ""}),
        ("Postpone(5, reason='busy')", {"after": 5.0, "until": None, "why": "busy"}),
        ("Postpone(-5)", {"after": 0.0, "until": None, "why": ""}),
        ("Postpone(float('inf'))", {"after": 366 * 86400.0, "until": None, "why": ""}),
        ("Postpone(timedelta(hours=1))", {"after": 3600.0, "until": None, "why": ""}),
        (
            "Postpone(until=datetime(2030, 1, 1, 12, tzinfo=timezone(timedelta(hours=2))))",
            {"after": None, "until": "2030-01-01 10:00:00.000000", "why": ""},
        ),
    ],
)
def test_a_job_may_postpone_itself(runner: Runner, task: str, expression: str, frame: Any) -> None:
    assert runner.rest(runner.start(task, [expression])) == [("P", frame)]
    # It goes on, so nothing has finished.
    assert runner.run("ends") == []


@pytest.mark.parametrize(
    "expression",
    ["Postpone(float('nan'))", "Postpone(True)", "Postpone('5')", "Postpone(until=datetime(2030, 1, 1))",
     "Postpone(5, until=django_timezone.now())"],
)  # fmt: skip
def test_a_postponement_that_makes_no_sense_is_an_error(runner: Runner, expression: str) -> None:
    assert runner.fail("postpone", [expression])["exception_class_path"] in (
        "builtins.TypeError",
        "builtins.ValueError",
    )


@pytest.mark.parametrize(
    ("task", "args", "kwargs", "words"),
    [
        ("two", [1], {}, "missing a required argument: 'b'"),
        ("two", [1, 2, 3], {}, "too many positional arguments"),
        ("two", [1], {"b": 2, "c": 3}, "got an unexpected keyword argument 'c'"),
        ("with_context", [], {}, "missing a required argument: 'a'"),
    ],
)
def test_arguments_that_do_not_fit_are_told_before_the_start(
    runner: Runner, task: str, args: Any, kwargs: Any, words: str
) -> None:
    key = runner.send(task, args, kwargs=kwargs)
    told = runner.expect("I")
    assert told.startswith(key)
    assert words in told[len(key) :].decode()
    assert runner.run("two", [1], kwargs={"b": 2}) == [1, 2]


def test_arguments_are_held_against_what_is_called_not_against_what_that_wraps(runner: Runner) -> None:
    assert runner.run("decorated", [2]) == ["added", 2]
    assert runner.run("with_context", [2]) == 2


def test_what_a_task_changes_does_not_leak_into_the_next(runner: Runner) -> None:
    before = runner.run("world")
    runner.run("change_the_world")
    assert runner.run("world") == before
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGUSR1):
        os.kill(runner.pid, number)
    assert runner.run("two", [1, 2]) == [1, 2]


def test_a_runner_with_a_thread_left_behind_gives_its_jobs_back_and_ends(zygote: Zygote) -> None:
    runner = zygote.spawn()
    # In one go: once the first is done, the runner ends as soon as it finds no other.
    (first, leaves), (second, waits) = runner.key_of("leave_a_thread", [False]), runner.key_of("two", [1, 2])
    runner.socket.sendall(leaves + waits)
    assert runner.expect("S").startswith(first)
    assert runner.rest(first)[-1][0] == "D"
    assert runner.expect("B") == second
    assert runner.next() is None
    assert zygote.exited()["status"] == 0
    until(lambda: "shop.tasks.leave_a_thread left threads running: left;" in zygote.errors())


def test_daemons_and_executors_are_no_reason_to_end(runner: Runner) -> None:
    runner.run("leave_a_thread", [True])
    assert runner.run("use_an_executor") == 5
    assert runner.run("two", [1, 2]) == [1, 2]


def test_what_a_runner_has_started_ends_with_it(zygote: Zygote) -> None:
    runner = zygote.spawn()
    child = runner.run("leave_a_child")
    runner.socket.close()
    zygote.exited()
    wait_until_gone(child)


@pytest.mark.parametrize("code", [0, 3])
def test_an_exit_without_a_word_is_no_success(zygote: Zygote, code: int) -> None:
    runner = zygote.spawn()
    runner.start("exit_now", [code])
    assert runner.next() is None
    assert zygote.exited()["status"] == code


def test_a_task_that_closes_every_descriptor_costs_its_runner_alone(zygote: Zygote) -> None:
    runner, other = zygote.spawn(), zygote.spawn()
    runner.start("close_everything")
    assert runner.next() is None
    assert zygote.exited()["runner"] == runner.number
    assert other.run("two", [1, 2]) == [1, 2]
    zygote.kill(other)
    zygote.exited()


def test_a_task_may_have_processes_of_its_own(runner: Runner) -> None:
    assert runner.run("use_a_pool") == [1, 2]
    assert runner.run("two", [1, 2]) == [1, 2]


@pytest.mark.parametrize("is_running", [True, False])
def test_a_later_claim_asks_the_backend_for_what_was_before(runner: Runner, zygote: Zygote, is_running: bool) -> None:
    (zygote.folder / "is running").unlink(missing_ok=True)
    if is_running:
        (zygote.folder / "is running").touch()
    worker_ids = ["b" * 32, "c" * 32, "a" * 32]
    # The worker does not count what a later end has reset.
    assert runner.run("past", token=4, attempt=2) == [3, worker_ids, ["gristmill.exceptions.RunnerCrashed"]]
    assert runner.run("past", token=1, attempt=1) == [1, ["a" * 32], []]
