"""
Runs jobs inside a test: in this process, on the test's own database connection and transaction, by Django's clock.

    from gristmill.testing import clock, run_jobs

    class ReceiptTest(TestCase):
        def test_a_receipt_is_sent(self):
            send_receipt.enqueue(7)
            run_jobs()
            self.assertEqual(len(mail.outbox), 1)

The engine decides as it does in a worker: order, retries, dates, expiry, unique keys. `docs/guides/testing.md` tells
what differs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from unittest import mock

from asgiref.sync import sync_to_async
from django.db import connections
from django.utils import timezone

from gristmill.compat import AnyTask, AnyTaskResult, TaskResultStatus, task_backends
from gristmill.inprocess import inline
from gristmill.inprocess.inline import JobFailed
from gristmill.values import bounds

# A bound for jobs that enqueue themselves without end; no test means to run so many.
MAX_JOBS = 10_000


class TooManyJobs(RuntimeError):
    """`max_jobs` attempts have been made and more jobs are due, as when a job enqueues itself without end."""


@dataclass(frozen=True)
class Ran:
    """What `run_jobs()` has done."""

    #: Every attempt, in the order in which they were made.
    attempts: tuple[inline.Attempt, ...]
    #: Names of tasks that have due jobs but are not registered, as of a function inside a function; those jobs stay.
    unknown: tuple[str, ...]

    @cached_property
    def results(self) -> list[AnyTaskResult]:
        """The jobs, each once in the order of their first attempts, as they are when this is first asked for."""
        backend_of = {attempt.job_id: attempt.backend for attempt in self.attempts}
        return [task_backends[backend].get_result(job_id) for job_id, backend in backend_of.items()]

    @property
    def successful(self) -> int:
        """Jobs that have returned."""
        return self._ended("successful")

    @property
    def failed(self) -> int:
        """Jobs that have failed and will not be tried again."""
        return self._ended("failed")

    @property
    def cancelled(self) -> int:
        """Jobs that were cancelled while they ran."""
        return self._ended("cancelled")

    @property
    def retried(self) -> int:
        """Attempts that failed and will be, or have been, tried again."""
        return sum(attempt.outcome == "failed" and not attempt.has_ended_the_job for attempt in self.attempts)

    @property
    def postponed(self) -> int:
        """Attempts that asked to be run later, and will be."""
        return sum(attempt.outcome == "postponed" and not attempt.has_ended_the_job for attempt in self.attempts)

    def _ended(self, state: str) -> int:
        return sum(attempt.state == state for attempt in self.attempts)

    def __len__(self) -> int:
        return len(self.attempts)

    def __repr__(self) -> str:
        outcomes = Counter(attempt.outcome for attempt in self.attempts)
        parts = [f"{count} {outcome}" for outcome, count in outcomes.items()] or ["nothing"]
        parts += [f"unknown: {', '.join(self.unknown)}"] if self.unknown else []
        return f"Ran({'; '.join(parts)})"


def run_jobs(
    *,
    queue_names: Collection[str] | None = None,
    task: AnyTask | str | None = None,
    backend: str | None = None,
    max_jobs: int = MAX_JOBS,
    raise_errors: bool = True,
    schedules: bool = False,
) -> Ran:
    """
    Runs every job that is due now, and what those enqueue, until none is left that is due.

    What is due later stays: move the time and call it again. `queue_names`, `task` (or its name) and `backend` (an
    alias of TASKS) leave the others' jobs where they are. Without `backend`, all aliases are served whose database
    the test may use.

    With `schedules` it first does with the project's schedules what a worker does as it starts, and then makes the jobs
    that they owe by Django's clock, before each look for what is due: schedules of the served aliases whose queues are
    among `queue_names`.

    The first job that fails for good raises what its handler did, once that is written down, and the other jobs stay.
    So does one whose arguments do not fit its function; JobFailed is raised where there was no exception, as for a job
    that was too old to start. With `raise_errors=False` all are run, and what is returned tells how they ended. A
    failure that is to be tried again raises nothing.

    Raises TooManyJobs when `max_jobs` attempts have been made and more are due, TablesMissing before
    `migrate`, and whatever the database raises.
    """
    if isinstance(queue_names, str):
        raise TypeError("queue_names is a list of names, not one name")
    if max_jobs < 1:
        raise ValueError("max_jobs must be at least 1")
    attempts: list[inline.Attempt] = []
    unknown: set[str] = set()
    wanted = inline.Wanted(queue_names=queue_names, task=task, schedules=schedules)
    groups = inline.aliases_by_database(backend)
    idle = 0
    # A job may enqueue on another database; so around until none has anything to do.
    while idle < len(groups):
        for database, aliases in groups.items():
            before = len(attempts)
            left = inline.run(
                connections[database],
                aliases,
                wanted,
                max_jobs=max_jobs - before,
                attempts=attempts,
                raise_errors=raise_errors,
            )
            unknown.update(left.unknown)
            if left.more:
                raise TooManyJobs(_too_many(attempts, max_jobs))
            idle = idle + 1 if len(attempts) == before else 1
    return Ran(tuple(attempts), tuple(sorted(unknown)))


arun_jobs = sync_to_async(run_jobs)
"""`run_jobs()` to be awaited, in tests that are async: `await arun_jobs()`."""


def _too_many(attempts: list[inline.Attempt], max_jobs: int) -> str:
    ((name, count),) = Counter(attempt.task_name for attempt in attempts).most_common(1)
    return (
        f"run_jobs() has made max_jobs={max_jobs:,} attempts and more jobs are due; {count:,} of them were of {name}. "
        "Does it enqueue itself, or is it tried again without a delay and without end? A job that is to come again "
        "later needs a run_after or a delay"
    )


class Clock:
    """Django's clock in the hand of a test; see `clock`."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def advance(self, by: float | timedelta) -> datetime:
        """Moves it forward, by seconds or a timedelta, and returns what it shows."""
        found = bounds.seconds_of(by)
        if found is None or abs(found) > bounds.LONGEST:
            raise ValueError(f"a clock advances by seconds or a timedelta, a hundred years at most; got {by!r}")
        self.now = bounds.later(self.now, by if isinstance(by, timedelta) else timedelta(seconds=found))
        return self.now

    def move_to(self, moment: datetime) -> datetime:
        """Sets it, and returns what it shows."""
        self.now = _checked(moment)
        return self.now


