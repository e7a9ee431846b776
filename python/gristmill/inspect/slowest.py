"""Which of a task's jobs ran longest, among those that ended last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.models import Attempt, ResultRow

#: The ends that are looked at, the newest of all tasks.
NEWEST = 1_000
SHOWN = 5


@dataclass(frozen=True)
class Slow:
    """A job, how it ended and when, and how long its last attempt ran."""

    id: str
    state: str
    ended_at: datetime
    seconds: float


def slowest(connection: BaseDatabaseWrapper, task_name: str) -> list[Slow]:
    """Returns them, the slowest first; two queries, whatever the tables hold."""
    newest = ResultRow.objects.using(connection.alias).order_by("-finished_at", "-id")[:NEWEST]
    ended = {(row.id, row.token): row for row in newest if row.task_name == task_name}
    if not ended:
        return []
    attempts = Attempt.objects.using(connection.alias).filter(job_id__in={job_id for job_id, _ in ended})
    found = [
        Slow(job_id.hex, ended[job_id, token].state, ended_at, (ended_at - started_at).total_seconds())
        for job_id, token, started_at, ended_at in attempts.order_by("-job_id", "-token").values_list(
            "job_id", "token", "started_at", "ended_at"
        )[: 2 * NEWEST]
        if started_at is not None and (job_id, token) in ended
    ]
    return sorted(found, key=lambda one: -one.seconds)[:SHOWN]
