"""I10: each instant of a schedule is settled once, and soon."""

from __future__ import annotations

from datetime import datetime

from gristmill.doctor.check import Finding, Question, RowCheck
from gristmill.doctor.examination import Examination
from gristmill.inspect.schedules import OVERDUE
from gristmill.inspect.workers import WorkerSeen
from gristmill.models import Schedule, Worker
from gristmill.values.moments import seconds_between

#: Findings that are told one by one.
SHOWN = 100


def shared_jobs(examination: Examination) -> list[Finding]:
    """Finds jobs that stand for several ticks."""
    with examination.reading() as cursor:
        # Along the index of ticks by job.
        cursor.execute(
            "select job_id, count(*), min(schedule), max(schedule) from gristmill_tick where job_id is not null "
            f"group by job_id having count(*) > 1 limit {SHOWN}"
        )
        rows = cursor.fetchall()
    found = []
    for job_id, count, one, other in rows:
        of = f"schedule {one}" if one == other else f"schedules {one} and {other}"
        sentence = f"is the job of {count} ticks of {of}, so all but one of them ran nothing"
        found.append(SHARED.finding(examination.told("id", job_id), sentence, ticks=count))
    return found


def overdue(examination: Examination) -> list[Finding]:
    """Finds schedules that a living worker should have seen to."""
    rows = Schedule.objects.using(examination.using).overdue(examination.now, OVERDUE).order_by("next_at")
    found = []
    for row in rows[:SHOWN]:
        able = [worker for worker in examination.living if worker.backend == row.backend and serves(worker, row)]
        if not able:
            continue
        since = max(row.next_at, started(examination, able))
        seconds = seconds_between(since, examination.now)
        if seconds <= OVERDUE.total_seconds():
            continue
        sentence = f"schedule {row.name} of backend '{row.backend}' has been due for {seconds:.0f} s, "
        sentence += f"though {able[0].label} serves queue {row.queue_name}; was it started with --no-schedules?"
        found.append(LATE.finding(row.name, sentence, backend=row.backend, seconds=seconds))
    return found


def serves(worker: WorkerSeen, row: Schedule) -> bool:
    """Tells whether a worker ticks a schedule: whatever tasks it knows, the queue decides."""
    included = worker.include_queues is None or row.queue_name in worker.include_queues
    return included and row.queue_name not in worker.exclude_queues


def started(examination: Examination, workers: list[WorkerSeen]) -> datetime:
    """Returns when the oldest of these workers was there to do it."""
    rows = Worker.objects.using(examination.using).filter(pk__in=[worker.id for worker in workers[:SHOWN]])
    return min(rows.values_list("started_at", flat=True), default=examination.now)


SHARED = Question("one job of two ticks", "I10", "Each tick has a job of its own.", shared_jobs)
LATE = Question(
    "schedule overdue", "I10", "A schedule is seen to within a minute while a worker serves its queue.", overdue,
    warning=True, needs_worker=True,
)  # fmt: skip

CHECKS = (
    SHARED,
    RowCheck(
        name="mark behind a tick",
        invariant="I10",
        claim="What a schedule has settled lies before its mark, so that it is not settled again.",
        table="gristmill_schedule",
        sql="""select {key}, here.high_water, tick.nominal
from gristmill_schedule as here
join gristmill_tick as tick on tick.backend = here.backend
    and tick.schedule = here.name
    and tick.nominal > here.high_water
where {range}
    and tick.nominal = (
        select max(newest.nominal)
        from gristmill_tick as newest
        where newest.backend = here.backend
            and newest.schedule = here.name
            and not newest.by_hand
    )""",
        columns=("marked_at", "newest_at"),
        says="schedule {name} is settled up to {marked_at}, but has a tick of {newest_at}",
        job="name",
    ),
    RowCheck(
        name="schedule that cannot tick",
        invariant="I10, I12",
        claim="Every schedule can be read.",
        table="gristmill_schedule",
        sql="""select {key}, here.problem
from gristmill_schedule as here
where {range}
    and here.removed_at is null
    and here.problem is not null""",
        columns=("problem",),
        says="schedule {name} of backend '{backend}' cannot tick: {problem}",
        job="name",
    ),
    LATE,
)
