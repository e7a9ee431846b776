"""
The rows beside a job that waits for others: its gate, an edge for each precondition, an errand to settle them.

Edges are inserted open, and nothing of a precondition is locked, so an enqueue waits for nobody. A worker holds them
against what became of the preconditions once all of it is committed: so the two meet in one place only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from django.db import DatabaseError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.insert import Inserted, NewJob, as_inserted, asked_for, bound, insert, raise_if_tables_missing
from gristmill.preconditions import unknown_job
from gristmill.schema import dialect_of
from gristmill.wake import IDLE

#: Rows of one statement, and ids that one asks for.
ROWS_PER_STATEMENT = 1_000

T = TypeVar("T")


class Gate(NamedTuple):
    """How a job waits for its preconditions: for so many of them, all where `needed` is None."""

    needed: int | None
    on_failure: str


def insert_waiting(
    connection: BaseDatabaseWrapper, job: NewJob, now: datetime | None, gate: Gate, after: Sequence[str]
) -> Inserted | None:
    """
    Inserts a job that waits for others, as `gristmill.insert.insert` does, and all that belongs to it.

    One statement on PostgreSQL for up to 1,000 preconditions, five on SQLite. Raises UnknownJob for a precondition
    that is not there; nothing is left then.
    """
    if dialect_of(connection) == "postgres" and len(after) <= ROWS_PER_STATEMENT:
        return _insert_at_once(connection, job, now, gate, after)
    with transaction.atomic(using=connection.alias):
        refuse_unknown(connection, after)
        made = insert(connection, job, now)
        if made is not None:
            insert_gates(connection, made.enqueued_at, [(job.id, gate, len(after), False)])
            insert_edges(connection, ((precondition, job.id) for precondition in after))
            ask_to_settle(connection, made.enqueued_at, [job.id])
    return made


def _insert_at_once(
    connection: BaseDatabaseWrapper, job: NewJob, now: datetime | None, gate: Gate, after: Sequence[str]
) -> Inserted | None:
    asked = asked_for("postgres", job, now, gated=True)
    got = f"got as ({asked.key_statement} returning job_id), " if asked.key_statement else ""
    binds = [list(after), *asked.key_binds, *asked.binds, len(after), gate.needed, gate.on_failure, len(after)]
    try:
        with connection.cursor() as cursor:
            cursor.execute(AT_ONCE.format(got=got, job=asked.statement), binds)
            ((known, enqueued_at, due_at, idle),) = cursor.fetchall()
    except DatabaseError as error:
        raise_if_tables_missing(error, connection)
        raise
    if known < len(after):
        refuse_unknown(connection, after)
    return None if enqueued_at is None else as_inserted("postgres", job, enqueued_at, due_at, idle)


AT_ONCE = (
    "with known as materialized (select id from gristmill_job where id = any(%s::uuid[])), "
    "{got}job as ({job}), "
    "gate as (insert into gristmill_gate "
    "(job_id, needed, on_failure, arming, armed_at, settled, open, successful, failed) "
    "select id, %s::integer, %s::text, 1, enqueued_at, false, %s::integer, 0, 0 from job), "
    "edge as (insert into gristmill_edge (precondition_id, dependent_id) "
    "select known.id, job.id from known cross join job), "
    "errand as (insert into gristmill_errand (kind, job_id, due_at) select 'settle', id, enqueued_at from job) "
    "select (select count(*) from known), job.enqueued_at, job.run_after, "
    f"{IDLE} from (select 1) as one left join job on true"
)


def refuse_unknown(connection: BaseDatabaseWrapper, job_ids: Iterable[str]) -> None:
    """Raises UnknownJob when the database does not know all of these jobs."""
    missing = unknown_among(connection, job_ids)
    if missing:
        raise unknown_job(missing, connection.alias)


def unknown_among(connection: BaseDatabaseWrapper, job_ids: Iterable[str]) -> list[str]:
    """Returns those of some ids of which there is no job; one query for each thousand."""
    missing: list[str] = []
    sqlite = dialect_of(connection) == "sqlite"
    for chunk in chunks(job_ids):
        try:
            with connection.cursor() as cursor:
                cursor.execute(UNKNOWN_ON_SQLITE if sqlite else UNKNOWN, [json.dumps(chunk) if sqlite else chunk])
                missing += [row[0] if sqlite else row[0].hex for row in cursor.fetchall()]
        except DatabaseError as error:
            raise_if_tables_missing(error, connection)
            raise
    return missing


UNKNOWN = (
    "select asked.id from unnest(%s::uuid[]) as asked(id) "
    "where not exists (select from gristmill_job where gristmill_job.id = asked.id)"
)
UNKNOWN_ON_SQLITE = "select value from json_each(%s) where value not in (select id from gristmill_job where id = value)"


def insert_gates(
    connection: BaseDatabaseWrapper, armed_at: datetime, rows: Iterable[tuple[str, Gate, int, bool]]
) -> None:
    """Inserts gates: the job's id, how it waits, for how many, and whether nothing is left to settle."""
    dialect = dialect_of(connection)
    moment = bound(dialect, armed_at)
    for chunk in chunks(rows):
        gates = [(job_id, gate.needed, gate.on_failure, count, settled) for job_id, gate, count, settled in chunk]
        with connection.cursor() as cursor:
            if dialect == "sqlite":
                cursor.executemany(GATES_ON_SQLITE, [(*gate, moment) for gate in gates])
            else:
                cursor.execute(GATES, [moment, *columns(gates)])


