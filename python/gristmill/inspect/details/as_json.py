"""A job's details in JSON's types, for programs; names of fields are those of the tables where there are some."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gristmill.inspect.details.read import Details
    from gristmill.models import Attempt


def as_json(details: Details) -> dict[str, Any]:
    """Returns one object; moments are ISO 8601, ids 32 hexadecimal digits."""
    row, job, arguments = details.row, details.job, details.arguments
    progress = None if job is None else job.progress
    return {
        **details.explanation.as_dict(),
        "priority": row.priority,
        "arguments": arguments and {"args": arguments.args, "kwargs": arguments.kwargs},
        "redacted": arguments is not None and arguments.is_redacted,
        "options": details.options,
        "enqueued_at": told(row.enqueued_at),
        "run_after": told(row.run_after),
        "due_at": told(None if job is None else job.due_at),
        "deadline": told(None if job is None else job.deadline),
        "started_at": told(None if job is None else job.started_at),
        "claimed_at": told(None if job is None else job.claimed_at),
        "finished_at": told(None if job is None else job.finished_at),
        "token": None if job is None else job.token,
        "failures": None if job is None else job.failures,
        "unique_key": row.unique_key,
        "has_key": details.has_key,
        "schedule": details.schedule,
        "nominal": told(details.nominal),
        "progress": progress and {"done": progress.done, "total": progress.total, "message": progress.message},
        "result": details.result,
        "attempts": [attempt_as_json(attempt, details) for attempt in details.attempts],
        "attempt_count": details.attempt_count,
        "timeline": [event.as_json() for event in details.events],
        "actions": [
            {"verb": act.verb, "actor": act.actor, "acted_at": told(act.moment), "other": act.other}
            for act in details.actions
        ],
        "preconditions": asdict(details.preconditions),
        "dependents": asdict(details.dependents),
    }


def attempt_as_json(attempt: Attempt, details: Details) -> dict[str, Any]:
    """Returns an attempt, with the label of its worker where that is still known."""
    return {
        "token": attempt.token,
        "generation": attempt.generation,
        "outcome": attempt.outcome,
        "reason": attempt.reason,
        "worker": details.labels.get(attempt.worker_id),
        "worker_id": attempt.worker_id.hex,
        "runner_pid": attempt.runner_pid,
        "claimed_at": told(attempt.claimed_at),
        "started_at": told(attempt.started_at),
        "ended_at": told(attempt.ended_at),
        "exception_class_path": attempt.exception_class_path,
        "traceback": attempt.traceback,
        "output": attempt.output,
    }


def told(moment: datetime | None) -> str | None:
    """Writes a moment."""
    return None if moment is None else moment.isoformat()
