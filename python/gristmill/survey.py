"""
What is going on in a queue, for people: workers, counts, what waits longest, what failed last.

Every question here is bounded: it reads at most CAP rows of a table, however large the table is.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Count

from gristmill.models import Attempt, ControlRow, JobRow, Queue, ResultRow, RunningRow, Worker
from gristmill.moments import database_now

#: A count stops here and is shown as "10,000+".
CAP = 10_000
#: Failures are looked for among this many newest results.
RECENT = 1_000
SHOWN_FAILURES = 5
SHOWN_CANCELS = 5
#: Pairs of queue and task that have ready jobs; beyond this many the rest is left out.
MAX_LANES = 500


@dataclass
class WorkerSeen:
    """A worker that has not stopped."""

    id: str
    label: str
    host: str
    pid: int
    backend: str
    state: str
    heartbeat_seconds_ago: float
    include_queues: list[str] | None
    exclude_queues: list[str]
    running: int
    processes: int
    tasks: list[str] = field(repr=False)

    def serves(self, queue_name: str, task_name: str) -> bool:
        """Tells whether it would claim such a job."""
        included = self.include_queues is None or queue_name in self.include_queues
        return included and queue_name not in self.exclude_queues and task_name in self.tasks


@dataclass
class QueueSeen:
    """How many jobs of one queue are in each state; `at_least` names the counts that stopped at the cap."""

    backend: str
    queue_name: str
    ready: int = 0
    scheduled: int = 0
    # Those of the scheduled ones that failed before.
    retrying: int = 0
    waiting: int = 0
    stranded: int = 0
    held: int = 0
    running: int = 0
    successful: int = 0
    # Poisoned ones too.
    failed: int = 0
    cancelled: int = 0
    at_least: list[str] = field(default_factory=list)
    # Why it is paused; None where it runs.
    paused: str | None = None
    paused_seconds_ago: float | None = None


@dataclass
class Unroutable:
    """Ready jobs of a task that no live worker would claim."""

    backend: str
    queue_name: str
    task_name: str
    ready: int
    at_least: bool


@dataclass
class CancelSeen:
    """A running job that was asked to end."""

    id: str
    backend: str
    queue_name: str
    task_name: str
    seconds_ago: float


@dataclass
class FailureSeen:
    """A job that failed not long ago."""

    id: str
    backend: str
    queue_name: str
    task_name: str
    state: str
    reason: str | None
    error: str
    seconds_ago: float


@dataclass
class Survey:
    """All of it, for the aliases of one database."""

    workers: list[WorkerSeen]
    queues: list[QueueSeen]
    unroutable: list[Unroutable]
    # The oldest of them.
    cancels: list[CancelSeen]
    failures: list[FailureSeen]
    oldest_ready_seconds: float | None

    def as_json(self) -> dict[str, Any]:
        """Returns it in JSON's types."""
        return asdict(self)


def survey(connection: BaseDatabaseWrapper, backends: dict[str, set[str]]) -> Survey:
    """Looks at the jobs of these TASKS aliases, each with its QUEUES, on the database that keeps them."""
    now = database_now(connection)
    workers = live_workers(connection, backends, now)
    lanes = ready_lanes(connection, backends)
    return Survey(
        workers=workers,
        queues=queue_counts(connection, backends, lanes, now),
        unroutable=[
            Unroutable(backend, queue_name, task_name, min(count, CAP), count > CAP)
            for (backend, queue_name, task_name), count in lanes.items()
            if not any(
                worker.backend == backend and worker.state != "silent" and worker.serves(queue_name, task_name)
                for worker in workers
            )
        ],
        cancels=cancels_asked(connection, backends, now),
        failures=recent_failures(connection, backends, now),
        oldest_ready_seconds=oldest_ready(connection, backends, now),
    )


def live_workers(connection: BaseDatabaseWrapper, backends: dict[str, set[str]], now: datetime) -> list[WorkerSeen]:
    """Returns the workers that neither stopped nor were given up, oldest first."""
    alias = connection.alias
    found = (
        Worker.objects.using(alias).filter(stopped_at=None, lost_at=None, backend__in=backends).order_by("started_at")
    )
    rows = list(found[:CAP])
    counted = RunningRow.objects.using(alias).filter(worker_id__in=[row.id for row in rows]).values_list("worker_id")
    running = dict(counted.annotate(count=Count("id"))) if rows else {}
    workers = []
    for row in rows:
        age = seconds_between(row.heartbeat_at, now)
        state = "silent" if age > row.lease_seconds else "idle" if row.idle else "working"
        workers.append(
            WorkerSeen(
                id=row.id.hex,
                label=row.label,
                host=row.host,
                pid=row.pid,
                backend=row.backend,
                state=state,
                heartbeat_seconds_ago=age,
                include_queues=row.queues.get("include"),
                exclude_queues=row.queues.get("exclude") or [],
                running=running.get(row.id, 0),
                processes=row.processes,
                tasks=row.tasks,
            )
        )
    return workers


def ready_lanes(connection: BaseDatabaseWrapper, backends: dict[str, set[str]]) -> dict[tuple[str, str, str], int]:
    """Returns how many jobs are ready of each (backend, queue, task), counted to just beyond the cap."""
    lanes: dict[tuple[str, str, str], int] = {}
    with connection.cursor() as cursor:
        for backend in sorted(backends):
            queue_name, task_name = "", ""
            while len(lanes) < MAX_LANES:
                # From lane to lane along the claim's index, one probe each.
                cursor.execute(
                    "select queue_name, task_name from gristmill_ready "
                    "where backend = %s and (queue_name, task_name) > (%s, %s) order by queue_name, task_name limit 1",
                    [backend, queue_name, task_name],
                )
                found = cursor.fetchall()
                if not found:
                    break
                queue_name, task_name = found[0]
                cursor.execute(
                    "select count(*) from (select 1 from gristmill_ready "
                    "where backend = %s and queue_name = %s and task_name = %s limit %s) as counted",
                    [backend, queue_name, task_name, CAP + 1],
                )
                lanes[backend, queue_name, task_name] = cursor.fetchall()[0][0]
    return lanes


