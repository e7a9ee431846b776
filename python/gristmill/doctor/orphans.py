"""
Puts right what is left where somebody has deleted rows by hand.

A row that belongs to no job goes. A job that has lost its place, or what it waits for, is put where nothing happens to
it until a person has looked: it is held, with the reason; it has ended only where its last attempt says so.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from gristmill.doctor.check import Finding
from gristmill.doctor.examination import Examination, among
from gristmill.models import Attempt, EdgeRow, GateRow, JobRow, ResultRow, WaitingRow
from gristmill.values.bounds import USUAL_DEADLINE, later
from gristmill.values.moments import database_now


def remove(examination: Examination, table: str, finding: Finding) -> str:
    """Removes a row that belongs to no job."""
    condition, binds = among(table, [finding.key])
    with examination.connection.cursor() as cursor:
        cursor.execute(f"delete from {table} as here where {condition}", binds)
    return "removed it"


def place(examination: Examination, job_id: UUID) -> str:
    """Gives a job a place: it has ended if its last attempt succeeded, else it is held until a person has looked."""
    using = examination.using
    job = JobRow.objects.using(using).get(pk=job_id)
    attempts = list(Attempt.objects.using(using).filter(job_id=job_id).order_by("token"))
    last = attempts[-1] if attempts else None
    columns: dict[str, Any] = {
        name: getattr(job, name) for name in ("id", "backend", "queue_name", "task_name", "priority", "run_after")
    }
    columns |= {
        "deadline": job.deadline or later(job.run_after or job.enqueued_at, USUAL_DEADLINE),
        "token": last.token if last else 0,
        "generation": last.generation if last else 1,
        "started_at": next((attempt.started_at for attempt in attempts if attempt.started_at), None),
        "awaited": EdgeRow.objects.using(using).filter(precondition_id=job_id).exists(),
    }
    if last and last.outcome == "successful":
        ResultRow.objects.using(using).create(state="successful", finished_at=last.ended_at, **columns)
        return "it has ended, as its last attempt says"
    WaitingRow.objects.using(using).create(held=True, held_reason="it had lost its place", **columns)
    return "held it, as it had lost its place"


def gate(examination: Examination, job_id: UUID) -> str:
    """
    Sees to a job whose gate is gone, or older than what it waits for.

    One that waits gets a gate for all that it waits for; where that is nothing, it is held. Another has no need of one.
    """
    using = examination.using
    edges = EdgeRow.objects.using(using).filter(dependent_id=job_id)
    gates = GateRow.objects.using(using).filter(pk=job_id)
    waiting = WaitingRow.objects.using(using).filter(pk=job_id)
    if not gates.exists() and not waiting.exists():
        edges._raw_delete(using)
        return "forgot what it had waited for"
    epoch = max(edges.values_list("epoch", flat=True), default=None)
    if epoch is None:
        waiting.update(held=True, held_reason="nobody knows what it waits for")
        return "held it, as nobody knows what it waits for"
    states = list(edges.filter(epoch=epoch).values_list("state", flat=True))
    counts = {state: states.count(state) for state in ("open", "successful", "failed")}
    if not gates.update(epoch=epoch, resolved=False, **counts):
        armed_at = database_now(examination.connection)
        GateRow.objects.using(using).create(
            job_id=job_id, on_precondition_failure="strand", epoch=epoch, armed_at=armed_at, resolved=False, **counts
        )
    return "has it wait for what its edges say"


def gone(examination: Examination, job_id: UUID, precondition_id: UUID) -> str:
    """Takes a precondition that is no job for failed."""
    edges = EdgeRow.objects.using(examination.using)
    edges.filter(dependent_id=job_id, precondition_id=precondition_id, state="open").update(state="failed")
    return "took it for failed"
