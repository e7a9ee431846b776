"""
What is going on in a queue, for people: workers, counts, what waits longest, what failed last.

Every question here is bounded: it reads at most CAP rows of a table, however large the table is. A survey asks all of
them but two in one statement.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.inspect.lanes import Lane, due_at, lanes_asked, lanes_said
from gristmill.inspect.late import Late, late_asked, late_said
from gristmill.inspect.questions import Question, Said, ask, clock, id_of, moment_of
from gristmill.inspect.transactions import OLD_SECONDS, OpenTransaction, transactions_asked
from gristmill.inspect.workers import WorkerSeen, workers_of
from gristmill.models import Schedule, Worker
from gristmill.tasks.discovery.unserved import cause_of
from gristmill.values.moments import seconds_between

#: A count stops here and is shown as "10,000+".
CAP = 10_000
#: Failures are looked for among this many newest results.
RECENT = 1_000
SHOWN_FAILURES = 5
SHOWN_CANCELS = 5
SHOWN_REASONS = 10
#: Schedules that are looked at, by name.
SCHEDULES = 1_000


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


class Ends(NamedTuple):
    """How many jobs of a task ended so not long ago."""

    backend: str
    task_name: str
    state: str
    number: int


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
    # What `unroutable` and `failures` were found among, and what else problems are looked for in.
    lanes: list[Lane] = field(default_factory=list)
    newest_ends: list[Ends] = field(default_factory=list)
    late: list[Late] = field(default_factory=list)
    transactions: list[OpenTransaction] = field(default_factory=list)
    # Those that were lost, crashed or refused within the hour, the newest first.
    ended: list[Worker] = field(default_factory=list)
    # Those that are not removed, without their rules and templates.
    schedules: list[Schedule] = field(default_factory=list)
    # The database's time, None where it could not be asked.
    now: datetime | None = None

    @classmethod
    def nothing(cls) -> Survey:
        """Returns what is seen of a database that cannot be asked."""
        return cls([], [], [], [], [], [], None)

    def as_json(self) -> dict[str, Any]:
        """Returns it in JSON's types, without what it was found among."""
        names = ("workers", "queues", "unroutable", "cancels", "held", "failures")
        said = {name: [asdict(one) for one in getattr(self, name)] for name in names}
        return {**said, "oldest_ready_seconds": self.oldest_ready_seconds}


def together(surveys: Sequence[Survey]) -> Survey:
    """Returns what several databases show, as one."""
    oldest = [each.oldest_ready_seconds for each in surveys if each.oldest_ready_seconds is not None]
    lists: dict[str, Any] = {
        each.name: [one for survey in surveys for one in getattr(survey, each.name)]
        for each in fields(Survey)
        if each.name not in ("oldest_ready_seconds", "now")
    }
    lists["failures"].sort(key=lambda failure: failure.seconds_ago)
    return Survey(**lists, oldest_ready_seconds=max(oldest, default=None), now=None)


def survey(connection: BaseDatabaseWrapper, backends: dict[str, set[str]]) -> Survey:
    """Looks at the jobs of these TASKS aliases, each with its QUEUES, on the database that keeps them."""
    asked = {
        "now": clock(connection),
        "lanes": lanes_asked(backends, CAP),
        **queues_asked(),
        "cancels": CANCELS,
        "oldest": oldest_asked(backends),
        "ends": Question("backend, task_name, state, number", NEWEST_ENDS, [RECENT]),
        "failures": failures_asked(backends),
        **late_asked(),
    }
    if connection.vendor == "postgresql":
        asked["transactions"] = transactions_asked(OLD_SECONDS)
    said = ask(connection, **asked)
    now = moment_of(said["now"][0][0])
    lanes = lanes_said(said["lanes"])
    alive, ended = workers_of(connection, backends, now)
    schedules = Schedule.objects.using(connection.alias).filter(backend__in=backends, removed_at=None)
    return Survey(
        workers=alive,
        queues=queues_said(said, backends, lanes, now),
        unroutable=unroutable_among(lanes, alive),
        cancels=cancels_said(said, backends, now),
        held=held_said(said, backends),
        failures=failures_said(said, now),
        oldest_ready_seconds=oldest_ready(said, backends, lanes, now),
        lanes=lanes,
        newest_ends=[ends for row in said["ends"] if (ends := Ends(*row)).backend in backends],
        late=late_said(said),
        transactions=[OpenTransaction(*row) for row in said.get("transactions", ())],
        ended=ended,
        schedules=list(schedules.defer("definition", "job").order_by("backend", "name")[:SCHEDULES]),
        now=now,
    )


