"""Writes the rows that goals have: gates, edges and propagations, as enqueue and the engine write them."""

from __future__ import annotations

import uuid
from typing import Any

from django.utils import timezone

from gristmill.models import (
    EdgeRow,
    GateRow,
    Job,
    PropagationRow,
    ReadyRow,
    ResultRow,
    RunningRow,
    ScheduledRow,
    WaitingRow,
)
from tests.rows import columns_of
from tests.sql import mark_awaited

PLACES = (ReadyRow, ScheduledRow, WaitingRow, RunningRow, ResultRow)


def wait(
    dependent: Any, *preconditions: Any, needed: int | None = None, on_precondition_failure: str = "strand", **gate: Any
) -> Job:
    """Makes a job that is ready wait for others, as if enqueued so, its gate resolved by what they are now."""
    job_id, others = id_of(dependent), [id_of(one) for one in preconditions]
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
        on_precondition_failure=on_precondition_failure,
        epoch=1,
        armed_at=timezone.now(),
        **{"resolved": True, **counts, **gate},
    )
    made.save(force_insert=True)
    total = len(others)
    wanted = min(total if needed is None else needed, total)
    stranded = on_precondition_failure == "strand" and counts["successful"] + counts["open"] < wanted
    values = columns_of(job) | {"run_after": job.due_at}
    WaitingRow.objects.create(**values, token=job.token, stranded=stranded)
    return Job.objects.get(pk=job_id)


def id_of(job: Any) -> uuid.UUID:
    """The id of a job or a result."""
    return job.id if isinstance(job.id, uuid.UUID) else uuid.UUID(job.id)


def outcome(job_id: uuid.UUID) -> str:
    """What an edge says of a precondition."""
    state = Job.objects.get(pk=job_id).state
    if state == "successful":
        return "successful"
    return "failed" if state in ("failed", "cancelled", "poisoned", "stranded") else "open"


def propagation(kind: str, job: Any, other: Any = None, **columns: Any) -> PropagationRow:
    """Something that the engine has yet to do."""
    ids = {"job_id": id_of(job), "other_id": other and id_of(other)}
    values = {"kind": kind, "due_at": timezone.now(), **ids}
    return PropagationRow.objects.create(**{**values, **columns})
