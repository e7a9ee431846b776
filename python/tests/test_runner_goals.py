"""What a running job says of other jobs: which it wants to wait for, and how urgent those are that it enqueues."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.supervisor import SETTINGS, Runner, Zygote

KNOWN, UNKNOWN = "1" * 32, "2" * 32

TASKS = """
import threading
from asgiref.sync import sync_to_async
from django.db import connection
from gristmill.compat import task_finished
from gristmill.enqueue.deadlines import inherited_deadline
from gristmill.tasks.postpone import Postpone

finished = []

@task
def prepare():
    with connection.cursor() as cursor:
        cursor.execute("create table if not exists gristmill_job (id char(32) primary key)")
        cursor.execute("insert or ignore into gristmill_job values (%s)", ["1" * 32])

@task
def wait_for(how, *ids, **options):
    postpone = Postpone(after=list(ids), **options)
    if how == "raise": raise postpone
    return postpone

@task
async def wait_for_later(how, *ids):
    return wait_for.func(how, *ids)

@task
def deadline():
    told = []
    thread = threading.Thread(target=lambda: told.append(inherited_deadline()))
    thread.start()
    thread.join()
    return [str(inherited_deadline()), str(told[0])]

@task
async def deadline_later(others=0):
    for _ in range(3):
        await asyncio.sleep(0)
    return [str(inherited_deadline()), str(await sync_to_async(inherited_deadline)()),
            str(await asyncio.create_task(nested()))]

async def nested(): return inherited_deadline()

@task
def ends(): return [*finished]

def finish(sender, task_result, **kwargs):
    if task_result.task.name != "ends": finished.append([task_result.task.name, task_result.status.value])
task_finished.connect(finish)
"""


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    zygote = Zygote(tmp_path_factory.mktemp("goals"), TASKS)
    zygote.expect("H")
    zygote.vouch(600)
    yield zygote
    zygote.close()


@pytest.fixture
def runner(zygote: Zygote) -> Iterator[Runner]:
    runner = zygote.spawn()
    runner.run("prepare")
    yield runner
    zygote.kill(runner)
    zygote.exited()
    runner.socket.close()


@pytest.mark.parametrize("how", ["raise", "return"])
@pytest.mark.parametrize("task", ["wait_for", "wait_for_later"])
def test_a_job_may_wait_for_others(runner: Runner, task: str, how: str) -> None:
    frame = {"after": None, "until": None, "why": "", "preconditions": [KNOWN]}
    assert runner.rest(runner.start(task, [how, KNOWN])) == [("P", frame)]


def test_a_date_and_a_reason_go_with_it(runner: Runner) -> None:
    said = runner.all_of("wait_for", ["raise", KNOWN], kwargs={"delay": 7, "reason": "the parts"})["P"]
    assert said == {"after": 7.0, "until": None, "why": "the parts", "preconditions": [KNOWN]}


@pytest.mark.parametrize("how", ["raise", "return"])
@pytest.mark.parametrize("task", ["wait_for", "wait_for_later"])
def test_an_unknown_one_fails_the_attempt(runner: Runner, task: str, how: str) -> None:
    said = runner.all_of(task, [how, KNOWN, UNKNOWN])["F"]
    assert (said["reason"], said["exception_class_path"]) == ("error", "gristmill.exceptions.UnknownJob")
    assert UNKNOWN in said["traceback"]
    assert runner.run("ends")[-1:] == [[task, "FAILED"]]


def test_the_traceback_of_an_unknown_one_shows_where_it_was_asked_for(runner: Runner) -> None:
    assert "raise postpone" in runner.fail("wait_for", ["raise", UNKNOWN])["traceback"]


def test_what_is_no_job_is_a_type_error(runner: Runner) -> None:
    assert runner.fail("wait_for", ["raise", 7])["exception_class_path"] == "builtins.TypeError"


@pytest.mark.parametrize("options", [None, {"transactional": True}])
def test_jobs_that_a_handler_enqueues_inherit_its_deadline_in_threads_too(runner: Runner, options: Any) -> None:
    known = "2030-01-02 03:04:05.678901+00:00"
    key = runner.start("deadline", options=options, deadline="2030-01-02 03:04:05.678901")
    if options:
        assert runner.rest_until(key, "T")[-1][1]["value"] == f'["{known}","{known}"]'
        runner.answer(key, ["select 1"])
        assert runner.rest(key) == [("K", "")]
    else:
        assert runner.rest(key) == [("D", [known, known])]
    assert runner.run("deadline") == ["None", "None"]


def test_async_jobs_beside_each_other_inherit_each_its_own(runner: Runner) -> None:
    first = runner.send("deadline_later", deadline="2030-01-01 00:00:00")
    second = runner.send("deadline_later", deadline="2031-01-01 00:00:00")
    third = runner.send("deadline_later")
    said = {}
    while len(said) < 3:
        kind, payload = runner.next() or ("", b"")
        assert kind in "SD"
        if kind == "D":
            said[payload[:24]] = payload[24:].decode()
    year = '"{}-01-01 00:00:00+00:00"'.format
    assert said == {
        first: f"[{','.join([year(2030)] * 3)}]",
        second: f"[{','.join([year(2031)] * 3)}]",
        third: '["None","None","None"]',
    }


MIDDLEWARE = """
@task
def take(*args): return ["sync", *args]

@task
async def take_later(*args):
    await asyncio.sleep(0)
    return ["async", *args]

@task(takes_context=True)
async def attempt(context, *args): return [context.attempt, *args]

from inspect import iscoroutinefunction

def around(next):
    def call(context, args, kwargs):
        print("before", context.task_result.task.name)
        return next(context, [*args, "around"], kwargs)
    return call

def around_async(next):
    async def call(context, args, kwargs):
        value = await next(context, args, kwargs)
        context.log("after")
        return [*value, "awaited"]
    return call if iscoroutinefunction(next) else next
"""


def test_runs_go_through_what_the_project_has_put_around_them(tmp_path_factory: pytest.TempPathFactory) -> None:
    options = {"DATABASE": "default", "RUN_MIDDLEWARE": ["shop.tasks.around_async", "shop.tasks.around"]}
    backend = {"BACKEND": "gristmill.backend.GristmillBackend", "OPTIONS": options}
    settings = f"{SETTINGS}\nINSTALLED_APPS = ['gristmill', 'shop']\nTASKS = {{'default': {backend!r}}}\n"
    zygote = Zygote(tmp_path_factory.mktemp("middleware"), MIDDLEWARE, settings=settings)
    zygote.expect("H")
    zygote.vouch(600)
    runner = zygote.spawn()

    said = [runner.all_of(task, [1]) for task in ("take", "take_later", "attempt")]

    assert [each["D"] for each in said] == [
        ["sync", 1, "around"],
        ["async", 1, "around", "awaited"],
        [1, 1, "around", "awaited"],
    ]
    assert said[0]["O"] == "before take\n"
    assert said[1]["O"].startswith("before take_later\n") and said[1]["O"].endswith(" after\n")
    zygote.close()
