"""What should have been seen to by now: the first scheduled job, and the first propagation of each kind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from gristmill.inspect.questions import Question, Said, id_of, moment_of

#: The kinds of propagations. Each is one range of the index of what is due.
PROPAGATIONS = ("notify", "resolve", "evaluate", "raise_deadline")


@dataclass(frozen=True)
class Late:
    """A scheduled job that is the first to be due, or a propagation for a job; `due_at` may lie ahead."""

    # "scheduled", or a kind of propagation.
    kind: str
    job_id: UUID
    due_at: datetime
    # Of a scheduled job.
    backend: str | None = None
    task_name: str | None = None


def late_asked() -> dict[str, Question]:
    """Asks for the first of each."""
    columns = "job_id, due_at, backend, task_name"
    first = {
        "scheduled_first": Question(
            columns,
            "select id as job_id, run_after as due_at, backend, task_name from gristmill_scheduled "
            "order by run_after, id limit 1",
        )
    }
    for kind in PROPAGATIONS:
        first[f"{kind}_first"] = Question(
            columns,
            "select job_id, due_at, null as backend, null as task_name from gristmill_propagation where kind = %s "
            "order by kind, due_at, id limit 1",
            [kind],
        )
    return first


def late_said(said: Said) -> list[Late]:
    """Returns what was asked for."""
    return [
        Late(kind, id_of(job_id), moment_of(due_at), backend, task_name)
        for kind in ("scheduled", *PROPAGATIONS)
        for job_id, due_at, backend, task_name in said[f"{kind}_first"]
    ]
