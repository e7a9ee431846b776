"""A job as it is asked for, and how the engine's SQL takes it: as plain binds, or as one of a list in JSON."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from gristmill.values.bounds import later
from gristmill.values.moments import utc_text


class NewJob(NamedTuple):
    """A job to be asked for. Timedeltas count from the enqueue."""

    id: str
    backend: str
    queue_name: str
    task_name: str
    priority: int
    run_after: datetime | timedelta | None
    deadline: datetime | timedelta | None
    args_json: str
    kwargs_json: str
    options_json: str | None
    # Seconds that its result is kept.
    retention: float | None = None
    held: bool = False
    key: str | None = None
    until: str | None = None
    # Seconds: how long at most it has the key.
    period: float | None = None
    # Of an enqueue of many: it has a gate, and others of the same enqueue wait for it.
    waits: bool = False
    awaited: bool = False


class Gate(NamedTuple):
    """How a job waits for its preconditions: for so many of them, all where `needed` is None."""

    needed: int | None
    on_precondition_failure: str


def binds(job: NewJob, now: datetime | None) -> list[Any]:
    """Returns what `enqueue_one.sql` is given of a job itself: all but what it waits for, and the moment."""
    if now is not None:
        job = job._replace(run_after=_after(now, job.run_after), deadline=_after(now, job.deadline))
    return [
        *(job.id, job.backend, job.queue_name, job.task_name, job.priority),
        *(job.args_json, job.kwargs_json, job.options_json, *_moment(job.run_after), *_moment(job.deadline)),
        *(job.retention, job.held, job.key, job.until, job.period),
    ]


def as_json(job: NewJob) -> dict[str, Any]:
    """Returns what the verbs of many take of a job; what is not in it is null."""
    asked: dict[str, Any] = {
        "id": job.id,
        "backend": job.backend,
        "queue_name": job.queue_name,
        "task_name": job.task_name,
        "priority": job.priority,
        "args": job.args_json,
        "kwargs": job.kwargs_json,
    }
    if job.options_json is not None:
        asked["options"] = job.options_json
    if job.run_after is not None:
        asked["run_after"], asked["run_delay"] = _moment(job.run_after)
    if job.deadline is not None:
        asked["deadline"], asked["deadline_delay"] = _moment(job.deadline)
    if job.retention is not None:
        asked["retention"] = job.retention
    if job.key is not None:
        asked |= {"unique_key": job.key, "unique_until": job.until, "unique_period": job.period}
    if job.held:
        asked["held"] = True
    if job.waits:
        asked["waits"] = True
    if job.awaited:
        asked["awaited"] = True
    return asked


def own_json(job: NewJob) -> dict[str, Any]:
    """Returns what is a job's own beside others that are alike."""
    asked = {"id": job.id, "args": job.args_json, "kwargs": job.kwargs_json}
    if job.key is not None:
        asked["unique_key"] = job.key
    return asked


def _after(now: datetime, value: datetime | timedelta | None) -> datetime | None:
    return later(now, value) if isinstance(value, timedelta) else value


def _moment(value: datetime | timedelta | None) -> tuple[str | None, float | None]:
    """Returns a date, or the seconds from the enqueue to it."""
    if isinstance(value, timedelta):
        return None, value.total_seconds()
    return None if value is None else utc_text(value), None
