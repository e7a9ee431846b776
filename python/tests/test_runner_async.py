"""Many async jobs at a time in one runner: their starts, their ends, and what must not mix."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.supervisor import AGAIN, PATIENCE, Runner, Zygote, wait_for

TASKS = """
from asgiref.sync import sync_to_async
from pathlib import Path
from gristmill.compat import task_finished, task_started
from gristmill.tasks.postpone import Postpone

HERE = Path(__file__).parent.parent
waiting = {}
seen = []

@task
def add(a, b): return a + b

@task
async def add_later(a, b):
    await asyncio.sleep(0)
    return a + b

@task
async def meet(name, other):
    mine, theirs = waiting.setdefault(name, asyncio.Event()), waiting.setdefault(other, asyncio.Event())
    mine.set()
    await theirs.wait()
    return name

@task
async def print_by_turns(name, other, count):
    await meet.func(name, other)
    for number in range(count):
        print(name, number)
        await asyncio.sleep(0)
        await sync_to_async(print)(name, "thread")

@task
async def wait_for_ever(name=None):
    if name: (HERE / name).write_text("x")
    await asyncio.sleep(FOREVER)

@task
async def swallow(name):
    (HERE / name).write_text("x")
    try:
        await asyncio.sleep(FOREVER)
    except asyncio.CancelledError:
        return "swallowed"

@task
async def clean_up_badly(name):
    (HERE / name).write_text("x")
    try:
        await asyncio.sleep(FOREVER)
    finally:
        raise ValueError("while I cleaned up")

@task
async def fail(): raise ValueError("no")

@task
async def leave(): sys.exit(3)

@task
async def leave_from_a_task():
    async def leave(): sys.exit(3)
    await asyncio.gather(asyncio.create_task(leave()), return_exceptions=True)
    await asyncio.sleep(0.05)
    return "still here"

@task
async def cancel_itself(): asyncio.current_task().cancel(); await asyncio.sleep(FOREVER)

@task
async def postpone(): raise Postpone(7)

@task
async def give_a_set(): return {1}

@task
async def leave_a_task_behind():
    async def linger():
        try: await asyncio.sleep(FOREVER)
        finally: (HERE / "lingered").write_text("x")
    global left
    left = asyncio.create_task(linger())
    await asyncio.sleep(0)

@task
async def use_the_database():
    from django.db import connection
    def ask():
        with connection.cursor() as cursor:
            cursor.execute("select 7")
            return cursor.fetchone()[0]
    return await sync_to_async(ask)()

@task
async def leave_a_transaction_open():
    from django.db import transaction
    await sync_to_async(lambda: transaction.atomic().__enter__())()

@task
async def is_in_a_transaction():
    from django.db import connection
    return await sync_to_async(lambda: connection.in_atomic_block)()

@task(takes_context=True)
async def report(context, done):
    context.progress(done)
    context.log("noted")
    await asyncio.sleep(0)
    return context.attempt

@task
def signals(): return [*seen]

def note(sender, task_result, **kwargs):
    seen.append([task_result.task.name, task_result.status, bool(sys.exc_info()[0])])

