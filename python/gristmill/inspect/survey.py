"""
What is going on in a queue, for people: workers, counts, what waits longest, what failed last.

Every question here is bounded: it reads at most CAP rows of a table, however large the table is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Count

from gristmill.inspect.lanes import Lane, lanes_of
from gristmill.inspect.tables import age, printable
from gristmill.models import Attempt, CancelRequestRow, JobRow, Queue, ResultRow, RunningRow, Worker
from gristmill.tasks.discovery.unserved import cause_of
from gristmill.values.moments import database_now

#: A count stops here and is shown as "10,000+".
CAP = 10_000
#: Failures are looked for among this many newest results.
RECENT = 1_000
SHOWN_FAILURES = 5
SHOWN_CANCELS = 5
SHOWN_REASONS = 10
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


@dataclass
class QueueSeen:
    """How many jobs of one queue are in each state; `at_least` names the counts that stopped at the cap."""

    backend: str
    queue_name: str
    ready: int = 0
    # Those that failed before are counted as retrying, and only there.
    scheduled: int = 0
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
    # "unknown task", "old code", "unknown queue", "other queues", "only quiet" or "no worker", and that in words.
    kind: str
    why: str


@dataclass
class CancelSeen:
    """A running job that was asked to end."""

    id: str
    backend: str
    queue_name: str
    task_name: str
    seconds_ago: float


@dataclass
class HeldSeen:
    """Jobs of a queue that someone holds for one reason."""

    backend: str
    queue_name: str
    reason: str
    held: int
    at_least: bool


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


class End(NamedTuple):
    """How a job ended not long ago."""

    backend: str
    task_name: str
    state: str


@dataclass
class Survey:
    """All of it, for the aliases of one database."""

    workers: list[WorkerSeen]
    queues: list[QueueSeen]
    unroutable: list[Unroutable]
    # The oldest of them.
    cancels: list[CancelSeen]
    held: list[HeldSeen]
    failures: list[FailureSeen]
    oldest_ready_seconds: float | None
    # What `unroutable` and `failures` were found among.
    lanes: list[Lane]
    newest_ends: list[End]

    @classmethod
    def nothing(cls) -> Survey:
        """Returns what is seen of a database that cannot be asked."""
        return cls([], [], [], [], [], [], None, [], [])

    def as_json(self) -> dict[str, Any]:
        """Returns it in JSON's types, without what it was found among."""
        said = {each.name for each in fields(self)} - {"lanes", "newest_ends"}
        return {name: value for name, value in asdict(self).items() if name in said}


def together(surveys: Sequence[Survey]) -> Survey:
    """Returns what several databases show, as one."""
    oldest = [each.oldest_ready_seconds for each in surveys if each.oldest_ready_seconds is not None]
    lists = {
        each.name: [one for survey in surveys for one in getattr(survey, each.name)]
        for each in fields(Survey)
        if each.name != "oldest_ready_seconds"
    }
    lists["failures"].sort(key=lambda failure: failure.seconds_ago)
    return Survey(**lists, oldest_ready_seconds=max(oldest, default=None))


def survey(connection: BaseDatabaseWrapper, backends: dict[str, set[str]]) -> Survey:
    """Looks at the jobs of these TASKS aliases, each with its QUEUES, on the database that keeps them."""
    now = database_now(connection)
    workers = live_workers(connection, backends, now)
    newest = ResultRow.objects.using(connection.alias).order_by("-finished_at", "-id")[:RECENT]
    ended = [row for row in newest if row.backend in backends]
    found = lanes_of(connection, backends, CAP)
    lanes = ready_by_lane(found)
    return Survey(
        workers=workers,
        queues=queue_counts(connection, backends, lanes, now),
        unroutable=[
            Unroutable(
                backend,
                queue_name,
                task_name,
                min(count, CAP),
                count > CAP,
                *cause_of(backend, queue_name, task_name, workers),
            )
            for (backend, queue_name, task_name), count in lanes.items()
            if not any(
                worker.backend == backend and worker.state != "silent" and worker.serves(queue_name, task_name)
                for worker in workers
            )
        ],
        cancels=cancels_asked(connection, backends, now),
        held=held_reasons(connection, backends),
        failures=recent_failures(connection, ended, now),
        oldest_ready_seconds=oldest_ready(connection, backends, now),
        lanes=found,
        newest_ends=[End(row.backend, row.task_name, row.state) for row in ended],
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
                running=running.get(row.id, 0),
                processes=row.processes,
                tasks=row.tasks if isinstance(row.tasks, list) else [],
                asked=row.asked,
                asked_by=row.asked_by or "",
                asked_seconds_ago=seconds_between(row.asked_at, now) if row.asked_at is not None else 0.0,
                heard=heard,
            )
        )
    return workers


