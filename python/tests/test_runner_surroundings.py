"""Nothing of one job is seen by the next: what a task changes of its process is put back, or its runner ends."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dsn import settings_of_runners
from tests.supervisor import SETTINGS, Runner, Zygote

TASKS = """
import contextvars, decimal, gc, io, locale, logging, random, socket
from asgiref.sync import sync_to_async
from django.db import connection, transaction
from django.utils import timezone, translation
from gristmill.tasks.postpone import Postpone
from gristmill.signals import runner_started

tenant = contextvars.ContextVar("tenant", default="nobody")
dice = random.Random(7)
started = []

def seed(sender, **kwargs):
    started.append(os.getpid())
    tenant.set("first")
    dice.seed()

def fail(sender, **kwargs): raise ValueError("it cannot be started")

runner_started.connect(seed)
runner_started.connect(fail)
# Before the first context is kept, as many a library does at its import.
decimal.getcontext()
os.environ["KEPT"] = "first"

CHANGES = {
    "a context variable": lambda: tenant.set("other"),
    "decimals": lambda: setattr(decimal.getcontext(), "prec", 3),
    "the folder": lambda: os.chdir("/"),
    "the umask": lambda: os.umask(0o077),
    "a new variable": lambda: os.environ.update(LEFT="here"),
    "a variable": lambda: os.environ.update(KEPT="other"),
    "no variable": lambda: os.environ.pop("KEPT"),
    "another environment": lambda: setattr(os, "environ", {"KEPT": "other"}),
    "the time zone": lambda: (os.environ.update(TZ="Asia/Tokyo"), time.tzset()),
    "the time zone alone": lambda: (
        os.environ.update(TZ="Asia/Tokyo"), time.tzset(), os.environ.update(TZ="UTC")
    ),
    "the locale": lambda: locale.setlocale(locale.LC_ALL, "C.UTF-8"),
    "stdout": lambda: setattr(sys, "stdout", io.StringIO()),
    "stdin": lambda: setattr(sys, "stdin", None),
    "a signal's handler": lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL),
    "blocked signals": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR2}),
    "sockets": lambda: socket.setdefaulttimeout(1),
    "the recursion limit": lambda: sys.setrecursionlimit(5_000),
    "garbage": gc.disable,
    "logging": lambda: logging.disable(logging.CRITICAL),
    "the language": lambda: translation.activate("fr"),
    "Django's time zone": lambda: timezone.activate("Asia/Tokyo"),
}

def surroundings():
    umask = os.umask(0)
    os.umask(umask)
    return [
        tenant.get(), decimal.getcontext().prec, os.getcwd(), umask, sorted(os.environ.items()), list(time.tzname),
        locale.setlocale(locale.LC_ALL), type(sys.stdout).__name__, sys.stdin is None,
        str(signal.getsignal(signal.SIGTERM)), sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ()))),
        socket.getdefaulttimeout(), sys.getrecursionlimit(), gc.isenabled(), logging.root.manager.disable,
        translation.get_language(), str(timezone.get_current_timezone()), os.getpid(),
    ]

@task
def look(): return surroundings()

@task
async def look_later(): return surroundings()

@task
def change(what):
    CHANGES[what]()
    return surroundings()

@task
async def change_later(what):
    CHANGES[what]()
    return surroundings()

@task
def lose_the_folder(moved):
    os.rename(os.getcwd(), moved)
    os.chdir("/")

@task
def be_nice(): os.nice(1)

@task
async def be_nice_later(): os.nice(1)

@task
def rolled(): return [dice.random(), started, os.getpid(), tenant.get()]

# -- transactions

def enter(): transaction.atomic().__enter__()

def note(name):
    with connection.cursor() as cursor:
        cursor.execute("create table if not exists noted (name text)")
        cursor.execute("insert into noted values (%s)", [name])

def begin():
    with connection.cursor() as cursor:
        cursor.execute("begin")

OPENINGS = {
    "atomic": enter,
    "autocommit": lambda: transaction.set_autocommit(False),
    "begin": begin,
    "an error": lambda: (begin(), suppressed()),
}

def suppressed():
    try:
        note_nowhere()
    except Exception:
        pass

