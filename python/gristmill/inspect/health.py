"""
Whether a queue keeps up: its backlog, its oldest job, its workers and its schedules, each held against a limit.

Every question is bounded: a backlog is counted to just beyond its limit, the oldest job looked for among the first of
each lane and priority.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.inspect.lanes import lane_names
from gristmill.inspect.problems.problem import Problem
from gristmill.inspect.survey import CAP
from gristmill.inspect.tables import age, counted, printable
from gristmill.inspect.workers import live_workers
from gristmill.models import JobRow, ReadyRow, Schedule
from gristmill.tasks.aliases import worker_command
from gristmill.values.moments import database_now, seconds_between

#: Of each lane and priority, the first so many are asked how long they have been due; retries stand among them.
FIRST = 20
#: Priorities of a lane that are looked at, the highest first and then the lowest.
PRIORITIES = 20
#: Schedules that are named.
SHOWN = 10


@dataclass(frozen=True)
class Limits:
    """What is still healthy, `workers` the fewest there may be; None is not asked."""

    backlog: int | None = None
    age: timedelta | None = None
    workers: int | None = 1
    lateness: timedelta | None = None


@dataclass
class Health:
    """
    What was measured, None where it was not asked, and what is beyond its limit.

    Problems are of the kinds "backlog", "age", "workers", "lateness" and "database", each of them an error.
    """

    problems: list[Problem] = field(default_factory=list)
    backlog: int | None = None
    # It was counted no further.
    backlog_at_least: bool = False
    oldest_seconds: float | None = None
    workers: int | None = None
    overdue: int | None = None

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """Returns it in JSON's types."""
        return {"healthy": self.is_healthy, **vars(self), "problems": [one.as_json() for one in self.problems]}


def health(
    connection: BaseDatabaseWrapper, backends: dict[str, set[str]], limits: Limits, queues: Sequence[str] = ()
) -> Health:
    """Measures these TASKS aliases, each with its QUEUES; only some queues, each by itself, or all of them together."""
    found, now = Health(), database_now(connection)
    for queue_name in queues or (None,):
        if limits.backlog is not None:
            measure_backlog(connection, backends, limits.backlog, queue_name, found)
        if limits.age is not None:
            measure_age(connection, backends, limits.age, queue_name, now, found)
        if limits.workers:
            measure_workers(connection, backends, limits.workers, queue_name, now, found)
    if limits.lateness is not None:
        measure_lateness(connection, backends, limits.lateness, queues, now, found)
    return found


def measure_backlog(
    connection: BaseDatabaseWrapper, backends: dict[str, set[str]], most: int, queue_name: str | None, found: Health
) -> None:
    """Counts the ready jobs to just beyond the limit."""
    count = 0
    with connection.cursor() as cursor:
        for backend in backends:
            of_queue, binds = ("", []) if queue_name is None else ("and queue_name = %s ", [queue_name])
            cursor.execute(
                "select count(*) from (select 1 from gristmill_ready "
                f"where backend = %s {of_queue}limit %s) as counted",
                [backend, *binds, max(most + 1 - count, 0)],
            )
            count += cursor.fetchall()[0][0]
    found.backlog = max(found.backlog or 0, min(count, most))
    if count > most:
        found.backlog_at_least = True
        where = "" if queue_name is None else f" in queue {printable(queue_name)}"
        sentence = f"More than {counted(most)} {'is' if most == 1 else 'are'} ready{where}."
        found.problems.append(beyond("backlog", sentence, queue_name))


def measure_age(
    connection: BaseDatabaseWrapper,
    backends: dict[str, set[str]],
    most: timedelta,
    queue_name: str | None,
    now: datetime,
    found: Health,
) -> None:
    """Looks for the ready job that has been due for longest."""
    due = [
        moment
        for lane in lane_names(connection, backends)
        if queue_name in (None, lane[1])
        for moment in first_due(connection.alias, lane)
    ]
    if not due:
        return
    oldest = seconds_between(min(due), now)
    found.oldest_seconds = max(found.oldest_seconds or 0.0, oldest)
    if oldest > most.total_seconds():
        where = "" if queue_name is None else f" of queue {printable(queue_name)}"
        sentence = (
            f"The oldest ready job{where} has been due for {age(oldest)}, longer than {age(most.total_seconds())}."
        )
        found.problems.append(beyond("age", sentence, queue_name))


