"""OPTIONS["MAX_JSON_BYTES"]: how much a job may be given and give back, whichever way it comes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gristmill
from gristmill import Graph, Unique, call, schedule
from gristmill.compat import task_backends
from gristmill.models import Job, JobRow
from tests.supervisor import Runner, Zygote

LIMIT = 100
# As the only argument, with the brackets and quotes of JSON around it.
FITS = "x" * (LIMIT - 4)
TOO_LARGE = FITS + "x"


def joined(old_args: list[Any], old_kwargs: Any, new_args: list[Any], new_kwargs: Any) -> Any:
    return call(old_args[0] + new_args[0])


@gristmill.task(name="tests.sizes.keep")
def keep(text: str, also: str = "") -> None: ...


@gristmill.task(name="tests.sizes.join", unique=Unique(on_conflict="merge", merge=joined, by=lambda text: 1))
def join(text: str) -> None: ...


@pytest.fixture
def limited(settings: Any) -> None:
    options = {**settings.TASKS["default"], "OPTIONS": {"MAX_JSON_BYTES": LIMIT}}
    settings.TASKS = {**settings.TASKS, "default": options}
    assert task_backends["default"].max_json_bytes == LIMIT


def graph_of(*args: Any, **kwargs: Any) -> Any:
    graph = Graph()
    graph.add(keep, *args, **kwargs)
    return graph.enqueue()


WAYS = {
    "one": keep.enqueue,
    "many": lambda *args, **kwargs: keep.enqueue_many([call(*args, **kwargs)]),
    "graph": graph_of,
}


@pytest.mark.django_db
@pytest.mark.parametrize("way", WAYS)
def test_arguments_are_bounded_whichever_way_they_are_enqueued(limited: None, way: str) -> None:
    enqueue: Any = WAYS[way]
    for args, kwargs in (((TOO_LARGE,), {}), (("",), {"also": FITS})):
        with pytest.raises(ValueError, match=r"args: 1\d\d bytes of JSON are over the limit of 100 "):
            enqueue(*args, **kwargs)
    assert not JobRow.objects.exists()

    enqueue(FITS)

    assert Job.objects.get().args == [FITS]


@pytest.mark.django_db
def test_what_a_merge_makes_is_bounded_too(limited: None) -> None:
    join.enqueue(FITS)

    with pytest.raises(ValueError, match=r"^merge\.args: 101 bytes of JSON are over the limit of 100 "):
        join.enqueue("x")

    assert Job.objects.get().args == [FITS]


def test_arguments_of_schedules_are_bounded_too(limited: None) -> None:
    with pytest.raises(Exception, match=r"args: 101 bytes of JSON are over the limit of 100 "):
        schedule(cron="@daily", args=[TOO_LARGE])(keep)


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    zygote = Zygote(
        tmp_path,
        f"""
from backend import Backend

Backend.max_json_bytes = {LIMIT}

@task
def give(length): return "x" * length

@task
async def give_later(length): return "x" * length
""",
    )
    zygote.hello()
    yield zygote.spawn()
    zygote.close()


@pytest.mark.parametrize("task", ["give", "give_later"])
def test_results_are_bounded_too(runner: Runner, task: str) -> None:
    failure = runner.fail(task, [LIMIT - 1])

    assert failure["reason"] == "bad result"
    assert "result: 101 bytes of JSON are over the limit of 100 " in failure["traceback"]
    assert runner.run(task, [LIMIT - 2]) == "x" * (LIMIT - 2)