def queue_counts(
    connection: BaseDatabaseWrapper,
    backends: dict[str, set[str]],
    lanes: dict[tuple[str, str, str], int],
    now: datetime,
) -> list[QueueSeen]:
    """Returns the counts of every queue that the settings name, that has jobs, or that is paused."""
    seen: dict[tuple[str, str], QueueSeen] = {}

    def add(backend: str, queue_name: str, state: str, count: int, *, capped: bool) -> None:
        queue = seen.setdefault((backend, queue_name), QueueSeen(backend, queue_name))
        total = getattr(queue, state) + count
        setattr(queue, state, min(total, CAP))
        if (capped or total > CAP) and state not in queue.at_least:
            queue.at_least.append(state)

    for backend, names in backends.items():
        for name in names:
            add(backend, name, "ready", 0, capped=False)
    for (backend, queue_name, _), count in lanes.items():
        add(backend, queue_name, "ready", count, capped=False)
    places = {
        "scheduled": "select backend, queue_name, case when failures > 0 then 'retrying' else 'scheduled' end as state "
        "from gristmill_scheduled order by run_after, id",
        "waiting": "select backend, queue_name, "
        "case when held then 'held' when stranded then 'stranded' else 'waiting' end as state from gristmill_waiting",
        "running": "select backend, queue_name, 'running' as state from gristmill_running",
        "result": "select backend, queue_name, case state when 'poisoned' then 'failed' else state end as state "
        "from gristmill_result order by finished_at desc, id desc",
    }
    with connection.cursor() as cursor:
        for sample in places.values():
            cursor.execute(
                f"select backend, queue_name, state, count(*) from ({sample} limit %s) as counted group by 1, 2, 3",
                [CAP + 1],
            )
            found = cursor.fetchall()
            capped = sum(count for *_, count in found) > CAP
            for backend, queue_name, state, count in found:
                if backend in backends:
                    add(backend, queue_name, state, count, capped=capped)
                    if state == "retrying":
                        add(backend, queue_name, "scheduled", count, capped=capped)
    for paused in Queue.objects.using(connection.alias).filter(backend__in=backends)[:CAP]:
        key = (paused.backend, paused.queue_name)
        queue = seen.setdefault(key, QueueSeen(*key))
        queue.paused, queue.paused_seconds_ago = paused.reason, seconds_between(paused.paused_at, now)
    return [seen[key] for key in sorted(seen)]


def oldest_ready(connection: BaseDatabaseWrapper, backends: dict[str, set[str]], now: datetime) -> float | None:
    """Returns for how many seconds the ready job that was asked for first has been due; None when nothing is ready."""
    with connection.cursor() as cursor:
        # Ids sort by the time they were made.
        marks = ", ".join(["%s"] * len(backends))
        cursor.execute(f"select id from gristmill_ready where backend in ({marks}) order by id limit 1", [*backends])
        found = cursor.fetchall()
    job = JobRow.objects.using(connection.alias).filter(pk=found[0][0]).first() if found else None
    if job is None:
        return None
    due_at: datetime = max(job.enqueued_at, job.run_after or job.enqueued_at)
    return seconds_between(due_at, now)


def cancels_asked(connection: BaseDatabaseWrapper, backends: dict[str, set[str]], now: datetime) -> list[CancelSeen]:
    """Returns the running jobs that were asked to end, those first that were asked longest ago."""
    alias = connection.alias
    asked = dict(ControlRow.objects.using(alias).values_list("job_id", "asked_at")[:RECENT])
    running = RunningRow.objects.using(alias).filter(pk__in=asked, backend__in=backends) if asked else []
    found = [
        CancelSeen(row.id.hex, row.backend, row.queue_name, row.task_name, seconds_between(asked[row.id], now))
        for row in running
    ]
    return sorted(found, key=lambda one: -one.seconds_ago)[:SHOWN_CANCELS]


def seconds_between(earlier: datetime, later: datetime) -> float:
    """Returns how long it was; two clocks may differ by a little, so never less than nothing."""
    return round(max((later - earlier).total_seconds(), 0.0), 1)


def recent_failures(connection: BaseDatabaseWrapper, backends: dict[str, set[str]], now: datetime) -> list[FailureSeen]:
    """Returns the newest failures among the newest results, with the last line of what each attempt said."""
    alias = connection.alias
    newest = ResultRow.objects.using(alias).order_by("-finished_at", "-id")[:RECENT]
    failed = [row for row in newest.iterator() if row.state in ("failed", "poisoned") and row.backend in backends]
    failures = []
    for row in failed[:SHOWN_FAILURES]:
        attempt = Attempt.objects.using(alias).filter(job_id=row.id, token=row.token).first()
        failures.append(
            FailureSeen(
                id=row.id.hex,
                backend=row.backend,
                queue_name=row.queue_name,
                task_name=row.task_name,
                state=row.state,
                reason=row.reason,
                error=last_line(attempt) or row.reason or row.state,
                seconds_ago=seconds_between(row.finished_at, now),
            )
        )
    return failures


def last_line(attempt: Attempt | None) -> str:
    """Returns the last line of an attempt's traceback, which names the error."""
    if attempt is None:
        return ""
    lines = [line for line in (attempt.traceback or "").splitlines() if line.strip()]
    return lines[-1].strip() if lines else (attempt.reason or "")
