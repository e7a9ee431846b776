"""The statements of a bulk enqueue: a thousand jobs each, and the keys of unique ones before them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from gristmill.insert import NewJob, bound, raise_if_tables_missing
from gristmill.schema import dialect_of

#: Rows of one statement: enough that the round trip is nothing, few enough that binds stay small.
ROWS_PER_STATEMENT = 1_000


def insert_jobs(connection: BaseDatabaseWrapper, enqueued_at: datetime, jobs: Iterable[NewJob]) -> None:
    """Inserts jobs that are alike but for their ids and arguments, all enqueued at one moment."""
    dialect = dialect_of(connection)
    rows = iter(jobs)
    while chunk := list(islice(rows, ROWS_PER_STATEMENT)):
        try:
            with connection.cursor() as cursor:
                if dialect == "sqlite":
                    tail = _shared(dialect, enqueued_at, chunk[0])
                    cursor.executemany(SQLITE, [(job.id, job.args_json, job.kwargs_json, *tail) for job in chunk])
                else:
                    columns = _columns(chunk, "id", "args_json", "kwargs_json")
                    cursor.execute(POSTGRES, [*_shared(dialect, enqueued_at, chunk[0]), *columns])
        except DatabaseError as error:
            raise_if_tables_missing(error, connection)
            raise


def insert_with_keys(connection: BaseDatabaseWrapper, enqueued_at: datetime, jobs: Sequence[NewJob]) -> set[str]:
    """
    Inserts those unique jobs whose key is free, and returns their ids.

    The jobs come in the order of their keys, which are taken in that order: two bulk enqueues cannot wait for each
    other.
    """
    dialect = dialect_of(connection)
    made: set[str] = set()
    for start in range(0, len(jobs), ROWS_PER_STATEMENT):
        chunk = jobs[start : start + ROWS_PER_STATEMENT]
        period = chunk[0].period
        expires_at = None if period is None else bound(dialect, enqueued_at + timedelta(seconds=period))
        shared = _shared(dialect, enqueued_at, chunk[0])
        try:
            with connection.cursor() as cursor:
                if dialect == "sqlite":
                    made |= _insert_with_keys_on_sqlite(cursor, chunk, shared, expires_at)
                else:
                    columns = _columns(chunk, "id", "args_json", "kwargs_json", "key")
                    cursor.execute(POSTGRES_UNIQUE, [*columns, chunk[0].until, expires_at, *shared, chunk[0].until])
                    made |= {job_id.hex for (job_id,) in cursor.fetchall()}
        except DatabaseError as error:
            raise_if_tables_missing(error, connection)
            raise
    return made


def _insert_with_keys_on_sqlite(
    cursor: CursorWrapper, chunk: Sequence[NewJob], shared: list[Any], expires_at: Any
) -> set[str]:
    # One writer at a time: nobody comes between these.
    made: set[str] = set()
    for job in chunk:
        cursor.execute(SQLITE_KEY, [job.key, job.id, job.until, expires_at])
        if cursor.rowcount:
            made.add(job.id)
    rows = [(job.id, job.args_json, job.kwargs_json, *shared, job.key, job.until) for job in chunk if job.id in made]
    cursor.executemany(SQLITE_UNIQUE, rows)
    return made


def _shared(dialect: str, enqueued_at: datetime, job: NewJob) -> list[Any]:
    assert not isinstance(job.run_after, timedelta) and not isinstance(job.deadline, timedelta)
    return [
        *(job.backend, job.queue_name, job.task_name, job.priority, bound(dialect, job.run_after)),
        *(bound(dialect, enqueued_at), job.options_json, bound(dialect, job.deadline), job.waits, job.held),
    ]


def _columns(chunk: Sequence[NewJob], *names: str) -> list[list[Any]]:
    return [[getattr(job, name) for job in chunk] for name in names]


# The trigger gristmill_job_place puts each job in its place.
_SHARED = "backend, queue_name, task_name, priority, run_after, enqueued_at, options, deadline, waits, held"
_SHARED_VALUES = (
    "%s, %s, %s, %s::smallint, %s::timestamptz, %s::timestamptz, %s::text, %s::timestamptz, %s::boolean, %s::boolean"
)

SQLITE = f"insert into gristmill_job (id, args, kwargs, {_SHARED}) values ({', '.join(['%s'] * 13)})"
SQLITE_KEY = "insert or ignore into gristmill_unique_key (key, job_id, until, expires_at) values (%s, %s, %s, %s)"
SQLITE_UNIQUE = (
    f"insert into gristmill_job (id, args, kwargs, {_SHARED}, unique_key, unique_until) "
    f"values ({', '.join(['%s'] * 15)})"
)

POSTGRES = (
    f"insert into gristmill_job ({_SHARED}, id, args, kwargs) select {_SHARED_VALUES}, id, args, kwargs "
    "from unnest(%s::uuid[], %s::text[], %s::text[]) as one(id, args, kwargs)"
)
POSTGRES_UNIQUE = (
    "with one as materialized (select * from unnest(%s::uuid[], %s::text[], %s::text[], %s::text[]) "
    "as one(id, args, kwargs, key)), "
    "got as (insert into gristmill_unique_key (key, job_id, until, expires_at) "
    "select key, id, %s, %s::timestamptz from one on conflict do nothing returning job_id) "
    f"insert into gristmill_job ({_SHARED}, id, args, kwargs, unique_key, unique_until) "
    f"select {_SHARED_VALUES}, id, args, kwargs, key, %s from one join got on got.job_id = one.id returning id"
)
