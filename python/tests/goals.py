"""Writes the rows that goals have: gates, edges and errands, as enqueue and the engine write them."""

from __future__ import annotations

import uuid
from typing import Any

from django.utils import timezone

from gristmill.models import (
    EdgeRow,
    ErrandRow,
    GateRow,
    Job,
    ReadyRow,
    ResultRow,
    RunningRow,
    ScheduledRow,
    WaitingRow,
)
from tests.rows import COUNTS, PLACE
from tests.sql import mark_awaited

PLACES = (ReadyRow, ScheduledRow, WaitingRow, RunningRow, ResultRow)


def wait(
    dependent: Any, *preconditions: Any, needed: int | None = None, on_failure: str = "strand", **gate: Any
) -> Job:
    """Makes a job that is ready wait for others, as if enqueued so, its gate settled by what they are now."""
    job_id, others = uuid.UUID(dependent.id), [uuid.UUID(one.id) for one in preconditions]
    job = Job.objects.get(pk=job_id)
    ReadyRow.objects.filter(pk=job_id).delete()
    ScheduledRow.objects.filter(pk=job_id).delete()
    states = {other: outcome(other) for other in others}
    for other, state in states.items():
        EdgeRow(precondition_id=other, dependent_id=job_id, state=state).save(force_insert=True)
        mark_awaited(other)
    counts = {state: list(states.values()).count(state) for state in ("open", "successful", "failed")}
    made = GateRow(
        job_id=job_id,
        needed=needed,
        on_failure=on_failure,
        arming=1,
        armed_at=timezone.now(),
        **{"settled": True, **counts, **gate},
    )
    made.save(force_insert=True)
    total = len(others)
    wanted = min(total if needed is None else needed, total)
    stranded = on_failure == "strand" and counts["successful"] + counts["open"] < wanted
    values = {name: getattr(job, name) for name in PLACE + COUNTS} | {"run_after": job.due_at}
    WaitingRow.objects.create(**values, token=job.token, stranded=stranded)
    return Job.objects.get(pk=job_id)


def outcome(job_id: uuid.UUID) -> str:
    """What an edge says of a precondition."""
    state = Job.objects.get(pk=job_id).state
    if state == "successful":
        return "successful"
    return "failed" if state in ("failed", "cancelled", "poisoned", "stranded") else "open"


def errand(kind: str, job: Any, other: Any = None, **columns: Any) -> ErrandRow:
    """Something that the engine has yet to do."""
    values = {"kind": kind, "job_id": job.id, "other_id": other and other.id, "due_at": timezone.now()}
    return ErrandRow.objects.create(**{**values, **columns})
