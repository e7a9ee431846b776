"""
What the methods of jobs and of their query sets call: all that is built on models.

A model's methods are for whoever has a row in hand, and what they call reads models itself. So it is imported here,
when it is first asked for, and nowhere else in this folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.db import DEFAULT_DB_ALIAS

if TYPE_CHECKING:
    from gristmill.inspect.explaining.answer import Explanation
    from gristmill.models.jobs import Job
    from gristmill.models.querysets import JobQuerySet
    from gristmill.operations import Answer
    from gristmill.results.result import JobResult
    from gristmill.results.waiting import Timeout
    from gristmill.tasks.preconditions import After


def cancel(job: Job, actor: str) -> Answer:
    """See `gristmill.operations.cancel`."""
    from gristmill import operations

    return operations.cancel(job, actor=actor)


def hold(job: Job, reason: str | None, actor: str) -> Answer:
    """See `gristmill.operations.hold`."""
    from gristmill import operations

    return operations.hold(job, reason, actor=actor)


def release(job: Job, actor: str) -> Answer:
    """See `gristmill.operations.release`."""
    from gristmill import operations

    return operations.release(job, actor=actor)


def retry(job: Job, actor: str) -> Answer:
    """See `gristmill.operations.retry`."""
    from gristmill import operations

    return operations.retry(job, actor=actor)


def run_now(job: Job, actor: str) -> Answer:
    """See `gristmill.operations.run_now`."""
    from gristmill import operations

    return operations.run_now(job, actor=actor)


def change(job: Job, priority: int | None, queue_name: str | None, actor: str) -> Answer:
    """See `gristmill.operations.change`."""
    from gristmill import operations

    return operations.change(job, priority=priority, queue_name=queue_name, actor=actor)


def change_many(jobs: JobQuerySet, priority: int | None, queue_name: str | None, actor: str) -> Answer:
    """See `gristmill.operations.change`."""
    from gristmill import operations

    return operations.change(jobs, priority=priority, queue_name=queue_name, actor=actor)


def enqueue_again(
    job: Job, args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None, actor: str
) -> JobResult[..., Any]:
    """See `gristmill.operations.enqueue_again`."""
    from gristmill import operations

    return operations.enqueue_again(job, args=args, kwargs=kwargs, actor=actor)


def add_preconditions(job: Job, after: After, actor: str) -> Answer:
    """See `gristmill.operations.add_preconditions`."""
    from gristmill import operations

    return operations.add_preconditions(job, after, actor=actor)


def operate(jobs: JobQuerySet, verb: str, actor: str, reason: str | None) -> Answer:
    """Does it to the jobs of a query set."""
    from gristmill import operations

    answer = operations.Answer()
    for outcomes in operations.operate(jobs, verb, actor, reason):
        answer.add(outcomes)
    return answer


def delete(job: Job, using: str | None) -> int:
    """See `gristmill.verbs.deleting.delete_one`."""
    from gristmill.operations import database_of
    from gristmill.verbs.deleting import delete_one

    return delete_one(job, using or database_of(job))


def delete_many(jobs: JobQuerySet) -> int:
    """See `gristmill.verbs.deleting.delete`."""
    from gristmill.verbs.deleting import delete

    return delete(jobs)


def explain(job: Job) -> Explanation:
    """See `gristmill.explain`."""
    from gristmill.explain import explain

    return explain(job)


def wait(job: Job, timeout: Timeout) -> None:
    """See `gristmill.results.waiting`."""
    from gristmill.results.waiting import wait_until_ended

    wait_until_ended(job._state.db or DEFAULT_DB_ALIAS, job.id, timeout)


async def await_(job: Job, timeout: Timeout) -> None:
    """See `wait`."""
    from gristmill.results.waiting import wait_until_ended_async

    await wait_until_ended_async(job._state.db or DEFAULT_DB_ALIAS, job.id, timeout)
