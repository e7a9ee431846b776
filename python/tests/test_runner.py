"""What a runner does with jobs: it calls them, tells how they ended, and survives what they do."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.supervisor import SETTINGS, Runner, Zygote, wait_for

TASKS = """
from pathlib import Path
from gristmill.compat import task_finished, task_started

HERE = Path(__file__).parent.parent
seen = []

@task
def add(a, b=1): return a + b

@task
async def add_later(a): return a + 1

@task(takes_context=True)
def describe(context, *args):
    result = context.task_result
    return {
        "attempt": context.attempt, "id": result.id, "status": result.status, "args": result.args,
        "priority": result.task.priority, "queue_name": result.task.queue_name,
        "run_after": result.task.run_after and result.task.run_after.isoformat(),
        "enqueued_at": result.enqueued_at.isoformat(), "worker_ids": result.worker_ids,
        "started": result.started_at == result.last_attempted_at,
    }

@task
def signals(): return [*seen]

@task
def fail(message="no"): raise ValueError(message)

@task
def give(expression): return eval(expression)

@task
def wait(name):
    (HERE / "waiting").write_text("x")
    while not (HERE / name).exists():
        os.sched_yield()

class Unprintable(Exception):
    def __str__(self): raise SystemExit
    __repr__ = __str__

class Lying(Exception):
    __module__ = property(lambda self: 1 / 0)

@task
def fail_badly(how):
    if how == "unprintable":
        raise Unprintable
    if how == "lying":
        raise Lying
    if how == "huge":
        raise ValueError("x" * 50_000_000)
    if how == "unstorable":
        raise ValueError("a\\0b\\ud800c")
    if how == "deep":
        sys.setrecursionlimit(200_000)
        def go(n):
            if n == 0:
                raise ValueError("bottom")
            go(n - 1)
        go(20_000)
    if how == "chain":
        error = None
        for number in range(100_000):
            try:
                raise ValueError(str(number)) from error
            except ValueError as caught:
                error = caught
        raise error
    if how == "memory":
        raise MemoryError
    if how == "group":
        raise BaseExceptionGroup("several", [ValueError(1), KeyboardInterrupt()])

@task
def leave_a_transaction_open():
    from django.db import connection, transaction
    transaction.atomic().__enter__()
    with connection.cursor() as cursor:
        cursor.execute("create table half (x)")

@task
def tables():
    from django.db import connection
    assert not connection.in_atomic_block
    return connection.introspection.table_names()

def note(sender, task_result, **kwargs):
    seen.append([sender.__name__, task_result.status, task_result.task.name, bool(sys.exc_info()[0])])

def trouble(sender, task_result, **kwargs):
    if task_result.task.name == "add":
        raise SystemExit("a receiver's trouble") if task_result.args == [0] else RuntimeError("trouble")

task_started.connect(trouble)
task_finished.connect(trouble)
task_started.connect(note)
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


def test_the_value_comes_back(runner: Runner) -> None:
    assert runner.run("add", [1]) == 2
    assert runner.run("add", [1], kwargs={"b": 5}) == 6
    assert runner.run("add_later", [1]) == 2


def test_the_task_and_its_result_are_those_that_were_enqueued(runner: Runner) -> None:
    described = runner.run(
        "describe",
        ["x", 1],
        priority=7,
        queue_name="mail",
        run_after="2026-01-01 09:00:00.000000",
    )
    assert described.pop("id")
    assert described == {
        "attempt": 1,
        "status": "RUNNING",
        "args": ["x", 1],
        "priority": 7,
        "queue_name": "mail",
        "run_after": "2026-01-01T09:00:00+00:00",
        "enqueued_at": "2026-01-01T10:00:00+00:00",
        "worker_ids": ["a" * 32],
        "started": True,
    }
    # The next one of the same task has its own.
    assert runner.run("describe")["run_after"] is None


def test_a_later_attempt_counts_those_before_even_when_they_cannot_be_read(runner: Runner) -> None:
    described = runner.run("describe", attempt=3, started_at="2026-01-01T10:00:01")
    assert described["attempt"] == 3
    assert not described["started"]


def test_signals_are_sent_once_each_with_the_backends_class_and_failures_inside_the_except_block(
    runner: Runner,
) -> None:
    runner.run("give", ["1"])
    runner.fail("fail")
    assert runner.run("signals") == [
        ["Backend", "RUNNING", "give", False],
        ["Backend", "SUCCESSFUL", "give", False],
        ["Backend", "RUNNING", "fail", False],
        ["Backend", "FAILED", "fail", True],
        ["Backend", "RUNNING", "signals", False],
    ]


def test_what_a_signal_receiver_raises_does_not_cost_the_result(runner: Runner) -> None:
    assert runner.run("add", [1]) == 2
    assert runner.run("add", [0]) == 1
    assert runner.run("add", [5]) == 6


def test_a_failure_has_its_class_and_django_formats_the_traceback(runner: Runner) -> None:
    failure = runner.fail("fail", ["no such photo"])
    assert failure["reason"] == "error"
    assert failure["exception_class_path"] == "builtins.ValueError"
    assert failure["traceback"].startswith("Traceback (most recent call last):\n")
    assert failure["traceback"].endswith("\nValueError: no such photo\n")


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("None", None),
        ("(1, 2.5, 'é', b'b')", [1, 2.5, "é", "b"]),
        ("{'a': range(3)}", {"a": [0, 1, 2]}),
        ("True", True),
        ("'\\U0001f600'", "😀"),
    ],
)
def test_results_are_normalised_as_django_does(runner: Runner, expression: str, value: object) -> None:
    assert runner.run("give", [expression]) == value