def first_due(using: str, lane: tuple[str, str, str]) -> list[datetime]:
    """Returns since when the first jobs of a lane have been due, of each of its priorities."""
    backend, queue_name, task_name = lane
    rows = ReadyRow.objects.using(using).filter(backend=backend, queue_name=queue_name, task_name=task_name)
    ids, due, below = [], [], None
    for _ in range(PRIORITIES):
        others = rows if below is None else rows.filter(priority__lt=below)
        below = others.order_by("-priority").values_list("priority", flat=True).first()
        if below is None:
            break
        first = rows.filter(priority=below).order_by("deadline", "id")
        for job_id, run_after in first.values_list("id", "run_after")[:FIRST]:
            if run_after is None:
                ids.append(job_id)
            else:
                due.append(run_after)
    return due + list(JobRow.objects.using(using).filter(pk__in=ids).values_list("enqueued_at", flat=True))


def measure_workers(
    connection: BaseDatabaseWrapper,
    backends: dict[str, set[str]],
    least: int,
    queue_name: str | None,
    now: datetime,
    found: Health,
) -> None:
    """Counts the workers that are heard of and may claim, of a queue those that serve it."""
    living = [worker for worker in live_workers(connection, backends, now) if worker.state != "silent"]
    alive = [worker for worker in living if worker.asked is None]
    if queue_name is not None:
        alive = [worker for worker in alive if worker.serves_queue(queue_name)]
    found.workers = len(alive) if found.workers is None else min(found.workers, len(alive))
    if len(alive) < least:
        serves = "runs" if queue_name is None else f"serves queue {printable(queue_name)}"
        many = "run" if queue_name is None else f"serve queue {printable(queue_name)}"
        has = f"No worker {serves}" if not alive else f"{len(alive):,} of {counted(least, what='worker')} {many}"
        start = worker_command("default" if "default" in backends else next(iter(backends), "default"))
        asked = len([one for one in living if queue_name is None or one.serves_queue(queue_name)]) - len(alive)
        but = ", but one that was asked to claim nothing" if asked == 1 else ""
        but = f", but {asked:,} that were asked to claim nothing" if asked > 1 else but
        found.problems.append(beyond("workers", f"{has}{but}; start one with {start}.", queue_name))


def measure_lateness(
    connection: BaseDatabaseWrapper,
    backends: dict[str, set[str]],
    most: timedelta,
    queues: Sequence[str],
    now: datetime,
    found: Health,
) -> None:
    """Looks for active schedules whose next tick should have been made, and for such as cannot tick."""
    rows = Schedule.objects.using(connection.alias).filter(backend__in=backends, removed_at=None, paused_at=None)
    if queues:
        rows = rows.filter(queue_name__in=queues)
    late = list(rows.filter(problem=None, next_at__lt=now - most).order_by("next_at")[:CAP])
    broken = list(rows.exclude(problem=None).order_by("name")[:CAP])
    found.overdue = len(late)
    for schedule in late[:SHOWN]:
        assert schedule.next_at is not None
        seconds = seconds_between(schedule.next_at, now)
        sentence = f"Schedule {printable(schedule.name)} is late: a tick has been due for {age(seconds)}."
        found.problems.append(beyond("lateness", sentence, schedule.queue_name, schedule=schedule.name))
    for schedule in broken[:SHOWN]:
        sentence = f"Schedule {printable(schedule.name)} cannot run: {printable(schedule.problem or '', 300)}."
        found.problems.append(beyond("lateness", sentence, schedule.queue_name, schedule=schedule.name))
    more = max(len(late) - SHOWN, 0) + max(len(broken) - SHOWN, 0)
    if more:
        found.problems.append(beyond("lateness", f"And so are {counted(more, what='more schedule')}."))


def beyond(kind: str, sentence: str, queue_name: str | None = None, **about: str) -> Problem:
    """Returns what is beyond its limit as a problem, of a queue where it was asked of one."""
    return Problem(kind, "error", sentence, {**({} if queue_name is None else {"queue": queue_name}), **about})
