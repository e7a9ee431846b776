"""
Several bounded questions in one statement: what a page wants to know of a database is one round trip.

    said = ask(connection, late=Question("id, run_after", "select … limit 1"), now=CLOCK)
    said["late"]                                 # rows as lists, with ids and moments as text

Each question is a select of its own within the statement, with its own limit, and is planned by itself; its rows come
as JSON. `id_of` and `moment_of` read what both databases make of an id or a moment.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.dateparse import parse_datetime

from gristmill.database.dialects import about
from gristmill.models import JobRow
from gristmill.values.moments import CLOCKS, as_django, from_utc

#: What is said to each question, by its name: rows, each with the values of its columns.
Said = dict[str, list[list[Any]]]


@dataclass(frozen=True)
class Question:
    """A select that reads a bounded number of rows, the columns of it that are wanted, and its binds."""

    columns: str
    sql: str
    binds: Sequence[Any] = ()


def ask(connection: BaseDatabaseWrapper, **questions: Question) -> Said:
    """Carries these questions out in one statement. What is read in an order is to be sorted once more."""
    array, text = ("json_array({})", "{}") if about(connection).keeps_text else ("json_build_array({})", "{}::text")
    parts: list[str] = []
    binds: list[Any] = []
    for name, question in questions.items():
        row = text.format(array.format(question.columns))
        parts.append(f"select '{name}' as question, {row} as said from ({question.sql}) as asked")
        binds += question.binds
    said: Said = {name: [] for name in questions}
    with connection.cursor() as cursor:
        cursor.execute(" union all ".join(parts), binds)
        for name, row in cursor.fetchall():
            said[name].append(json.loads(row))
    return said


def clock(connection: BaseDatabaseWrapper) -> Question:
    """Asks for the database's time."""
    return Question("now", f"select {CLOCKS[connection.vendor]} as now".replace("%", "%%"))


def id_bind(connection: BaseDatabaseWrapper, job_id: UUID) -> Any:
    """Returns an id as the database keeps it."""
    return JobRow._meta.pk.get_db_prep_value(job_id, connection)


def id_of(text: str) -> UUID:
    """Returns an id that a row says."""
    return UUID(text)


def moment_of(text: str) -> datetime:
    """Returns a moment that a row says, as Django has it."""
    moment = parse_datetime(text)
    if moment is None:
        raise ValueError(f"{text!r} is not a moment")
    return from_utc(moment) if moment.tzinfo is None else as_django(moment.astimezone(timezone.utc))