def note_nowhere():
    with connection.cursor() as cursor:
        cursor.execute("insert into nowhere values (1)")

@task
def leave_open(how, end):
    connection.ensure_connection()
    OPENINGS[how]()
    if how != "an error":
        note("lost")
    if end == "postpone":
        raise Postpone(5)
    if end == "raise":
        raise ValueError("of its own")

@task
async def leave_open_later(how, end):
    await sync_to_async(leave_open.func)(how, end)

@task
def close_again():
    for opening in (enter, begin):
        opening()
        note("kept")
        if opening is begin:
            connection.connection.commit()
        else:
            connection.atomic_blocks[-1].__exit__(None, None, None)
    transaction.set_autocommit(False)
    note("kept")
    transaction.commit()
    transaction.set_autocommit(True)

@task
async def close_in_another_call():
    await sync_to_async(enter)()
    await sync_to_async(note)("kept")
    await sync_to_async(lambda: connection.atomic_blocks[-1].__exit__(None, None, None))()

@task
def noted():
    with connection.cursor() as cursor:
        cursor.execute("create table if not exists noted (name text)")
        cursor.execute("select name from noted")
        names = [name for name, in cursor.fetchall()]
        cursor.execute("delete from noted")
    return names

# -- asyncio tasks

async def linger(path, seconds):
    try:
        await asyncio.sleep(FOREVER)
    finally:
        await asyncio.sleep(seconds)
        open(path, "w").write("cleaned up")

async def never_end():
    while True:
        try:
            await asyncio.sleep(FOREVER)
        except asyncio.CancelledError:
            pass

kept = []

@task
async def leave_lingering(path, seconds):
    kept.append(asyncio.create_task(linger(path, seconds)))
    await asyncio.sleep(0)

@task
async def leave_one_that_never_ends():
    kept.append(asyncio.create_task(never_end()))
    await asyncio.sleep(0)

@task
def add(a, b): return a + b

