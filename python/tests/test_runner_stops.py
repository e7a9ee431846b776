"""What is stopped, stops: nothing of an attempt goes on beside the next one, and no other job is hurt by it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.supervisor import AGAIN, Runner, Zygote, gone, until, wait_for

TASKS = """
import subprocess, threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from asgiref.sync import async_to_sync, sync_to_async
from gristmill.tasks.postpone import Postpone

HERE = Path(__file__).parent.parent
waiting = {}

def touch(name): (HERE / name).write_text("x")

def wait_for(name):
    until = time.monotonic() + 60
    while not (HERE / name).exists() and time.monotonic() < until:
        time.sleep(0.002)

class Client:
    "A library's, of one connection: answers come in the order of the questions."
    def __init__(self): self.answers = []

    def ask(self, question, wait):
        self.answers.append(f"the answer to {question}")
        if wait:
            touch("asked")
            time.sleep(FOREVER)
        return self.answers.pop(0)

    async def ask_later(self, question, wait):
        self.answers.append(f"the answer to {question}")
        if wait:
            touch("asked")
            await asyncio.sleep(FOREVER)
        return self.answers.pop(0)

client = Client()

@task
def ask(question, wait=False): return client.ask(question, wait)

@task
async def ask_later(question, wait=False): return await client.ask_later(question, wait)

@task
def nap():
    # Not by touch(): from now on it is to be in its own code alone.
    os.symlink(__file__, HERE / "asked")
    time.sleep(FOREVER)

@task
async def nap_later():
    touch("asked")
    await asyncio.sleep(FOREVER)

def fill(client):
    client.answers = bytearray(4 << 30)

@task
def grow(elsewhere):
    if elsewhere: fill(client)
    return len(bytearray(4 << 30))

@task
def ask_and_swallow(question):
    try:
        client.ask(question, True)
    except BaseException:
        return "swallowed"

@task
def call_async():
    async def clean_up():
        touch("asked")
        try:
            await asyncio.sleep(FOREVER)
        finally:
            touch("cleaned up")
    async_to_sync(clean_up)()

@task
def call_deaf_async():
    async def block():
        touch("asked")
        time.sleep(FOREVER)
    async_to_sync(block)()

@task
def start_a_program():
    (HERE / "program").write_text(str(subprocess.Popen(["sleep", "600"]).pid))
    touch("asked")
    time.sleep(FOREVER)

@task
def start_a_daemon():
    threading.Thread(target=time.sleep, args=(FOREVER,), name="a daemon", daemon=True).start()
    touch("asked")
    time.sleep(FOREVER)

@task
def fail_with_a_thread(postpones):
    ThreadPoolExecutor(1, "busy").submit(time.sleep, FOREVER)
    raise Postpone(0) if postpones else ValueError("no")

pool = ThreadPoolExecutor(1, "pooled")

@task
def use_the_pool(): return pool.submit(lambda: 5).result()

@task
def leave_the_pool_busy():
    pool.submit(time.sleep, FOREVER)

@task
async def call_sync(ends):
    def work():
        touch("asked")
        print("late", flush=True)
        wait_for("go on")
        if ends: touch("ended")
        else: time.sleep(FOREVER)
    try:
        await sync_to_async(work)()
    finally:
        touch("stopped")

@task
async def call_sync_elsewhere():
    def work():
        touch("asked")
        wait_for("go on")
        touch("ended")
    try:
        await asyncio.gather(asyncio.to_thread(work), asyncio.sleep(FOREVER))
    finally:
        touch("stopped")

@task
async def fail_beside_a_thread():
    def work():
        touch("asked")
        wait_for("go on")
        touch("ended")
    async def fail():
        while not (HERE / "asked").exists(): await asyncio.sleep(0.002)
        raise ValueError("no")
    await asyncio.gather(asyncio.to_thread(work), fail())

@task
async def leave_a_task_and_fail():
    async def linger():
        try:
            await asyncio.sleep(FOREVER)
        finally:
            touch("ended")
    asyncio.create_task(linger())
    await asyncio.sleep(0)
    raise ValueError("no")

@task
async def start_a_program_later():
    program = await asyncio.create_subprocess_exec("sleep", "600")
    (HERE / "program").write_text(str(program.pid))
    touch("asked")
    await program.wait()

@task
async def use_the_shared_thread(): return await sync_to_async(lambda: 7)()

@task
async def meet(name, other):
    mine, theirs = waiting.setdefault(name, asyncio.Event()), waiting.setdefault(other, asyncio.Event())
    mine.set()
    await theirs.wait()
    return name

@task
def add(a, b):
    print("sum")
    return a + b

