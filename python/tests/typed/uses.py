"""
How people use what is typed: read by mypy, with and without Django's plugin, and by pyright; nobody runs it.

What is wrong is marked as such, for each in its own words. A mark on what is right is itself an error.
"""

from __future__ import annotations

from typing import Any

from typing_extensions import assert_type

from gristmill import Context, chain, remote, task
from gristmill.models import Attempt, Job, Schedule, Tick
from gristmill.models.attempts import AttemptQuerySet
from gristmill.models.querysets import JobQuerySet
from gristmill.models.schedules import ScheduleQuerySet, TickQuerySet
from gristmill.operations import Answer


@task
def resize(photo: int, size: str = "small") -> str:
    return f"{photo} {size}"


@task
async def fetch(url: str) -> bytes:
    return url.encode()


@task(max_attempts=3)
async def fetch_often(url: str) -> bytes:
    return url.encode()


@task(takes_context=True)
def report(context: Context, number: int) -> list[int]:
    return [number]


@task(takes_context=True, priority=10)
async def report_at_once(context: Context, number: int) -> dict[str, int]:
    return {"number": number}


def what_a_task_returns() -> None:
    assert_type(resize.enqueue(7, size="large").return_value, str)
    assert_type(report.enqueue(7).return_value, "list[int]")
    # What awaiting an async one gives, whoever calls it.
    assert_type(fetch.enqueue("x").return_value, bytes)
    assert_type(fetch_often.enqueue("x").return_value, bytes)
    assert_type(report_at_once.enqueue(7).return_value, "dict[str, int]")
    assert_type(fetch.using(priority=1).enqueue("x").return_value, bytes)
    assert_type(fetch.get_result("x").return_value, bytes)
    assert_type(fetch.enqueue("x").wait(timeout=1).return_value, bytes)
    assert_type(fetch.call("x"), bytes)
    assert_type(remote("elsewhere").enqueue(1).return_value, Any)
    chain(fetch.with_args("x"), report.with_args(7)).enqueue()


async def what_an_async_caller_gets() -> None:
    result = await fetch.aenqueue("x")
    assert_type(result.return_value, bytes)
    assert_type((await result.await_(timeout=1)).return_value, bytes)
    assert_type((await fetch.aget_result("x")).return_value, bytes)
    assert_type(await fetch.acall("x"), bytes)
    assert_type((await resize.aenqueue(7)).return_value, str)
    # The function itself.
    await fetch.func("x")


def what_is_refused() -> None:
    resize.enqueue("seven")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    fetch.enqueue(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    fetch_often.enqueue()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    report.enqueue("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    report_at_once.enqueue(7, 8)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def what_can_be_done_to_many() -> None:
    assert_type(Job.objects.filter(task_name="x").retry(), Answer)
    assert_type(Job.objects.filter(task_name="x").order_by("id").hold("out of paper", actor="lea"), Answer)
    assert_type(Job.objects.failed().filter(task_name="x").retry(successful=False), Answer)
    assert_type(Job.objects.all().using("other").cancel(), Answer)
    assert_type(Job.objects.held().release(), Answer)
    assert_type(Job.objects.scheduled().run_now(), Answer)
    assert_type(Job.objects.ready().change(priority=5, queue_name="mail"), Answer)
    assert_type(Job.objects.exclude(state="running").none(), JobQuerySet)
    # A manager would do it to all there are. The plugin knows no better.
    Job.objects.cancel()  # type: ignore[attr-defined,unused-ignore]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


async def what_async_code_does_to_many() -> None:
    assert_type(await Job.objects.using("other").waiting().aretry(), Answer)


def what_models_give() -> None:
    job = Job.objects.get(pk="x")
    assert_type(job, Job)
    assert_type(job.retry(), Answer)
    assert_type(job.change(priority=5), Answer)
    assert_type(job.enqueue_again(args=[1]).id, str)
    assert_type(job.preconditions.failed().retry(), Answer)
    assert_type(job.attempts, AttemptQuerySet)
    assert_type(Attempt.objects.counted().filter(token=1), AttemptQuerySet)
    assert_type(Schedule.objects.filter(backend="default").active(), ScheduleQuerySet)
    assert_type(Schedule.objects.paused(), ScheduleQuerySet)
    assert_type(Tick.objects.using("other").left_out(), TickQuerySet)
