"""Who works: the workers that live, what each runs and was asked for, and how the last ones ended."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from gristmill.inspect.tables import age, printable
from gristmill.models import RunningRow, Worker
from gristmill.values.moments import seconds_between

#: Workers that are looked at.
MOST = 10_000
#: How long an end of a worker is told of, its exit statuses that are no ordinary end, and how many are told.
ENDED_WITHIN, BAD_ENDS, SHOWN_ENDS = timedelta(hours=1), (78, 99), 5
#: A worker is silent once it has missed so many heartbeats, and what one may be late by.
MISSED, SLACK_SECONDS = 2, 1.0
#: What a worker is that has heard what was asked of it.
ASKED = {"quiet": "quiet", "stop": "stopping"}


@dataclass
class WorkerSeen:
    """A worker that has not stopped."""

    id: str
    label: str
    host: str
    pid: int
    version: str
    backend: str
    state: str
    heartbeat_seconds_ago: float
    include_queues: list[str] | None
    exclude_queues: list[str]
    running: int
    processes: int
    tasks: list[str] = field(repr=False)
    # "quiet" or "stop", and who wants that since when; None where nobody wants anything.
    asked: str | None = None
    asked_by: str = ""
    asked_seconds_ago: float = 0.0
    # Its heartbeat has been answered since.
    heard: bool = False

    def serves(self, queue_name: str, task_name: str) -> bool:
        """Tells whether it would claim such a job."""
        return self.asked is None and self.could_serve(queue_name, task_name)

    def could_serve(self, queue_name: str, task_name: str) -> bool:
        """Tells whether it would claim such a job if nobody had asked it not to."""
        return task_name in self.tasks and self.serves_queue(queue_name)

    def serves_queue(self, queue_name: str) -> bool:
        """Tells whether a queue is among its own."""
        included = self.include_queues is None or queue_name in self.include_queues
        return included and queue_name not in self.exclude_queues

    @property
    def asked_in_words(self) -> str:
        """What people want of it: "quiet, asked by lea 3 min ago"; nothing where they want nothing."""
        if self.asked is None:
            return ""
        if self.heard:
            said = ASKED[self.asked]
        else:
            said = f"{'to be quiet' if self.asked == 'quiet' else 'to stop'} from its next heartbeat on"
        by = f" by {printable(self.asked_by)}" if self.asked_by else ""
        return f"{said}, asked{by} {age(self.asked_seconds_ago)} ago"


def live_workers(connection: BaseDatabaseWrapper, backends: Collection[str], now: datetime) -> list[WorkerSeen]:
    """Returns the workers that neither stopped nor were given up, oldest first."""
    return seen_workers(alive_on(connection, backends)[:MOST], now)


def workers_of(
    connection: BaseDatabaseWrapper, backends: Collection[str], now: datetime
) -> tuple[list[WorkerSeen], list[Worker]]:
    """Returns the workers that live, and the last ones that ended as they should not have, in one statement."""
    since = now - ENDED_WITHIN
    ends = Q(lost_at__gte=since) | Q(stopped_at__gte=since, exit_status__in=BAD_ENDS)
    over = Worker.objects.using(connection.alias).filter(ends, backend__in=backends).order_by("-started_at")
    alive = alive_on(connection, backends)
    either = Q(pk__in=alive.values("pk")[:MOST]) | Q(pk__in=over.values("pk")[:SHOWN_ENDS])
    rows = list(with_running(Worker.objects.using(connection.alias).filter(either).order_by("started_at")))
    ended = [row for row in rows if row.stopped_at is not None or row.lost_at is not None]
    return seen_workers([row for row in rows if row not in ended], now), ended[::-1]


def alive_on(connection: BaseDatabaseWrapper, backends: Collection[str]) -> QuerySet[Worker]:
    """Returns the workers that neither stopped nor were given up, oldest first, each with what it runs."""
    found = Worker.objects.using(connection.alias).filter(stopped_at=None, lost_at=None, backend__in=backends)
    return with_running(found.order_by("started_at"))


def with_running(workers: QuerySet[Worker]) -> QuerySet[Worker]:
    """Adds how many jobs each worker runs."""
    running = RunningRow.objects.filter(worker_id=OuterRef("pk")).order_by().values("worker_id")
    return workers.annotate(running=Coalesce(Subquery(running.annotate(count=Count("id")).values("count")), 0))


def seen_workers(rows: Iterable[Worker], now: datetime) -> list[WorkerSeen]:
    """Returns workers as they are shown."""
    workers = []
    for row in rows:
        silence = seconds_between(row.heartbeat_at, now)
        heard = row.asked_at is not None and row.heartbeat_at >= row.asked_at
        queues = row.queues if isinstance(row.queues, dict) else {}
        # Long before others may take its jobs: a person who has just killed it wants to see that.
        is_silent = silence > min(row.lease_seconds, MISSED * row.heartbeat_seconds + SLACK_SECONDS)
        state = ASKED[row.asked] if row.asked and heard else "idle" if row.idle else "working"
        workers.append(
            WorkerSeen(
                id=row.id.hex,
                label=row.label,
                host=row.host,
                pid=row.pid,
                version=row.version,
                backend=row.backend,
                state="silent" if is_silent else state,
                heartbeat_seconds_ago=silence,
                include_queues=queues.get("include"),
                exclude_queues=queues.get("exclude") or [],
                running=getattr(row, "running", 0),
                processes=row.processes,
                tasks=row.tasks if isinstance(row.tasks, list) else [],
                asked=row.asked,
                asked_by=row.asked_by or "",
                asked_seconds_ago=seconds_between(row.asked_at, now) if row.asked_at is not None else 0.0,
                heard=heard,
            )
        )
    return workers
