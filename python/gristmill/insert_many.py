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


def insert_mixed(connection: BaseDatabaseWrapper, enqueued_at: datetime, jobs: Iterable[NewJob]) -> None:
    """Inserts jobs without keys that differ in anything, all enqueued at one moment."""
    dialect = dialect_of(connection)
    rows = iter(jobs)
    while chunk := list(islice(rows, ROWS_PER_STATEMENT)):
        moment = bound(dialect, enqueued_at)
        values = [_mixed(dialect, job) for job in chunk]
        try:
            with connection.cursor() as cursor:
                if dialect == "sqlite":
                    cursor.executemany(SQLITE_MIXED, [(*row, moment) for row in values])
                else:
                    cursor.execute(POSTGRES_MIXED, [moment, *_turned(values)])
        except DatabaseError as error:
            raise_if_tables_missing(error, connection)
            raise


def insert_with_keys(connection: BaseDatabaseWrapper, enqueued_at: datetime, jobs: Sequence[NewJob]) -> set[str]:
    """
    Inserts those unique jobs whose key is free, and returns their ids. They may differ in anything.

    The jobs come in the order of their keys, which are taken in that order: two bulk enqueues cannot wait for each
    other.
    """
    dialect = dialect_of(connection)
    moment = bound(dialect, enqueued_at)
    made: set[str] = set()
    for start in range(0, len(jobs), ROWS_PER_STATEMENT):
        chunk = jobs[start : start + ROWS_PER_STATEMENT]
        keys = [(job.key, job.until, _end_of_period(dialect, enqueued_at, job)) for job in chunk]
        try:
            with connection.cursor() as cursor:
                if dialect == "sqlite":
                    made |= _insert_with_keys_on_sqlite(cursor, chunk, keys, moment)
                else:
                    values = [(*_mixed(dialect, job), *key) for job, key in zip(chunk, keys, strict=True)]
                    cursor.execute(POSTGRES_UNIQUE, [*_turned(values), moment])
                    made |= {job_id.hex for (job_id,) in cursor.fetchall()}
        except DatabaseError as error:
            raise_if_tables_missing(error, connection)
            raise
    return made


def _insert_with_keys_on_sqlite(
    cursor: CursorWrapper, chunk: Sequence[NewJob], keys: Sequence[tuple[Any, ...]], moment: Any
) -> set[str]:
    # One writer at a time: nobody comes between these.
    made: set[str] = set()
    for job, (key, until, expires_at) in zip(chunk, keys, strict=True):
        cursor.execute(SQLITE_KEY, [key, job.id, until, expires_at])
        if cursor.rowcount:
            made.add(job.id)
    rows = [(*_mixed("sqlite", job), moment, job.key, job.until) for job in chunk if job.id in made]
    cursor.executemany(SQLITE_UNIQUE, rows)
    return made


def _end_of_period(dialect: str, enqueued_at: datetime, job: NewJob) -> Any:
    return None if job.period is None else bound(dialect, enqueued_at + timedelta(seconds=job.period))


def _mixed(dialect: str, job: NewJob) -> tuple[Any, ...]:
    """Returns the values of a row, in the order of `_MIXED`."""
    assert not isinstance(job.run_after, timedelta) and not isinstance(job.deadline, timedelta)
    return (
        *(job.id, job.backend, job.queue_name, job.task_name, job.priority, bound(dialect, job.run_after)),
        *(bound(dialect, job.deadline), job.args_json, job.kwargs_json, job.options_json),
        *(job.waits, job.held, job.awaited),
    )


def _turned(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    """Returns rows as columns, which unnest() takes."""
    return [list(column) for column in zip(*rows, strict=True)]


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
POSTGRES = (
    f"insert into gristmill_job ({_SHARED}, id, args, kwargs) select {_SHARED_VALUES}, id, args, kwargs "
    "from unnest(%s::uuid[], %s::text[], %s::text[]) as one(id, args, kwargs)"
)

# Rows that differ in anything.
_MIXED = (
    "id, backend, queue_name, task_name, priority, run_after, deadline, args, kwargs, options, waits, held, awaited"
)
_MIXED_ARRAYS = (
    "%s::uuid[], %s::text[], %s::text[], %s::text[], %s::smallint[], %s::timestamptz[], %s::timestamptz[], "
    "%s::text[], %s::text[], %s::text[], %s::boolean[], %s::boolean[], %s::boolean[]"
)
SQLITE_MIXED = f"insert into gristmill_job ({_MIXED}, enqueued_at) values ({', '.join(['%s'] * 14)})"
SQLITE_UNIQUE = (
    f"insert into gristmill_job ({_MIXED}, enqueued_at, unique_key, unique_until) values ({', '.join(['%s'] * 16)})"
)
POSTGRES_MIXED = (
    f"insert into gristmill_job (enqueued_at, {_MIXED}) "
    f"select %s::timestamptz, {_MIXED} from unnest({_MIXED_ARRAYS}) as one({_MIXED})"
)
POSTGRES_UNIQUE = (
    f"with one as materialized (select * from unnest({_MIXED_ARRAYS}, %s::text[], %s::text[], %s::timestamptz[]) "
    f"as one({_MIXED}, key, until, expires_at)), "
    "got as (insert into gristmill_unique_key (key, job_id, until, expires_at) "
    "select key, id, until, expires_at from one on conflict do nothing returning job_id) "
    f"insert into gristmill_job ({_MIXED}, enqueued_at, unique_key, unique_until) "
    f"select {_MIXED}, %s::timestamptz, key, until from one join got on got.job_id = one.id returning id"
)
