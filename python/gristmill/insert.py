"""
The statements of an enqueue: one for a plain job, and for a unique one its key before it.

What a job with preconditions needs beside itself is in `gristmill.gates`.
"""

from __future__ import annotations

import functools
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.exceptions import TablesMissing
from gristmill.moments import from_utc, utc_text
from gristmill.schema import dialect_of
from gristmill.wake import IDLE


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
    key: str | None = None
    until: str | None = None
    period: float | None = None
    # It has a gate, it starts out kept back, and others of its enqueue wait for it.
    waits: bool = False
    held: bool = False
    awaited: bool = False

    @property
    def marks(self) -> tuple[str, ...]:
        """The columns that say so; most jobs need none of them."""
        return tuple(name for name in ("waits", "held", "awaited") if getattr(self, name))


class Inserted(NamedTuple):
    """What the database says of a new job."""

    enqueued_at: datetime
    run_after: datetime | None
    # Whether a worker has said that it is idle.
    idle: bool


class Asked(NamedTuple):
    """An enqueue's statement, and the one that takes the job's key before it."""

    statement: str
    binds: list[Any]
    key_statement: str | None
    key_binds: list[Any]


def insert(connection: BaseDatabaseWrapper, job: NewJob, now: datetime | None) -> Inserted | None:
    """
    Inserts a job, by the clock `now` or the database's; None when its key belongs to another job.

    A unique job needs an open transaction: its key and the job come to be in one commit.
    """
    dialect = dialect_of(connection)
    asked = asked_for(dialect, job, now)
    statement, binds = asked.statement, asked.binds
    try:
        with connection.cursor() as cursor:
            if asked.key_statement is not None:
                if dialect == "sqlite":
                    cursor.execute(asked.key_statement, asked.key_binds)
                    if not cursor.rowcount:
                        return None
                else:
                    statement = f"with got as ({asked.key_statement} returning job_id) {statement}"
                    binds = asked.key_binds + binds
            cursor.execute(statement, binds)
            # All of it, or SQLite leaves the statement unfinished.
            rows = cursor.fetchall()
    except DatabaseError as error:
        raise_if_tables_missing(error, connection)
        raise
    return as_inserted(dialect, job, *rows[0]) if rows else None


def asked_for(dialect: str, job: NewJob, now: datetime | None, *, gated: bool = False) -> Asked:
    """Returns what inserts a job; `gated` as `insert_statement` has it."""
    run_after, deadline = job.run_after, job.deadline
    if now is not None:
        run_after, deadline = _after(now, run_after), _after(now, deadline)
    unique = job.key is not None
    statement = insert_statement(dialect, now is not None, _kind(run_after), _kind(deadline), unique, job.marks, gated)
    binds: list[Any] = [job.id, job.backend, job.queue_name, job.task_name, job.priority]
    binds += _binds(dialect, run_after) + _binds(dialect, now)
    binds += job.args_json, job.kwargs_json, job.options_json
    binds += _binds(dialect, deadline)
    if not unique:
        return Asked(statement, binds, None, [])
    binds += job.key, job.until
    period = None if job.period is None else timedelta(seconds=job.period)
    expires_at = period if now is None else _after(now, period)
    key_binds = [job.key, job.id, job.until, *_binds(dialect, expires_at)]
    return Asked(statement, binds, key_statement(dialect, _kind(expires_at)), key_binds)


def as_inserted(dialect: str, job: NewJob, enqueued_at: Any, due_at: Any, idle: Any) -> Inserted:
    """Returns what the database has said of a new job, as Django shows it."""
    if dialect == "sqlite":
        enqueued_at = from_utc(enqueued_at)
        due_at = from_utc(due_at) if isinstance(job.run_after, timedelta) else job.run_after
    elif not isinstance(job.run_after, timedelta):
        due_at = job.run_after
    return Inserted(enqueued_at, due_at, bool(idle))


