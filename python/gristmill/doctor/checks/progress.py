"""I8: what is due is done. Warnings: how long is too long, a person knows better."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from gristmill.doctor.check import Finding, Question
from gristmill.doctor.examination import Examination
from gristmill.inspect.workers import WorkerSeen
from gristmill.models import Worker
from gristmill.values.moments import seconds_between

#: Beside the lease and two heartbeats of the worker that should have done it: polls, and a busy machine.
SLACK_SECONDS = 30.0
#: After this a worker's maintenance has long been round.
OVERDUE = timedelta(minutes=1)
#: Of each kind of finding, so many are told one by one.
SHOWN = 100
#: Lanes that are looked at.
MAX_LANES = 500
#: Preconditions whose ends are looked at, for when a job became ready.
EDGES = 1_000


def unclaimed(examination: Examination) -> list[Finding]:
    """Finds lanes whose first job has been due for long, though a worker that serves it has room."""
    found = []
    for backend, queue_name, task_name in lanes(examination):
        able = [
            worker
            for worker in examination.living
            if worker.backend == backend and worker.serves(queue_name, task_name) and worker.running < worker.processes
        ]
        if not able or paused(examination, backend, queue_name):
            continue
        head = first_of(examination, backend, queue_name, task_name)
        if head is None:
            continue
        job_id, since = head
        bound = longest(examination, able)
        seconds = seconds_between(max(since, newest_start(examination, able)), examination.now)
        if seconds > bound:
            sentence = (
                f"{task_name} in queue {queue_name} has been ready for {seconds:.0f} s, "
                f"though {able[0].label} serves it and has room"
            )
            found.append(UNCLAIMED.finding(job_id, sentence, seconds=seconds, bound_seconds=bound))
    return found


def lanes(examination: Examination) -> list[tuple[str, str, str]]:
    """Returns the lanes with ready jobs, one probe of the claim's index each."""
    found: list[tuple[str, str, str]] = []
    last = ("", "", "")
    with examination.reading() as cursor:
        while len(found) < MAX_LANES:
            cursor.execute(
                "select backend, queue_name, task_name from gristmill_ready "
                "where (backend, queue_name, task_name) > (%s, %s, %s) "
                "order by backend, queue_name, task_name limit 1",
                last,
            )
            rows = cursor.fetchall()
            if not rows:
                break
            last = rows[0]
            found.append(last)
    return found


def paused(examination: Examination, backend: str, queue_name: str) -> bool:
    """Tells whether a queue is paused."""
    with examination.reading() as cursor:
        cursor.execute("select 1 from gristmill_queue where backend = %s and queue_name = %s", [backend, queue_name])
        return bool(cursor.fetchall())


def first_of(examination: Examination, backend: str, queue_name: str, task_name: str) -> tuple[str, datetime] | None:
    """Returns the job that is claimed next in a lane, and since when it can have been ready."""
    lane = [backend, queue_name, task_name]
    where = "backend = %s and queue_name = %s and task_name = %s"
    with examination.reading() as cursor:
        cursor.execute(f"select max(priority) from gristmill_ready where {where}", lane)
        ((priority,),) = cursor.fetchall()
        if priority is None:
            return None
        cursor.execute(
            f"select id from gristmill_ready where {where} and priority = %s order by deadline, id limit 1",
            [*lane, priority],
        )
        rows = cursor.fetchall()
        if not rows:
            return None
        job_id = rows[0][0]
        moments: list[Any] = []
        for statement in (
            "select enqueued_at, run_after from gristmill_job where id = %s",
            "select run_after, run_after from gristmill_ready where id = %s",
            "select max(ended_at), null from gristmill_attempt where job_id = %s",
            "select max(acted_at), null from gristmill_action where job_id = %s",
            f"""select max(result.finished_at), null
            from (select precondition_id from gristmill_edge where dependent_id = %s limit {EDGES}) as edge
            join gristmill_result as result on result.id = edge.precondition_id""",
        ):
            cursor.execute(statement, [job_id])
            for row in cursor.fetchall():
                moments += [examination.told("since_at", moment) for moment in row if moment is not None]
    return (getattr(job_id, "hex", job_id), max(moments)) if moments else None


def longest(examination: Examination, workers: list[WorkerSeen]) -> float:
    """Returns how long the slowest of these workers may take: a lease and two heartbeats, and some slack."""
    rows = Worker.objects.using(examination.using).filter(pk__in=[worker.id for worker in workers[:SHOWN]])
    times = rows.values_list("lease_seconds", "heartbeat_seconds")
    return max((lease + 2 * heartbeat for lease, heartbeat in times), default=0.0) + SLACK_SECONDS