def unroutable_among(lanes: Iterable[Lane], workers: list[WorkerSeen]) -> list[Unroutable]:
    """Returns the lanes that no living worker would claim from, and why."""
    return [
        Unroutable(
            lane.backend,
            lane.queue_name,
            lane.task_name,
            min(lane.ready, CAP),
            lane.ready > CAP,
            *cause_of(lane.backend, lane.queue_name, lane.task_name, workers),
        )
        for lane in lanes
        if not any(
            worker.backend == lane.backend
            and worker.state != "silent"
            and worker.serves(lane.queue_name, lane.task_name)
            for worker in workers
        )
    ]


def queue_counts(connection: BaseDatabaseWrapper, backends: dict[str, set[str]]) -> list[QueueSeen]:
    """Returns the counts of the queues of these TASKS aliases, without the rest of a survey."""
    said = ask(connection, now=clock(connection), lanes=lanes_asked(backends, CAP), **queues_asked())
    return queues_said(said, backends, lanes_said(said["lanes"]), moment_of(said["now"][0][0]))


def queues_asked() -> dict[str, Question]:
    """Asks how many jobs are in each state, and which queues are paused."""
    counted = {
        name: Question(
            "backend, queue_name, state, reason, number",
            f"select backend, queue_name, state, reason, count(*) as number from ({sample} limit %s) as sampled "
            "group by backend, queue_name, state, reason",
            [CAP + 1],
        )
        for name, sample in PLACES.items()
    }
    paused = "select backend, queue_name, reason, paused_at from gristmill_queue limit %s"
    return {**counted, "paused": Question("backend, queue_name, reason, paused_at", paused, [CAP])}


PLACES = {
    # A count that is zero is not written down.
    "scheduled": "select backend, queue_name, "
    """case when counts like '%%"failures"%%' then 'retrying' else 'scheduled' end as state, null as reason """
    "from gristmill_scheduled order by run_after, id",
    "waiting": "select backend, queue_name, held_reason as reason, "
    "case when held then 'held' when stranded then 'stranded' else 'waiting' end as state from gristmill_waiting",
    "running": "select backend, queue_name, 'running' as state, null as reason from gristmill_running",
    "result": "select backend, queue_name, case state when 'poisoned' then 'failed' else state end as state, "
    "null as reason from gristmill_result order by finished_at desc, id desc",
}


def queues_said(said: Said, backends: dict[str, set[str]], lanes: Iterable[Lane], now: datetime) -> list[QueueSeen]:
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
    for lane in lanes:
        add(lane.backend, lane.queue_name, "ready", lane.ready, capped=False)
    for place in PLACES:
        capped = sum(count for *_, count in said[place]) > CAP
        for backend, queue_name, state, _, count in said[place]:
            if backend in backends:
                add(backend, queue_name, state, count, capped=capped)
    for backend, queue_name, reason, paused_at in said["paused"]:
        if backend in backends:
            queue = seen.setdefault((backend, queue_name), QueueSeen(backend, queue_name))
            queue.paused, queue.paused_seconds_ago = reason, seconds_between(moment_of(paused_at), now)
    return [seen[key] for key in sorted(seen)]


def oldest_asked(backends: Collection[str]) -> Question:
    """Asks for the ready job that was made first, past some of other aliases: ids sort by when they were made."""
    marks = ", ".join(["%s"] * len(backends))
    job = "(select job.{0} from gristmill_job job where job.id = oldest.id) as {0}"
    return Question(
        "enqueued_at, run_after",
        f"select {job.format('enqueued_at')}, {job.format('run_after')} from ("
        "select id from (select id, backend from gristmill_ready order by id limit %s) as first "
        f"where backend in ({marks}) limit 1) as oldest",
        [CAP, *backends],
    )


