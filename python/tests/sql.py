"""Statements by hand, for what no model may write."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import connection

PLACES = ("ready", "scheduled", "waiting", "running", "result")


def execute(statement: str, *binds: Any) -> int:
    """Runs a statement whose ids are UUIDs; gives how many rows it changed."""
    given = [one.hex if isinstance(one, uuid.UUID) and connection.vendor == "sqlite" else one for one in binds]
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        return int(cursor.rowcount)


def mark_awaited(job_id: uuid.UUID) -> None:
    """Notes on a job's place that somebody waits for it."""
    for place in PLACES:
        execute(f"update gristmill_{place} set awaited = true where id = %s", job_id)