def _checked(moment: Any) -> datetime:
    try:
        return bounds.moment(moment)
    except ValueError as error:
        raise ValueError(f"the moment of a clock {error}; got {moment!r}") from None


@contextmanager
def clock(moment: datetime | None = None) -> Iterator[Clock]:
    """
    Stops `timezone.now()` at a moment (else at the present, in whole milliseconds), and gives the clock to move it.

    SQLite computes dates in milliseconds, so between them a retry's date may be half of one later than asked for.

    Code that asks `datetime.now()` or `time.time()`, or that has imported `now` by itself, goes on by the real
    clock; freezegun and time-machine stop those too, and `run_jobs()` goes by them as well.
    """
    if moment is None:
        moment = timezone.now()
        moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    stopped = Clock(_checked(moment))
    with mock.patch.object(timezone, "now", lambda: stopped.now):
        yield stopped


def enqueued(task: AnyTask | str | None = None) -> list[AnyTaskResult]:
    """Returns the jobs that have not been claimed (due, due later, waiting, held), in the order they were enqueued."""
    from gristmill.models import Job
    from gristmill.models.querysets import STATUS_OF_STATE

    found: list[Any] = []
    for database, aliases in inline.aliases_by_database(None).items():
        jobs = Job.objects.using(database).filter(
            backend__in=aliases,
            state__in=[state for state, status in STATUS_OF_STATE.items() if status == TaskResultStatus.READY],
        )
        found += jobs if task is None else jobs.filter(task_name__in=inline.registry_names(task))
    found.sort(key=lambda job: job.id)
    return [task_backends[job.backend].get_result(job.id.hex) for job in found]


__all__ = ["Clock", "JobFailed", "Ran", "TooManyJobs", "arun_jobs", "clock", "enqueued", "run_jobs"]