@task
def pid(): return os.getpid()
"""


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    zygote = Zygote(tmp_path_factory.mktemp("project"), TASKS)
    zygote.hello()
    yield zygote
    zygote.close()


@pytest.fixture
def here(zygote: Zygote) -> Path:
    for name in ("asked", "go on", "ended", "cleaned up", "program", "stopped"):
        (zygote.folder / name).unlink(missing_ok=True)
    return zygote.folder


@pytest.fixture
def runner(zygote: Zygote, here: Path) -> Iterator[Runner]:
    """One that may be gone when the test is over."""
    runner = zygote.spawn()
    yield runner
    runner.socket.close()
    assert zygote.exited()["runner"] == runner.number


def stop(runner: Runner, how: str, task: str, arguments: Any = (), *, again: bool = False, **options: Any) -> bytes:
    """Starts a job and has it stopped while it waits for something; gives its key."""
    if how == "timeout":
        options["timeout"] = 1
    key = runner.start(task, arguments, options=options or None, **(AGAIN if again else {}))
    if how == "cancel":
        # It has begun to wait once it has said so.
        wait_for(runner.here / "asked")  # type: ignore[attr-defined]
        runner.cancel(key)
    return key


@pytest.fixture(autouse=True)
def at_home(runner: Runner, here: Path) -> None:
    runner.here = here  # type: ignore[attr-defined]


def said_of(runner: Runner, key: bytes) -> list[tuple[str, Any]]:
    """Waits for the end of a job; gives all that the runner said until then but what it printed."""
    said: list[tuple[str, Any]] = []
    while not said or said[-1][0] not in "DFP":
        frame = runner.next()
        assert frame is not None, f"closed after {said}"
        kind, payload = frame
        if kind == "O":
            continue
        assert payload[:24] in (b"", key), frame
        said.append((kind, json.loads(payload[24:]) if kind in "DFP" else payload))
    return said


def closes(runner: Runner) -> bool:
    """Tells whether a runner ends, having said nothing more than that it does."""
    return (frame := runner.next()) is None or (frame == ("L", b"") and runner.next() is None)


@pytest.mark.parametrize("how", ["timeout", "cancel"])
def test_a_client_stopped_in_the_middle_gives_its_answer_to_no_other_job(runner: Runner, here: Path, how: str) -> None:
    key = runner.start("ask", ["first", True], options={"timeout": 1} if how == "timeout" else None)
    wait_for(here / "asked")
    waits = runner.send("ask", ["second"])
    if how == "cancel":
        runner.cancel(key)
    ((kind, failure),) = said_of(runner, key)
    assert (kind, failure["reason"]) == ("F", "timeout" if how == "timeout" else "cancelled")
    assert (runner.expect("L"), runner.expect("B")) == (b"", waits)
    assert closes(runner)


def test_a_runner_whose_memory_ran_out_in_other_code_ends_with_the_job(runner: Runner) -> None:
    limit = {"max_memory_mb": 300}
    assert runner.fail("grow", [False], options=limit)["reason"] == "memory"
    assert runner.run("pid") == runner.pid
    assert runner.fail("grow", [True], options=limit)["reason"] == "memory"
    assert closes(runner)


def test_a_client_whose_interruption_is_swallowed_is_not_used_again(runner: Runner) -> None:
    assert said_of(runner, stop(runner, "timeout", "ask_and_swallow", ["first"])) == [("D", "swallowed")]
    assert closes(runner)


@pytest.mark.parametrize("how", ["timeout", "cancel"])
def test_an_async_client_stopped_in_the_middle_gives_its_answer_to_no_other_job(runner: Runner, how: str) -> None:
    first = runner.start("meet", ["a", "b"])
    key = stop(runner, how, "ask_later", ["first", True])
    (kind, empty), (end, failure) = said_of(runner, key)
    assert (kind, empty) == ("L", b"")
    assert (end, failure["reason"]) == ("F", "timeout" if how == "timeout" else "cancelled")
    # Nothing new starts beside those that were there.
    for task in ("ask_later", "ask"):
        waits = runner.send(task, ["second"])
        assert runner.expect("B") == waits
    runner.cancel(first)
    ((kind, told),) = runner.rest(first)
    assert (kind, told["reason"]) == ("F", "cancelled")
    assert closes(runner)


@pytest.mark.parametrize("how", ["timeout", "cancel"])
@pytest.mark.parametrize("task", ["nap", "nap_later"])
def test_a_runner_whose_job_was_stopped_in_its_own_code_goes_on(runner: Runner, how: str, task: str) -> None:
    # Its thread waits for work, which is no reason to end.
    assert runner.run("use_the_shared_thread") == 7
    assert [kind for kind, _ in said_of(runner, stop(runner, how, task))] == ["F"]
    assert runner.run("pid") == runner.pid


def test_what_a_sync_job_calls_async_is_stopped_with_it(runner: Runner, here: Path) -> None:
    ((kind, failure),) = said_of(runner, stop(runner, "timeout", "call_async", again=True))
    assert (kind, failure["reason"]) == ("F", "timeout")
    assert (here / "cleaned up").exists()
    assert closes(runner)


@pytest.mark.parametrize(("task", "what"), [
    ("call_deaf_async", "ThreadPoolExecutor"),
    ("start_a_program", "process "),
    ("start_a_daemon", "a daemon"),
])  # fmt: skip
def test_an_end_that_something_goes_on_after_counts_when_the_runner_is_gone(
    zygote: Zygote, runner: Runner, here: Path, task: str, what: str
) -> None:
    key = stop(runner, "timeout", task, again=True)
    (kind, whose), (end, failure) = said_of(runner, key)
    assert (kind, whose, end, failure["reason"]) == ("L", key, "F", "timeout")
    assert closes(runner)
    assert what in zygote.errors().rpartition("goes on here")[2]
    if task == "start_a_program":
        until(lambda: gone(int((here / "program").read_text())))


def test_a_last_attempt_is_told_as_any_other(runner: Runner) -> None:
    ((kind, failure),) = said_of(runner, stop(runner, "timeout", "call_deaf_async"))
    assert (kind, failure["reason"]) == ("F", "timeout")
    assert closes(runner)


@pytest.mark.parametrize(("postpones", "how"), [(False, "F"), (True, "P")])
def test_an_end_that_leaves_a_thread_at_work_counts_when_the_runner_is_gone(
    runner: Runner, postpones: bool, how: str
) -> None:
    key = runner.start("fail_with_a_thread", [postpones], **AGAIN)
    (kind, whose), (end, _) = said_of(runner, key)
    assert (kind, whose, end) == ("L", key, how)
    assert closes(runner)


def test_an_executor_that_is_still_at_work_ends_the_runner(zygote: Zygote, runner: Runner) -> None:
    assert runner.run("use_the_pool") == 5
    assert runner.run("pid") == runner.pid
    (first, leaves), (second, waits) = runner.key_of("leave_the_pool_busy"), runner.key_of("add", [1, 2])
    runner.socket.sendall(leaves + waits)
    assert runner.expect("S").startswith(first)
    assert runner.rest(first) == [("D", None)]
    assert runner.expect("B") == second
    assert closes(runner)
    until(lambda: "shop.tasks.leave_the_pool_busy left threads running: pooled_0;" in zygote.errors())


@pytest.mark.parametrize("how", ["timeout", "cancel"])
@pytest.mark.parametrize(("task", "arguments"), [("call_sync", [True]), ("call_sync_elsewhere", [])])
def test_an_async_job_ends_when_what_it_has_called_in_threads_does(
    runner: Runner, here: Path, how: str, task: str, arguments: Any
) -> None:
    key = stop(runner, how, task, arguments, again=True)
    wait_for(here / "stopped")
    neighbour = runner.start("meet", ["c", "d"])
    (here / "go on").write_text("x")
    ((kind, failure),) = said_of(runner, key)
    assert (kind, failure["reason"]) == ("F", "timeout" if how == "timeout" else "cancelled")
    assert (here / "ended").exists()
    other = runner.start("meet", ["d", "c"])
    ends = {runner.next(), runner.next()}
    assert ends == {("D", neighbour + b'"c"'), ("D", other + b'"d"')}
    assert runner.run("pid") == runner.pid


def test_an_async_job_that_goes_on_in_a_thread_is_killed_with_its_runner(zygote: Zygote, runner: Runner) -> None:
    key = stop(runner, "timeout", "call_sync", [False])
    (kind, whose), (end, failure) = said_of(runner, key)
    assert (kind, whose, end, failure["reason"]) == ("L", key, "F", "timeout")
    assert "goes on here, which ends with this process: call_sync.<locals>.work" in zygote.errors()


def test_an_async_job_that_fails_beside_a_thread_ends_after_it(runner: Runner, here: Path) -> None:
    key = runner.start("fail_beside_a_thread", **AGAIN)
    wait_for(here / "asked")
    (here / "go on").write_text("x")
    ((kind, failure),) = said_of(runner, key)
    assert (kind, failure["reason"]) == ("F", "error")
    assert (here / "ended").exists()
    assert runner.run("pid") == runner.pid


def test_the_asyncio_tasks_of_a_job_that_fails_end_with_it(runner: Runner, here: Path) -> None:
    neighbour = runner.start("meet", ["e", "f"])
    key = runner.start("leave_a_task_and_fail", **AGAIN)
    ((kind, failure),) = said_of(runner, key)
    assert (kind, failure["reason"]) == ("F", "error")
    assert (here / "ended").exists()
    runner.cancel(neighbour)
    assert runner.rest(neighbour)[-1][0] == "F"


def test_a_program_that_an_async_job_waits_for_is_killed_when_it_is_stopped(runner: Runner, here: Path) -> None:
    key = stop(runner, "cancel", "start_a_program_later")
    *_, (kind, failure) = said_of(runner, key)
    assert (kind, failure["reason"]) == ("F", "cancelled")
    until(lambda: gone(int((here / "program").read_text())))


def test_what_a_stopped_job_prints_later_is_nobody_elses(runner: Runner, here: Path) -> None:
    key = stop(runner, "cancel", "call_sync", [True])
    wait_for(here / "stopped")
    (here / "go on").write_text("x")
    assert said_of(runner, key)[-1][0] == "F"
    assert runner.all_of("add", [1, 2]) == {"O": "sum\n", "D": 3}
