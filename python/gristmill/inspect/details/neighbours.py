"""The first jobs that a job waits for, and the first that wait for it; counted to a cap. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from gristmill.inspect.explaining.facts import CAP, Facts

if TYPE_CHECKING:
    from gristmill.models import Job

#: Jobs that are named.
SHOWN = 5


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


def neighbours_of(facts: Facts, way: str, jobs: dict[UUID, Job]) -> Neighbours:
    """Returns the first jobs "before" one or "behind" it: that it waits for or has waited for, or that wait for it."""
    named = []
    for job_id, edge in facts.edges[way][:SHOWN]:
        job = jobs.get(job_id)
        name, state = (None, None) if job is None else (job.task_name, job.state)
        named.append(Neighbour(job_id.hex, name, state, edge))
    count = facts.edge_counts[way]
    return Neighbours(named, min(count, CAP), count > CAP)


def neighbour_ids(facts: Facts) -> list[UUID]:
    """Returns the jobs that are named."""
    return [job_id for edges in facts.edges.values() for job_id, _ in edges[:SHOWN]]