def ready_by_lane(lanes: Iterable[Lane]) -> dict[tuple[str, str, str], int]:
    """Returns how many jobs are ready of each (backend, queue, task)."""
    return {(lane.backend, lane.queue_name, lane.task_name): lane.ready for lane in lanes}


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
        # A count that is zero is not written down.
        "scheduled": "select backend, queue_name, "
        """case when counts like '%%"failures"%%' then 'retrying' else 'scheduled' end as state """
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
        found = [JobRow._meta.pk.to_python(job_id) for (job_id,) in cursor.fetchall()]
    return next(iter(due_since(connection.alias, found, now).values()), None)


def cancels_asked(connection: BaseDatabaseWrapper, backends: dict[str, set[str]], now: datetime) -> list[CancelSeen]:
    """Returns the running jobs that were asked to end, those first that were asked longest ago."""
    alias = connection.alias
    asked = dict(CancelRequestRow.objects.using(alias).values_list("job_id", "asked_at")[:RECENT])
    running = RunningRow.objects.using(alias).filter(pk__in=asked, backend__in=backends) if asked else []
    found = [
        CancelSeen(row.id.hex, row.backend, row.queue_name, row.task_name, seconds_between(asked[row.id], now))
        for row in running
    ]
    return sorted(found, key=lambda one: -one.seconds_ago)[:SHOWN_CANCELS]


def held_reasons(connection: BaseDatabaseWrapper, backends: dict[str, set[str]]) -> list[HeldSeen]:
    """Returns why jobs are held, of each queue, those first that hold most; among the first that wait."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select backend, queue_name, held_reason, count(*) from "
            "(select backend, queue_name, held_reason, held from gristmill_waiting limit %s) as counted "
            "where held group by 1, 2, 3 order by 4 desc, 1, 2, 3",
            [CAP + 1],
        )
        found = [row for row in cursor.fetchall() if row[0] in backends]
    more = sum(count for *_, count in found) > CAP
    return [HeldSeen(alias, queue, reason or "", min(count, CAP), more) for alias, queue, reason, count in found][
        :SHOWN_REASONS
    ]


def seconds_between(earlier: datetime, later: datetime) -> float:
    """Returns how long it was; two clocks may differ by a little, so never less than nothing."""
    return round(max((later - earlier).total_seconds(), 0.0), 1)


def due_since(using: str, job_ids: Iterable[UUID], now: datetime) -> dict[UUID, float]:
    """Returns for how many seconds jobs have been due since they were asked for; those that are gone are left out."""
    rows = JobRow.objects.using(using).filter(pk__in=list(job_ids)).values_list("pk", "enqueued_at", "run_after")
    return {pk: seconds_between(max(enqueued, run_after or enqueued), now) for pk, enqueued, run_after in rows}


def recent_failures(connection: BaseDatabaseWrapper, ended: list[ResultRow], now: datetime) -> list[FailureSeen]:
    """Returns the newest failures among the newest results, with the last line of what each attempt said."""
    failed = [row for row in ended if row.state in ("failed", "poisoned")][:SHOWN_FAILURES]
    attempts = Attempt.objects.using(connection.alias).filter(job_id__in=[row.id for row in failed])
    said = (
        {(attempt.job_id, attempt.token): attempt for attempt in attempts.order_by("-token")[:RECENT]} if failed else {}
    )
    return [
        FailureSeen(
            id=row.id.hex,
            backend=row.backend,
            queue_name=row.queue_name,
            task_name=row.task_name,
            state=row.state,
            reason=row.reason,
            error=last_line(said.get((row.id, row.token))) or row.reason or row.state,
            seconds_ago=seconds_between(row.finished_at, now),
        )
        for row in failed
    ]


def last_line(attempt: Attempt | None) -> str:
    """Returns the last line of an attempt's traceback, which names the error."""
    if attempt is None:
        return ""
    lines = [line for line in (attempt.traceback or "").splitlines() if line.strip()]
    return lines[-1].strip() if lines else (attempt.reason or "")
