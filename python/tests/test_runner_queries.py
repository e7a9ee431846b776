"""A job that is stopped leaves no query behind on the server, and no connection that another job cannot use."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django
import pytest

from tests.dsn import settings_of_runners
from tests.supervisor import SETTINGS, Runner, Zygote, until, wait_for

TASKS = """
import threading
from pathlib import Path
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection, models, transaction

HERE = Path(__file__).parent.parent

def touch(name): (HERE / name).write_text("x")

async def appears(name):
    while not (HERE / name).exists(): await asyncio.sleep(0.002)

def run(statement, *binds):
    with connection.cursor() as cursor:
        cursor.execute(statement, binds)
        return cursor.fetchall() if cursor.description else None

class Photo(models.Model):
    class Meta: app_label = "shop"

@task
def prepare():
    run("drop table if exists shop_photo")
    run("create table shop_photo (id integer primary key)")
    for number in range(5): run("insert into shop_photo values (%s)", number)

NAP = "select pg_sleep(600)"

def nap(how):
    "Holds a lock and waits on the server."
    if how == "autocommit":
        touch("asked")
        run(NAP)
    with transaction.atomic():
        run("update shop_photo set id = id")
        touch("asked")
        run(NAP)

@task
def wait_in_the_database(how="atomic"): nap(how)

@task
async def wait_in_the_database_later(): await sync_to_async(nap)("atomic")

@task
async def wait_in_the_database_elsewhere(): await asyncio.to_thread(nap, "atomic")

@task
def wait_in_a_thread():
    thread = threading.Thread(target=nap, args=("atomic",), name="napping")
    thread.start()
    thread.join()

@task
def wait_for_an_async_one():
    async def wait(): await sync_to_async(nap)("atomic")
    async_to_sync(wait)()

@task
def note_that_it_was_stopped(how):
    try:
        nap(how)
    except BaseException as error:
        return [type(error).__name__, run("select count(*) from shop_photo")[0][0]]

class Slow(Exception):
    def __str__(self): return str(run(NAP))

@task
def fail_slowly(): raise Slow

@task
def count(): return run("select count(*) from shop_photo")[0][0]

@task
async def count_later(): return await Photo.objects.acount()

@task
def backend_pid(): return run("select pg_backend_pid()")[0][0]

@task
def looking(): return run("select current_setting('client_connection_check_interval')")[0][0]

@task
async def walk():
    numbers = []
    async for photo in Photo.objects.order_by("id").aiterator(chunk_size=1):
        numbers.append(photo.id)
        if photo.id == 1:
            touch("walking")
            await appears("go on")
    return numbers

@task
async def leave_a_transaction_open():
    await sync_to_async(lambda: transaction.atomic().__enter__())()

@task
async def is_in_a_transaction(): return await sync_to_async(lambda: connection.in_atomic_block)()

# -- of the second runner, which looks ----

@task
def napping():
    active = "datname = current_database() and state = 'active'"
    return run(f"select count(*) from pg_stat_activity where query = %s and {active}", NAP)[0][0]

@task
def locked():
    "Tells whether someone has locked a row, without waiting for it."
    with transaction.atomic():
        return len(run("select id from shop_photo for update skip locked")) < 5