@functools.cache
def insert_statement(
    dialect: str,
    now_is_bound: bool,
    run_after: str = "none",
    deadline: str = "none",
    unique: bool = False,
    marks: tuple[str, ...] = (),
    gated: bool = False,
) -> str:
    """
    Returns the statement that inserts one job, and returns (enqueued_at, run_after, a worker is idle).

    Binds: id, backend, queue_name, task_name, priority, [run_after], [now], args, kwargs, options, [deadline],
    [unique_key, unique_until]. A date is "none", "date" or "delay" (seconds). `marks` are columns that are true. With
    `unique` on PostgreSQL it follows `with got as (…)`, and inserts nothing where nothing was got; `gated`, there too,
    it follows `with known as (…)`, takes one bind more, and inserts nothing unless so many are known.
    """
    now = "%s" if now_is_bound else clock(dialect)
    columns = "id, backend, queue_name, task_name, priority, run_after, enqueued_at, args, kwargs, options"
    values = ["%s", "%s", "%s", "%s", "%s", moment(dialect, run_after), now, "%s", "%s", "%s"]
    if deadline != "none":
        columns += ", deadline"
        values.append(moment(dialect, deadline))
    kinds = ["uuid", "text", "text", "text", "smallint", "timestamptz", "timestamptz", "text", "text", "text"]
    kinds += ["timestamptz"] * (deadline != "none")
    if unique:
        columns += ", unique_key, unique_until"
        values += ["%s", "%s"]
        kinds += ["text", "text"]
    for mark in marks:
        columns += f", {mark}"
        values.append("true")
        kinds.append("boolean")
    source = f"values ({', '.join(values)})"
    if dialect == "postgres" and (unique or gated):
        # Spelled out, as no column tells the types here.
        cast = ", ".join(f"({value})::{kind}" for value, kind in zip(values, kinds, strict=True))
        source = f"select {cast} from {'got' if unique else '(select 1) as one'}"
        if gated:
            source += " where (select count(*) from known) = %s"
    idle = "0" if dialect == "sqlite" else IDLE
    if gated and dialect == "postgres":
        return f"insert into gristmill_job ({columns}) {source} returning id, enqueued_at, run_after"
    # The trigger gristmill_job_place puts it in its place.
    return f"insert into gristmill_job ({columns}) {source} returning enqueued_at, run_after, {idle}"


@functools.cache
def key_statement(dialect: str, expires_at: str) -> str:
    """Returns the statement that takes a key where it is free. Binds: key, job id, until, [expires_at]."""
    value = moment(dialect, expires_at)
    table = "gristmill_unique_key (key, job_id, until, expires_at)"
    if dialect == "sqlite":
        return f"insert or ignore into {table} values (%s, %s, %s, {value})"
    return f"insert into {table} values (%s, %s, %s, {value}) on conflict do nothing"


def clock(dialect: str) -> str:
    """Returns the SQL of the database's own time."""
    return "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now') || '000'" if dialect == "sqlite" else "clock_timestamp()"


def moment(dialect: str, kind: str) -> str:
    """Returns the SQL of no date, of a bound one, or of one a bound number of seconds from now."""
    if kind == "delay" and dialect == "sqlite":
        return "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', %s || ' seconds') || '000'"
    return {"none": "null", "date": "%s", "delay": "clock_timestamp() + make_interval(secs => %s)"}[kind]


def _kind(value: datetime | timedelta | None) -> str:
    return "none" if value is None else "delay" if isinstance(value, timedelta) else "date"


def _after(now: datetime, value: datetime | timedelta | None) -> datetime | None:
    return now + value if isinstance(value, timedelta) else value


def _binds(dialect: str, value: datetime | timedelta | None) -> list[Any]:
    if value is None:
        return []
    return [value.total_seconds() if isinstance(value, timedelta) else bound(dialect, value)]


def bound(dialect: str, value: datetime | None) -> Any:
    """Returns a moment as the database's driver takes it."""
    return utc_text(value) if dialect == "sqlite" and value is not None else value


def raise_if_tables_missing(error: DatabaseError, connection: BaseDatabaseWrapper) -> None:
    """Raises TablesMissing when that is what the database's error means."""
    text = str(error)
    if "gristmill_" in text and ("no such table" in text or "does not exist" in text):
        raise TablesMissing(
            f"the gristmill tables are missing on database '{connection.alias}'; run manage.py migrate"
            + ("" if connection.alias == "default" else f" --database {connection.alias}")
        ) from error