@pytest.mark.parametrize(
    ("expression", "kind", "words"),
    [
        ("{1}", "TypeError", "result: set is not JSON"),
        ("[1, {'a': object()}]", "TypeError", "result[1].a: object is not JSON"),
        ("float('nan')", "ValueError", "result"),
        ("'\\0'", "ValueError", "result"),
        ("'\\ud800'", "Unicode|ValueError", ""),
        ("2 ** 70", "ValueError", "result"),
        ("'x' * 300_000", "ValueError", "result: "),
        ("'x' * (17 << 20)", "ValueError", "result: "),
        ("(lambda x: [x.append(x), x][1])([])", "ValueError|Recursion", ""),
    ],
)
def test_a_result_that_json_cannot_hold_is_a_bad_result(runner: Runner, expression: str, kind: str, words: str) -> None:
    failure = runner.fail("give", [expression])
    assert failure["reason"] == "bad result"
    assert any(each in failure["exception_class_path"] for each in kind.split("|"))
    assert words in failure["traceback"]
    assert runner.run("add", [1]) == 2


@pytest.mark.parametrize(
    ("how", "path", "words"),
    [
        ("unprintable", "shop.tasks.Unprintable", "Unprintable"),
        ("lying", None, "Lying"),
        ("huge", "builtins.ValueError", "xxxx"),
        ("unstorable", "builtins.ValueError", r"a\x00b\ud800c"),
        ("deep", "builtins.ValueError", "ValueError: bottom\n"),
        ("chain", "builtins.ValueError", "ValueError: 99999\n"),
        ("memory", "builtins.MemoryError", "MemoryError"),
    ],
)
def test_recording_a_failure_never_fails(runner: Runner, how: str, path: str | None, words: str) -> None:
    failure = runner.fail("fail_badly", [how])
    if path:
        assert failure["exception_class_path"] == path
    assert words in failure["traceback"]
    assert len(failure["traceback"].encode()) <= 64 * 1024
    assert runner.run("add", [1]) == 2


def test_a_recall_is_obeyed_while_the_runner_works_on_a_job_before(runner: Runner, zygote: Zygote) -> None:
    here = Path(os.readlink(f"/proc/{zygote.process.pid}/cwd"))
    first = runner.send("wait", ["go"])
    second, third = runner.send("add", [1]), runner.send("add", [2])
    assert runner.expect("S").startswith(first)
    wait_for(here / "waiting")
    runner.recall(second)
    (here / "go").touch()
    assert runner.expect("D").startswith(first)
    # It says that it starts it, looks, and does not; or it has read both frames at once and need not say so.
    said = runner.next()
    if said and said[0] == "S":
        assert said[1].startswith(second)
        said = runner.next()
    assert said == ("B", second)
    assert runner.expect("S").startswith(third)
    assert runner.expect("D") == third + b"3"


def test_a_recall_that_comes_too_late_changes_nothing(runner: Runner) -> None:
    key = runner.send("add", [1])
    runner.expect("S")
    runner.expect("D")
    runner.recall(key)
    assert runner.run("add", [1]) == 2
    # Nor does it touch a later claim of the same job.
    assert runner.run("add", [1], token=2) == 2


def test_an_unknown_task_is_given_back_with_the_reason(runner: Runner) -> None:
    key = runner.send("nothing")
    assert runner.expect("B") == key + b"task shop.tasks.nothing is not registered here"


def test_arguments_of_the_wrong_shape_fail_the_job(runner: Runner) -> None:
    for changes in ({"kwargs": []}, {"args": {"a": 1}}, {"args": "ab"}, {"enqueued_at": "yesterday"}):
        failure = runner.fail("add", [1], **changes)
        assert failure["reason"] == "error"
        assert failure["exception_class_path"] in ("builtins.TypeError", "builtins.ValueError")


def test_a_transaction_left_open_does_not_leak_into_the_next_job(runner: Runner) -> None:
    failure = runner.fail("leave_a_transaction_open")
    assert failure["exception_class_path"] == "gristmill.exceptions.TransactionLeftOpen"
    assert runner.run("tables") == []


def test_moments_are_naive_where_the_project_is(tmp_path: Path) -> None:
    settings = SETTINGS.replace("USE_TZ = True", "USE_TZ = False\nTIME_ZONE = 'Europe/Zurich'")
    tasks = "@task(takes_context=True)\ndef when(context): return context.task_result.enqueued_at.isoformat()\n"
    zygote = Zygote(tmp_path, tasks, settings=settings)
    zygote.hello()
    assert zygote.spawn().run("when") == "2026-01-01T11:00:00"
    zygote.close()


def test_quit_ends_the_runner_when_nothing_is_left_to_run(zygote: Zygote) -> None:
    runner = zygote.spawn()
    key = runner.send("add", [1])
    runner.socket.sendall(b"\x01\x00\x00\x00Q")
    assert runner.expect("S").startswith(key)
    assert runner.expect("D") == key + b"2"
    assert runner.next() is None
    assert json.loads(zygote.expect("X"))["status"] == 0
