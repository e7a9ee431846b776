"""Writes the rows that workers write, so that a test shows only what matters of a job's past."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import Any

from django.utils import timezone

from gristmill.models import Attempt, Job, ReadyRow, ResultRow, RunningRow, ScheduledRow, WaitingRow, Worker

PLACE = ("id", "backend", "queue_name", "task_name", "priority", "run_after", "deadline", "generation", "started_at")
COUNTS = ("failures", "crashes", "losses", "postpones", "interruptions")

_clock = [0]


def reset() -> None:
    """Puts the clock of made-up attempts back."""
    _clock[0] = 0


def later() -> Any:
    """Returns a moment one second after the one before."""
    _clock[0] += 1
    return timezone.now() + timedelta(seconds=_clock[0])


def worker(**columns: Any) -> Worker:
    """A worker that is alive."""
    now = timezone.now()
    values = {
        "id": uuid.uuid4(),
        "label": "mill-1",
        "host": "mill",
        "pid": 4711,
        "version": "0.1.0",
        "backend": "default",
        "queues": {"include": None, "exclude": []},
        "tasks": ["tests.app.tasks.add"],
        "processes": 2,
        "started_at": now,
        "heartbeat_at": now,
        "heartbeat_seconds": 5.0,
        "lease_seconds": 60.0,
    }
    return Worker.objects.create(**{**values, **columns})


def columns_of(job: Any, **more: int) -> dict[str, Any]:
    """The columns that all places share but the token; with `more` to count."""
    # The view has them one by one.
    before = json.loads(job.counts or "{}") if hasattr(job, "counts") else vars(job)
    counts = {name: count for name in COUNTS if (count := before.get(name, 0) + more.get(name, 0))}
    return {**{name: getattr(job, name) for name in PLACE}, "counts": json.dumps(counts) if counts else None}


def claim(job_id: str, worker_id: uuid.UUID | None = None) -> RunningRow:
    """Claims a job: its place becomes `running`, with the next token."""
    job = Job.objects.get(pk=job_id)
    values = columns_of(job)
    for model in (ReadyRow, ScheduledRow, WaitingRow):
        model.objects.filter(pk=job.id).delete()
    moment = later()
    return RunningRow.objects.create(
        **values, token=job.token + 1, worker_id=worker_id or uuid.uuid4(), claimed_at=moment
    )


def end(running: RunningRow, outcome: str, **columns: Any) -> Attempt:
    """Ends the open attempt: it becomes an `attempt` row."""
    RunningRow.objects.filter(pk=running.id).delete()
    return Attempt.objects.create(
        job_id=running.id,
        token=running.token,
        generation=running.generation,
        worker_id=running.worker_id,
        claimed_at=running.claimed_at,
        started_at=running.claimed_at,
        ended_at=later(),
        outcome=outcome,
        **columns,
    )


def finish(
    running: RunningRow, state: str, reason: str | None = None, fingerprint: str | None = None, **more: int
) -> ResultRow:
    """Puts a job whose attempt has ended among the results; with `more` to count."""
    values = columns_of(running, **more)
    values["started_at"] = running.started_at or running.claimed_at
    values.update(token=running.token, finished_at=later(), state=state, reason=reason, fingerprint=fingerprint)
    return ResultRow.objects.create(**values)


def ready_again(running: RunningRow, **more: int) -> ReadyRow:
    """Puts a job whose attempt has ended back to `ready`; with `more` to count."""
    values = columns_of(running, **more)
    values["started_at"] = running.started_at or running.claimed_at
    return ReadyRow.objects.create(**values, token=running.token)


def fail(
    job_id: str,
    path: str = "builtins.ValueError",
    traceback: str = "ValueError: no\n",
    fingerprint: str | None = None,
) -> None:
    """One attempt that fails, and with it the job."""
    running = claim(job_id)
    end(running, "failed", reason="error", exception_class_path=path, traceback=traceback)
    finish(running, "failed", "error", fingerprint, failures=1)


def failed_for_now(job_id: str, delay: timedelta = timedelta(minutes=5)) -> ScheduledRow:
    """One attempt that fails, and the job waits to run again."""
    running = claim(job_id)
    end(running, "failed", reason="error")
    values = columns_of(running, failures=1)
    values.update(run_after=timezone.now() + delay, started_at=running.claimed_at)
    return ScheduledRow.objects.create(**values, token=running.token)


def succeed(job_id: str, value: Any = None) -> None:
    """One attempt that succeeds, and with it the job."""
    running = claim(job_id)
    end(running, "successful", return_value="null" if value is None else value)
    finish(running, "successful")