def newest_start(examination: Examination, workers: list[WorkerSeen]) -> datetime:
    """Returns when the oldest of these workers was there to do it."""
    rows = Worker.objects.using(examination.using).filter(pk__in=[worker.id for worker in workers[:SHOWN]])
    return min(rows.values_list("started_at", flat=True), default=examination.now)


def unroutable(examination: Examination) -> list[Finding]:
    """Finds lanes that no running worker serves."""
    return [
        UNROUTABLE.finding(
            f"{backend} / {queue_name} / {task_name}",
            f"jobs of {task_name} are ready in queue {queue_name}, and no running worker serves them",
        )
        for backend, queue_name, task_name in lanes(examination)
        if not any(worker.backend == backend and worker.serves(queue_name, task_name) for worker in examination.living)
    ]


def overdue(examination: Examination) -> list[Finding]:
    """Finds jobs whose date has come long ago and that are still put off."""
    with examination.reading() as cursor:
        cursor.execute(
            "select id, task_name, run_after from gristmill_scheduled where run_after < %(minute_ago)s "
            f"order by run_after, id limit {SHOWN}",
            examination.binds,
        )
        rows = cursor.fetchall()
    found = []
    for job_id, task_name, due_at in rows:
        seconds = seconds_between(examination.told("due_at", due_at), examination.now)
        sentence = f"{task_name} has been due for {seconds:.0f} s, and no worker has made it ready"
        found.append(OVERDUE_DATE.finding(examination.told("id", job_id), sentence, seconds=seconds))
    return found


def old_propagations(examination: Examination) -> list[Finding]:
    """Finds propagations that have been due for long, one finding a kind."""
    found = []
    for kind in ("notify", "resolve", "evaluate", "raise_deadline"):
        with examination.reading() as cursor:
            cursor.execute(
                "select job_id, due_at from gristmill_propagation where kind = %(kind)s and due_at < %(minute_ago)s "
                f"order by kind, due_at, id limit {SHOWN + 1}",
                {**examination.binds, "kind": kind},
            )
            rows = cursor.fetchall()
        if rows:
            seconds = seconds_between(examination.told("due_at", rows[0][1]), examination.now)
            count = f"more than {SHOWN}" if len(rows) > SHOWN else str(len(rows))
            sentence = f"{count} propagations of kind {kind} are due, the oldest for {seconds:.0f} s"
            found.append(
                OLD_PROPAGATIONS.finding(
                    kind, sentence, job_id=examination.told("id", rows[0][0]), seconds=seconds, count=len(rows)
                )
            )
    return found


def silent_workers(examination: Examination) -> list[Finding]:
    """Finds workers that are silent far beyond their lease, with jobs that run, though another could notice."""
    silent = [worker for worker in examination.workers if worker.state == "silent" and worker.running]
    rows = {row.id.hex: row for row in Worker.objects.using(examination.using).filter(pk__in=[w.id for w in silent])}
    found = []
    for worker in silent:
        row = rows.get(worker.id)
        if row is None or worker.heartbeat_seconds_ago <= row.lease_seconds + 2 * row.heartbeat_seconds + SLACK_SECONDS:
            continue
        sentence = (
            f"{worker.label} has been silent for {worker.heartbeat_seconds_ago:.0f} s with {worker.running} jobs, "
            "and nobody has given them back"
        )
        found.append(SILENT.finding(worker.id, sentence, label=worker.label, running=worker.running))
    return found


UNCLAIMED = Question(
    "due but not claimed", "I8", "What is due is claimed while a worker that serves it has room.", unclaimed,
    warning=True, needs_worker=True,
)  # fmt: skip
UNROUTABLE = Question(
    "nobody serves it", "I8", "A running worker serves what is ready.", unroutable, warning=True, needs_worker=True
)
OVERDUE_DATE = Question(
    "overdue", "I8", "What is due later is ready when its date has come.", overdue, warning=True, needs_worker=True
)
OLD_PROPAGATIONS = Question(
    "old propagations", "I8, I9", "What has to be carried through the graph is, within a minute.", old_propagations,
    warning=True, needs_worker=True,
)  # fmt: skip
SILENT = Question(
    "silent worker with jobs", "I8", "What a silent worker runs is given back after its lease.", silent_workers,
    needs_worker=True, vendor="postgresql",
)  # fmt: skip

CHECKS = (UNCLAIMED, UNROUTABLE, OVERDUE_DATE, OLD_PROPAGATIONS, SILENT)