_GATE = "insert into gristmill_gate (job_id, needed, on_failure, open, settled, armed_at, arming, successful, failed) "
GATES_ON_SQLITE = _GATE + "values (%s, %s, %s, %s, %s, %s, 1, 0, 0)"
GATES = (
    _GATE + "select job_id, needed, on_failure, open, settled, %s::timestamptz, 1, 0, 0 "
    "from unnest(%s::uuid[], %s::integer[], %s::text[], %s::integer[], %s::boolean[]) "
    "as one(job_id, needed, on_failure, open, settled)"
)


def insert_edges(connection: BaseDatabaseWrapper, pairs: Iterable[tuple[str, str]]) -> None:
    """Inserts open edges: (precondition, dependent), each pair once."""
    sqlite = dialect_of(connection) == "sqlite"
    for chunk in chunks(pairs):
        with connection.cursor() as cursor:
            if sqlite:
                cursor.executemany(EDGES_ON_SQLITE, chunk)
            else:
                cursor.execute(EDGES, columns(chunk))


_EDGE = "insert into gristmill_edge (precondition_id, dependent_id) "
EDGES_ON_SQLITE = _EDGE + "values (%s, %s)"
EDGES = _EDGE + "select * from unnest(%s::uuid[], %s::uuid[])"


def ask_to_settle(connection: BaseDatabaseWrapper, due_at: datetime, job_ids: Iterable[str]) -> None:
    """Has workers hold the edges of these jobs against their preconditions."""
    dialect = dialect_of(connection)
    moment = bound(dialect, due_at)
    for chunk in chunks(job_ids):
        with connection.cursor() as cursor:
            if dialect == "sqlite":
                cursor.executemany(ERRANDS_ON_SQLITE, [(job_id, moment) for job_id in chunk])
            else:
                cursor.execute(ERRANDS, [moment, chunk])


ERRANDS_ON_SQLITE = "insert into gristmill_errand (kind, job_id, due_at) values ('settle', %s, %s)"
ERRANDS = (
    "insert into gristmill_errand (kind, job_id, due_at) "
    "select 'settle', id, %s::timestamptz from unnest(%s::uuid[]) as one(id)"
)


def chunks(rows: Iterable[T]) -> Iterator[list[T]]:
    """Yields rows in lists of what one statement takes."""
    rest = iter(rows)
    while chunk := list(islice(rest, ROWS_PER_STATEMENT)):
        yield chunk


def columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    """Returns rows as the lists that unnest() takes."""
    return [list(column) for column in zip(*rows, strict=True)]
