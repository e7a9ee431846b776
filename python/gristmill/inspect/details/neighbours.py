"""The first jobs that a job waits for, and the first that wait for it; counted to a cap."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from gristmill.inspect.explaining.look import jobs_by_id
from gristmill.models import EdgeRow

#: Jobs that are named, and how far they are counted.
SHOWN, CAP = 5, 1_000


@dataclass(frozen=True)
class Neighbour:
    """A job beside this one; without a name and a state where it was forgotten."""

    id: str
    task_name: str | None
    state: str | None
    # What the gate takes it for: "open", "successful" or "failed".
    edge: str


@dataclass(frozen=True)
class Neighbours:
    """Some of them, in order of their ids, and how many there are."""

    first: list[Neighbour]
    count: int
    at_least: bool

    def as_json(self) -> dict[str, Any]:
        """Returns it in JSON's types."""
        return asdict(self)


def preconditions_of(job_id: UUID, using: str) -> Neighbours:
    """Returns the first jobs that a job waits for, or has waited for."""
    return neighbours(using, "precondition_id", dependent_id=job_id)


def dependents_of(job_id: UUID, using: str) -> Neighbours:
    """Returns the first jobs that wait for a job, or have waited."""
    return neighbours(using, "dependent_id", precondition_id=job_id)


def neighbours(using: str, end: str, **of_this: UUID) -> Neighbours:
    """Returns what is at the other end of a job's first edges."""
    edges = EdgeRow.objects.using(using).filter(**of_this)
    count = edges.order_by().values(end)[: CAP + 1].count()
    found = list(edges.order_by(end).values_list(end, "state")[:SHOWN]) if count else []
    jobs = jobs_by_id([job_id for job_id, _ in found], using)
    named = []
    for job_id, edge in found:
        job = jobs.get(job_id)
        name, state = (None, None) if job is None else (job.task_name, job.state)
        named.append(Neighbour(job_id.hex, name, state, edge))
    return Neighbours(named, min(count, CAP), count > CAP)