task_started.connect(note)
task_finished.connect(note)
"""


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    zygote = Zygote(tmp_path_factory.mktemp("project"), TASKS)
    zygote.told = zygote.hello()  # type: ignore[attr-defined]
    yield zygote
    zygote.close()


@pytest.fixture
def runner(zygote: Zygote) -> Iterator[Runner]:
    runner = zygote.spawn()
    yield runner
    zygote.kill(runner)
    assert zygote.exited()["runner"] == runner.number


def ends_of(runner: Runner, keys: list[bytes]) -> dict[bytes, list[tuple[str, Any]]]:
    """Waits until each of these jobs has ended; gives what was said of it after its start."""
    said: dict[bytes, list[tuple[str, Any]]] = {key: [] for key in keys}
    open_keys = set(keys)
    while open_keys:
        frame = runner.next()
        assert frame is not None
        kind, payload = frame
        key = payload[:24]
        if kind == "S":
            continue
        text = payload[24:].decode()
        said[key].append((kind, json.loads(text) if kind in "DFPG" else text))
        if kind in "DFPB":
            open_keys.remove(key)
    return said


def test_the_zygote_says_which_tasks_are_async(zygote: Zygote) -> None:
    told = zygote.told  # type: ignore[attr-defined]
    assert "shop.tasks.add_later" in told["async"]
    assert "shop.tasks.add" not in told["async"]
    assert set(told["async"]) < set(told["tasks"])


def test_async_jobs_run_side_by_side(runner: Runner) -> None:
    first, second = runner.send("meet", ["a", "b"]), runner.send("meet", ["b", "a"])
    said = ends_of(runner, [first, second])
    assert said == {first: [("D", "a")], second: [("D", "b")]}


def test_a_hundred_at_a_time(runner: Runner) -> None:
    keys = [runner.send("meet", [str(number), str((number + 1) % 100)]) for number in range(100)]
    said = ends_of(runner, keys)
    assert [said[key] for key in keys] == [[("D", str(number))] for number in range(100)]


def test_a_sync_job_waits_until_no_async_one_runs(runner: Runner) -> None:
    first = runner.start("meet", ["c", "d"])
    sync = runner.send("add", [1, 2])
    # Behind the sync one, so it does not overtake it.
    last = runner.send("add_later", [1, 2])
    assert runner.is_silent()
    runner.recall(sync)
    assert runner.expect("B") == sync
    assert runner.expect("S").startswith(last)
    assert runner.rest(last) == [("D", 3)]
    second = runner.start("meet", ["d", "c"])
    assert set(ends_of(runner, [first, second])) == {first, second}
    assert runner.run("add", [1, 2]) == 3


def test_sync_and_async_jobs_take_turns(runner: Runner) -> None:
    for number in range(20):
        assert runner.run("add", [number, 1]) == number + 1
        assert runner.run("add_later", [number, 1]) == number + 1


def test_a_recall_before_the_start_is_obeyed(runner: Runner) -> None:
    from gristmill.runner.frame import pack

    first = runner.start("meet", ["e", "f"])
    # In one write, so that both are there when it looks.
    key = runner.key_of("add_later", [1, 2])
    runner.socket.sendall(key[1] + pack(ord("C"), key[0]))
    said = ends_of(runner, [key[0]])
    assert said[key[0]] == [("B", "")]
    second = runner.start("meet", ["f", "e"])
    ends_of(runner, [first, second])


def test_output_does_not_mix(runner: Runner) -> None:
    first = runner.send("print_by_turns", ["x", "y", 20])
    second = runner.send("print_by_turns", ["y", "x", 20])
    said = ends_of(runner, [first, second])
    for key, name in ((first, "x"), (second, "y")):
        (kind, text), _ = said[key]
        assert kind == "O"
        assert text == "".join(f"{name} {number}\n{name} thread\n" for number in range(20))


def test_failures_are_told_as_those_of_sync_jobs_are(runner: Runner) -> None:
    failure = runner.fail("fail")
    assert failure["reason"] == "error"
    assert failure["exception_class_path"] == "builtins.ValueError"
    assert runner.fail("leave")["exception_class_path"] == "builtins.SystemExit"
    assert runner.fail("give_a_set")["reason"] == "bad result"
    assert "CancelledError" in runner.fail("cancel_itself")["exception_class_path"]
    assert runner.rest(runner.start("postpone")) == [("P", {"after": 7.0, "until": None, "why": ""})]
    assert runner.run("leave_from_a_task") == "still here"
    assert runner.run("add_later", [1, 2]) == 3


def test_a_job_that_exits_does_not_cost_its_neighbours(runner: Runner) -> None:
    first = runner.start("meet", ["g", "h"])
    assert runner.fail("leave")["reason"] == "error"
    second = runner.start("meet", ["h", "g"])
    assert all(said[-1][0] == "D" for said in ends_of(runner, [first, second]).values())


def test_a_job_whose_time_is_over_ends_alone(runner: Runner) -> None:
    first = runner.start("meet", ["i", "j"])
    failure = runner.fail("wait_for_ever", options={"timeout": 0.05})
    assert failure["reason"] == "timeout"
    assert failure["exception_class_path"] == "gristmill.exceptions.TimedOut"
    assert "builtins.TimeoutError" in failure["classes"]
    second = runner.start("meet", ["j", "i"])
    assert all(said[-1][0] == "D" for said in ends_of(runner, [first, second]).values())


@pytest.mark.parametrize(("task", "end"), [
    ("wait_for_ever", ("F", "gristmill.exceptions.Cancelled")),
    ("clean_up_badly", ("F", "builtins.ValueError")),
    ("swallow", ("D", "swallowed")),
])  # fmt: skip
def test_a_cancel_ends_one_job(runner: Runner, zygote: Zygote, task: str, end: Any) -> None:
    (zygote.folder / task).unlink(missing_ok=True)
    first = runner.start("meet", ["k", "l"])
    key = runner.start(task, [task])
    wait_for(zygote.folder / task)
    runner.cancel(key)
    ((kind, told),) = runner.rest(key)
    if kind == "F":
        assert told["reason"] == "cancelled"
        told = told["exception_class_path"]
    assert (kind, told) == end
    second = runner.start("meet", ["l", "k"])
    assert all(said[-1][0] == "D" for said in ends_of(runner, [first, second]).values())


def test_the_database_is_at_hand_and_tidied(runner: Runner) -> None:
    assert runner.run("use_the_database") == 7
    failure = runner.fail("leave_a_transaction_open")
    assert failure["exception_class_path"] == "gristmill.exceptions.TransactionLeftOpen"
    assert runner.run("is_in_a_transaction") is False


def test_what_a_job_has_left_in_the_loop_ends_when_the_loop_does(runner: Runner, zygote: Zygote) -> None:
    runner.run("leave_a_task_behind")
    wait_for(zygote.folder / "lingered")
    assert runner.run("add_later", [1, 2]) == 3


def test_signals_are_sent_with_the_exception_at_hand(runner: Runner) -> None:
    def told(count: int) -> list[Any]:
        """Waits for so many, as one job's end is told while the next one starts already."""
        deadline = time.monotonic() + PATIENCE
        while len(found := [signal for signal in runner.run("signals") if signal[0] != "signals"]) < count:
            assert time.monotonic() < deadline, found
        return found

    runner.run("add_later", [1, 2])
    assert told(2) == [["add_later", "RUNNING", False], ["add_later", "SUCCESSFUL", False]]
    runner.fail("fail")
    assert told(4)[2:] == [["fail", "RUNNING", False], ["fail", "FAILED", True]]
    runner.verdicts = {**runner.verdicts, "F": ""}
    runner.fail("fail", **AGAIN)
    assert told(5)[4:] == [["fail", "RUNNING", False]]


def test_async_jobs_have_contexts(runner: Runner) -> None:
    said = runner.all_of("report", [5], attempt=3, token=3)
    assert said["G"]["done"] == 5
    assert said["O"].endswith(" noted\n")
    assert said["D"] == 3


def test_arguments_that_do_not_fit_are_told_before_the_start(runner: Runner) -> None:
    key = runner.send("add_later", [1])
    assert runner.expect("I").startswith(key)


def test_quit_waits_for_what_runs(zygote: Zygote, tmp_path: Path) -> None:
    runner = zygote.spawn()
    first = runner.start("meet", ["m", "n"])
    runner.socket.sendall(b"\x01\x00\x00\x00Q")
    second = runner.start("meet", ["n", "m"])
    ends_of(runner, [first, second])
    assert runner.next() is None
    assert zygote.exited()["status"] == 0


def test_the_worker_gone_ends_the_loop(zygote: Zygote) -> None:
    runner = zygote.spawn()
    runner.start("wait_for_ever")
    runner.socket.close()
    assert zygote.exited()["status"] == 1
