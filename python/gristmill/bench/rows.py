"""A million rows of one kind, put there and taken away by plain SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.compat import task_backends

from . import tasks

if TYPE_CHECKING:
    from gristmill.backend import GristmillBackend

MILLION = 1_000_000
#: What a million of them must not slow down: jobs waiting in line (of this task), for a date, ended, of no known task.
KINDS = ("ready", "scheduled", "finished", "unknown")

_PLACE = "id, backend, queue_name, task_name, priority, run_after, deadline, token, generation"
#: The tables in which a job has its place.
PLACES = ("ready", "scheduled", "waiting", "running", "result")


def fill(backend: str, kind: str, count: int) -> None:
    """Puts `count` jobs of the benchmark in place, enqueued now and numbered from 0."""
    connection = _connection(backend)
    postgres = connection.vendor == "postgresql"
    name = tasks.UNKNOWN if kind == "unknown" else tasks.noop.module_path
    numbers = (
        "generate_series(0, %(last)s) as n(n)"
        if postgres
        else "(with recursive c(n) as (select 0 union all select n + 1 from c where n < %(last)s) select n from c)"
    )
    ids = "gen_random_uuid()" if postgres else "lower(hex(randomblob(16)))"
    now = "clock_timestamp()" if postgres else "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')"
    later = (
        "clock_timestamp() + interval '30 days'"
        if postgres
        else "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', '+30 days')"
    )
    binds: dict[str, int | str] = {"last": count - 1, "backend": backend, "queue": tasks.noop.queue_name, "task": name}
    dated = later if kind == "scheduled" else "null"
    with connection.cursor() as cursor:
        cursor.execute(
            f"""insert into gristmill_job
                (id, backend, queue_name, task_name, priority, run_after, enqueued_at, args, kwargs)
                select {ids}, %(backend)s, %(queue)s, %(task)s, 0, {dated}, {now}, '[' || n || ']', '{{}}'
                from {numbers}""",
            binds,
        )
        place = "scheduled" if kind == "scheduled" else "ready"
        week = (
            "enqueued_at + interval '168 hours'"
            if postgres
            else "strftime('%%Y-%%m-%%d %%H:%%M:%%f', enqueued_at, '+7 days')"
        )
        cursor.execute(
            f"""insert into gristmill_{place} ({_PLACE})
                select id, backend, queue_name, task_name, priority, run_after, {week}, 0, 1
                from gristmill_job where task_name = %(task)s""",
            {"task": name},
        )
        if kind == "finished":
            cursor.execute(
                f"""insert into gristmill_result ({_PLACE}, started_at, finished_at, state)
                    select {_PLACE}, {now}, {now}, 'successful' from gristmill_ready
                    where task_name = %(task)s""",
                {"task": name},
            )
            cursor.execute("delete from gristmill_ready where task_name = %s", [name])
        tidy(connection)


def tidy(connection: BaseDatabaseWrapper) -> None:
    """Vacuums: what a million deleted rows leave behind is PostgreSQL's to clear away, and not what is measured."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            for table in ("job", *PLACES, "attempt", "gate", "edge", "propagation"):
                cursor.execute(f"vacuum analyze gristmill_{table}")


def clear(backend: str) -> None:
    """Takes every job of the benchmark away."""
    connection = _connection(backend)
    with connection.cursor() as cursor:
        names = [tasks.noop.module_path, tasks.UNKNOWN]
        cursor.execute(
            "delete from gristmill_attempt where job_id in (select id from gristmill_job where task_name in (%s, %s))",
            names,
        )
        for table, column in (
            ("gate", "job_id"),
            ("edge", "dependent_id"),
            ("propagation", "job_id"),
            ("action", "job_id"),
        ):
            cursor.execute(
                f"delete from gristmill_{table} "
                f"where {column} in (select id from gristmill_job where task_name in (%s, %s))",
                names,
            )
        for table in (*PLACES, "job"):
            cursor.execute(f"delete from gristmill_{table} where task_name in (%s, %s)", names)
    tidy(connection)


def _connection(backend: str) -> BaseDatabaseWrapper:
    return connections[cast("GristmillBackend", task_backends[backend]).database]