@task
async def add_later(a, b): return a + b
"""
CHANGES = [
    *("a context variable", "decimals", "the folder", "the umask", "a new variable", "a variable", "no variable"),
    *("another environment", "the time zone", "the time zone alone", "the locale", "stdout", "stdin"),
    *("a signal's handler", "blocked signals", "sockets", "the recursion limit", "garbage", "logging"),
    *("the language", "Django's time zone"),
]
LEFT_OPEN = "gristmill.exceptions.TransactionLeftOpen"


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    zygote = Zygote(tmp_path_factory.mktemp("project"), TASKS, settings=SETTINGS + settings_of_runners())
    zygote.hello()
    yield zygote
    zygote.close()


@pytest.fixture(scope="module")
def kept_runner(zygote: Zygote) -> Runner:
    return zygote.spawn()


@pytest.fixture
def runner(zygote: Zygote) -> Iterator[Runner]:
    runner = zygote.spawn()
    yield runner
    runner.socket.close()
    zygote.exited()


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("later", ["", "_later"])
def test_nothing_that_a_job_changes_is_seen_by_the_next(kept_runner: Runner, what: str, later: str) -> None:
    before = kept_runner.run("look"), kept_runner.run("look_later")
    assert before[0] == before[1]

    changed = kept_runner.run(f"change{later}", [what])

    assert changed != before[0]
    assert (kept_runner.run("look"), kept_runner.run("look_later")) == before


def test_what_a_job_changes_is_not_seen_by_one_that_was_sent_with_it(kept_runner: Runner) -> None:
    before = kept_runner.run("look_later")
    keys = [
        *(kept_runner.key_of("change_later", ["a context variable"]), kept_runner.key_of("look_later")),
        *(kept_runner.key_of("change", ["the umask"]), kept_runner.key_of("look_later"), kept_runner.key_of("look")),
    ]
    kept_runner.socket.sendall(b"".join(frame for _, frame in keys))
    ends: dict[bytes, bytes] = {}
    while len(ends) < len(keys):
        frame = kept_runner.next()
        assert frame is not None
        if frame[0] == "D":
            ends[frame[1][: len(keys[0][0])]] = frame[1][len(keys[0][0]) :]
    looked = [json.loads(ends[keys[place][0]]) for place in (1, 3, 4)]
    assert looked == [before] * 3


@pytest.mark.parametrize(("task", "named"), [("be_nice", "shop.tasks.be_nice"), ("be_nice_later", "an async task")])
def test_a_runner_that_cannot_be_put_back_ends_with_the_job(
    runner: Runner, zygote: Zygote, task: str, named: str
) -> None:
    runner.send(task)
    kinds = []
    while (frame := runner.next()) is not None:
        kinds.append(frame[0])
        if frame[0] == "L":
            # It has nothing left to run, and may have ended already.
            with contextlib.suppress(OSError):
                runner.socket.sendall(b"\x01\x00\x00\x00Q")

    assert "D" in kinds
    assert f"{named} has changed what cannot be put back: its priority; this process ends" in zygote.errors()


def test_a_folder_that_is_gone_ends_the_runner(tmp_path: Path) -> None:
    zygote = Zygote(tmp_path, TASKS)
    zygote.hello()
    runner = zygote.spawn()
    # The first folder of the runner is the project's, which holds files: so that is moved away.
    moved = tmp_path.with_name(f"{tmp_path.name}-moved")
    runner.run("add", [1, 2])
    try:
        runner.send("lose_the_folder", [str(moved)])
        while (frame := runner.next()) is not None:
            assert frame[0] in "SD"
        assert "cannot be put back: the working directory" in (moved / "errors").read_text()
    finally:
        moved.rename(tmp_path)
        zygote.close()


# -- transactions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("later", ["", "_later"])
@pytest.mark.parametrize("end", ["return", "postpone"])
@pytest.mark.parametrize("how", ["atomic", "autocommit", "begin", "an error"])
def test_a_task_that_leaves_a_transaction_open_has_failed(kept_runner: Runner, how: str, end: str, later: str) -> None:
    failure = kept_runner.fail(f"leave_open{later}", [how, end])

    assert (failure["reason"], failure["exception_class_path"]) == ("error", LEFT_OPEN)
    assert "on database 'default'" in failure["traceback"]
    assert kept_runner.run("noted") == []


@pytest.mark.parametrize("later", ["", "_later"])
def test_a_tasks_own_exception_says_more_than_what_it_leaves_open(kept_runner: Runner, later: str) -> None:
    failure = kept_runner.fail(f"leave_open{later}", ["atomic", "raise"])

    assert failure["exception_class_path"] == "builtins.ValueError"
    assert kept_runner.run("noted") == []


@pytest.mark.parametrize("task", ["close_again", "close_in_another_call"])
def test_a_task_that_ends_what_it_begins_has_succeeded(kept_runner: Runner, task: str) -> None:
    kept_runner.run(task)

    assert set(kept_runner.run("noted")) == {"kept"}


# -- asyncio tasks --------------------------------------------------------------------------------------------------


def test_what_asyncio_tasks_do_at_their_end_is_not_lost_though_jobs_come_meanwhile(
    runner: Runner, zygote: Zygote, tmp_path: Path
) -> None:
    for number in range(8):
        path = tmp_path / str(number)
        runner.run("leave_lingering", [str(path), 0.05])
        # It comes while what was left is being ended.
        assert runner.run("add_later", [number, 1]) == number + 1
        assert path.read_text() == "cleaned up"
    assert "Event loop stopped" not in zygote.errors()


def test_an_asyncio_task_that_does_not_end_ends_its_runner(runner: Runner, zygote: Zygote) -> None:
    runner.run("leave_one_that_never_ends")

    assert runner.next() == ("L", b"")
    assert runner.next() is None
    assert "1 of these asyncio tasks do not end, so this process does" in zygote.errors()


# -- the start ------------------------------------------------------------------------------------------------------


def test_runner_started_is_sent_once_in_each_runner_before_its_first_job(zygote: Zygote) -> None:
    runners = [zygote.spawn(), zygote.spawn()]
    answers = [[runner.run("rolled") for _ in range(2)] for runner in runners]
    for runner in runners:
        runner.socket.close()
        zygote.exited()

    assert len({dice for of_runner in answers for dice, *_ in of_runner}) == 4
    for of_runner in answers:
        for _, started, pid, tenant in of_runner:
            assert (started, tenant) == ([pid], "first")
    assert "it cannot be started" in zygote.errors()