"""
HOW = {"timeout": 1}
TRANSACTIONAL = {"transactional": True}


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    zygote = Zygote(tmp_path_factory.mktemp("project"), TASKS, settings=SETTINGS + settings_of_runners())
    zygote.hello()
    yield zygote
    zygote.close()


@pytest.fixture
def here(zygote: Zygote) -> Path:
    for name in ("asked", "walking", "go on"):
        (zygote.folder / name).unlink(missing_ok=True)
    return zygote.folder


@pytest.fixture
def runner(zygote: Zygote, here: Path) -> Iterator[Runner]:
    """One that may be gone when the test is over."""
    runner = zygote.spawn()
    runner.run("prepare")
    yield runner
    runner.socket.close()
    until_reaped(zygote, runner)


@pytest.fixture
def other(zygote: Zygote, runner: Runner) -> Iterator[Runner]:
    """A second runner, to look with."""
    other = zygote.spawn()
    yield other
    zygote.kill(other)
    until_reaped(zygote, other)


def until_reaped(zygote: Zygote, runner: Runner) -> None:
    """Waits until a runner is gone, whichever of them goes first."""
    reaped = zygote.__dict__.setdefault("reaped", set())
    while runner.number not in reaped:
        reaped.add(zygote.exited()["runner"])


def stop(runner: Runner, here: Path, how: str, task: str, arguments: Any = (), **options: Any) -> dict[str, Any]:
    """Has a job stopped while it waits in the database; gives the frame of its failure."""
    key = runner.start(task, arguments, options={**options, **(HOW if how == "timeout" else {})})
    wait_for(here / "asked")
    if how == "cancel":
        # The statement follows at once.
        runner.cancel(key)
    while (frame := runner.next()) is not None:
        if frame[0] == "F":
            return dict(json.loads(frame[1][24:]))
    raise AssertionError("closed")


@pytest.mark.only_on_postgres
@pytest.mark.parametrize("how", ["timeout", "cancel"])
@pytest.mark.parametrize(("task", "options"), [
    ("wait_in_the_database", {}),
    ("wait_in_the_database", TRANSACTIONAL),
    ("wait_in_the_database_later", {}),
    ("wait_in_the_database_later", TRANSACTIONAL),
    ("wait_in_the_database_elsewhere", {}),
    ("wait_in_a_thread", {}),
    ("wait_for_an_async_one", {}),
])  # fmt: skip
def test_a_stopped_job_leaves_no_query_and_no_lock_behind(
    runner: Runner, other: Runner, here: Path, how: str, task: str, options: dict[str, Any]
) -> None:
    failure = stop(runner, here, how, task, **options)
    assert failure["reason"] == ("timeout" if how == "timeout" else "cancelled"), failure["traceback"]
    until(lambda: other.run("napping") == 0)
    until(lambda: not other.run("locked"))


@pytest.mark.only_on_postgres
@pytest.mark.parametrize("how", ["atomic", "autocommit"])
def test_a_handler_that_catches_its_timeout_can_use_its_connection(runner: Runner, other: Runner, how: str) -> None:
    assert runner.run("note_that_it_was_stopped", [how], options=HOW) == ["TimedOut", 5]
    assert other.run("napping") == 0
    assert runner.run("count") == 5


@pytest.mark.only_on_postgres
@pytest.mark.parametrize("task", ["wait_in_the_database", "wait_in_the_database_later"])
def test_the_server_ends_the_query_of_a_runner_that_is_killed(
    zygote: Zygote, runner: Runner, other: Runner, here: Path, task: str
) -> None:
    runner.start(task)
    until(lambda: other.run("napping") == 1)
    os.kill(runner.pid, 9)
    until(lambda: other.run("napping") == 0)
    until(lambda: not other.run("locked"))


@pytest.mark.only_on_postgres
def test_a_query_in_an_exceptions_text_costs_the_next_job_nothing(runner: Runner, other: Runner) -> None:
    assert runner.fail("fail_slowly")["exception_class_path"] == "shop.tasks.Slow"
    until(lambda: other.run("napping") == 0)
    if django.VERSION < (6, 0):
        # The backport's own log asks for the text once more, and is stopped in the middle of that.
        assert runner.expect("L") == b""
    else:
        assert runner.run("count") == 5


@pytest.mark.only_on_postgres
def test_a_stopped_jobs_neighbour_keeps_its_query(runner: Runner, other: Runner, here: Path) -> None:
    stopped = runner.start("wait_in_the_database_elsewhere", options={"timeout": 600})
    until(lambda: other.run("napping") == 1)
    # The first may be done before the last one starts.
    neighbours = [runner.send("count_later") for _ in range(3)]
    runner.cancel(stopped)
    told: dict[bytes, str] = {}
    while len(told) < 4:
        frame = runner.next()
        assert frame is not None
        # What was stopped was in the middle of something, so the process goes.
        if frame[0] not in "LS":
            told[frame[1][:24]] = frame[0]
    assert told == {stopped: "F", **dict.fromkeys(neighbours, "D")}


def test_a_job_that_ends_closes_no_connection_under_its_neighbours_cursor(runner: Runner, here: Path) -> None:
    walks = runner.start("walk")
    wait_for(here / "walking")
    assert runner.run("count_later") == 5
    (here / "go on").write_text("x")
    assert runner.rest(walks) == [("D", [0, 1, 2, 3, 4])]
    # Nobody uses it now.
    assert runner.run("count_later") == 5


def test_what_a_job_leaves_in_a_transaction_is_undone_whoever_else_is_there(runner: Runner, here: Path) -> None:
    walks = runner.start("walk")
    wait_for(here / "walking")
    failure = runner.fail("leave_a_transaction_open")
    assert failure["exception_class_path"] == "gristmill.exceptions.TransactionLeftOpen"
    assert runner.run("is_in_a_transaction") is False
    # It may have lost its cursor by that.
    (here / "go on").write_text("x")
    assert runner.rest(walks)[-1][0] in "DF"