def oldest_ready(said: Said, backends: Collection[str], lanes: Iterable[Lane], now: datetime) -> float | None:
    """Returns for how many seconds the ready job that was asked for first has been due; None when nothing is ready."""
    moments = [lane.first_due_at for lane in lanes if lane.first_due_at is not None]
    for enqueued_at, run_after in said["oldest"]:
        moments += [moment] if (moment := due_at(enqueued_at, run_after)) is not None else []
    return seconds_between(min(moments), now) if moments else None


CANCELS = Question(
    "id, backend, queue_name, task_name, asked_at",
    "select running.id, running.backend, running.queue_name, running.task_name, asked.asked_at "
    "from (select job_id, asked_at from gristmill_cancel_request limit %s) as asked "
    "join gristmill_running as running on running.id = asked.job_id",
    [RECENT],
)


def cancels_said(said: Said, backends: Collection[str], now: datetime) -> list[CancelSeen]:
    """Returns the running jobs that were asked to end, those first that were asked longest ago."""
    found = [
        CancelSeen(id_of(job_id).hex, backend, queue_name, task_name, seconds_between(moment_of(asked_at), now))
        for job_id, backend, queue_name, task_name, asked_at in said["cancels"]
        if backend in backends
    ]
    return sorted(found, key=lambda one: -one.seconds_ago)[:SHOWN_CANCELS]


def held_said(said: Said, backends: Collection[str]) -> list[HeldSeen]:
    """Returns why jobs are held, of each queue, those first that hold most; among the first that wait."""
    held = [row for row in said["waiting"] if row[2] == "held" and row[0] in backends]
    more = sum(count for *_, count in said["waiting"]) > CAP
    found = [
        HeldSeen(alias, queue_name, reason or "", min(count, CAP), more) for alias, queue_name, _, reason, count in held
    ]
    return sorted(found, key=lambda one: (-one.held, one.backend, one.queue_name, one.reason))[:SHOWN_REASONS]


NEWEST = "select * from gristmill_result order by finished_at desc, id desc limit %s"
NEWEST_ENDS = """
select backend, task_name, state, count(*) as number
from (select backend, task_name, state from gristmill_result order by finished_at desc, id desc limit %s) as newest
group by backend, task_name, state
"""


def failures_asked(backends: Collection[str]) -> Question:
    """Asks for the newest failures among the newest results, with what the last attempt of each said."""
    said = "(select attempt.{0} from gristmill_attempt attempt where attempt.job_id = ended.id {1}) as attempt_{0}"
    said = ", ".join(said.format(name, "and attempt.token = ended.token") for name in ("traceback", "reason"))
    marks = ", ".join(["%s"] * len(backends))
    return Question(
        "id, backend, queue_name, task_name, state, reason, finished_at, attempt_traceback, attempt_reason",
        f"select ended.*, {said} from (select * from ({NEWEST}) as newest "
        f"where state in ('failed', 'poisoned') and backend in ({marks}) "
        "order by finished_at desc, id desc limit %s) as ended",
        [RECENT, *backends, SHOWN_FAILURES],
    )


def failures_said(said: Said, now: datetime) -> list[FailureSeen]:
    """Returns the failures that were asked for, the newest first."""
    found = [
        FailureSeen(
            id=id_of(job_id).hex,
            backend=backend,
            queue_name=queue_name,
            task_name=task_name,
            state=state,
            reason=reason,
            error=last_line_in(traceback, because) or reason or state,
            seconds_ago=seconds_between(moment_of(finished_at), now),
        )
        for job_id, backend, queue_name, task_name, state, reason, finished_at, traceback, because in said["failures"]
    ]
    return sorted(found, key=lambda one: one.seconds_ago)


def last_line_in(traceback: str | None, reason: str | None) -> str:
    """Returns the last line of a traceback, or where there is none the reason."""
    lines = [line for line in (traceback or "").splitlines() if line.strip()]
    return lines[-1].strip() if lines else (reason or "")
