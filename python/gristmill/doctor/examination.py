"""One examination of one database: its time, its workers, and how it is read without being in anybody's way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import Any

from django.db import connections, transaction

from gristmill.doctor.check import KEYS, Key, told
from gristmill.inspect.workers import WorkerSeen, live_workers
from gristmill.models import ReadyRow, Worker
from gristmill.values.moments import database_now

#: On PostgreSQL. A check that takes longer is asked for fewer rows; one that would wait for a lock is given up.
STATEMENT_TIMEOUT = "2s"
LOCK_TIMEOUT = "200ms"
#: Backends that have workers.
MOST_BACKENDS = 1_000


class Examination:
    """What the checks of one run share."""

    def __init__(self, using: str, looked_at: Callable[[int], None] = lambda rows: None) -> None:
        self.using = using
        self.connection = connections[using]
        self.vendor = self.connection.vendor
        self.looked_at = looked_at
        self.now = database_now(self.connection)

    @cached_property
    def workers(self) -> list[WorkerSeen]:
        """The workers that neither stopped nor were given up, of every backend."""
        rows = Worker.objects.using(self.using).filter(stopped_at=None, lost_at=None)
        backends = rows.order_by("backend").values_list("backend", flat=True).distinct()[:MOST_BACKENDS]
        return live_workers(self.connection, {backend: set() for backend in backends}, self.now)

    @property
    def living(self) -> list[WorkerSeen]:
        """Those that are heard of."""
        return [worker for worker in self.workers if worker.state != "silent"]

    @cached_property
    def binds(self) -> dict[str, Any]:
        """The moments that statements compare with."""
        moments = {"now": self.now, "minute_ago": self.now - timedelta(minutes=1)}
        deadline = ReadyRow._meta.get_field("deadline")
        return {name: deadline.get_db_prep_value(moment, self.connection) for name, moment in moments.items()}

    def told(self, name: str, value: Any) -> Any:
        """Returns a column as people read it."""
        return told(name, value, self.vendor)

    @contextmanager
    def reading(self) -> Iterator[Any]:
        """
        A cursor for a few statements that change nothing.

        On PostgreSQL in a read-only transaction with short timeouts, so that no lock and no snapshot is held for long.
        On SQLite each statement is a transaction of its own, because one that is begun by Django may take the write
        lock. In a caller's own transaction, as in a test's, its rules hold.
        """
        if self.connection.in_atomic_block or self.vendor != "postgresql":
            with self.connection.cursor() as cursor:
                yield cursor
            return
        with transaction.atomic(using=self.using), self.connection.cursor() as cursor:
            cursor.execute(
                "select set_config('statement_timeout', %s, true), set_config('lock_timeout', %s, true), "
                "set_config('transaction_read_only', 'on', true)",
                [STATEMENT_TIMEOUT, LOCK_TIMEOUT],
            )
            yield cursor

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Makes SQLite refuse to write meanwhile; PostgreSQL is told with each transaction."""
        if self.vendor != "sqlite":
            yield
            return
        self.connection.ensure_connection()
        # The driver's own: Django takes no statement on a connection whose transaction is broken.
        driver = self.connection.connection
        driver.execute("pragma query_only = on").close()
        try:
            yield
        finally:
            driver.execute("pragma query_only = off").close()


def keys_after(cursor: Any, table: str, after: Key | None, rows: int) -> list[Key]:
    """Returns the next keys of a table."""
    columns = KEYS[table]
    listed = ", ".join(columns)
    condition, binds = "", dict[str, Any]()
    if after is not None:
        marks = ", ".join(f"%(after{number})s" for number in range(len(columns)))
        condition = f"where ({listed}) > ({marks})"
        binds = {f"after{number}": value for number, value in enumerate(after)}
    cursor.execute(f"select {listed} from {table} {condition} order by {listed} limit {int(rows)}", binds)
    return list(cursor.fetchall())


def between(table: str, after: Key | None, upto: Key) -> tuple[str, dict[str, Any]]:
    """Returns the condition for the keys of one page, with its binds."""
    columns = ", ".join(f"here.{column}" for column in KEYS[table])
    marks = {name: ", ".join(f"%({name}{number})s" for number in range(len(upto))) for name in ("after", "upto")}
    condition, binds = f"({columns}) <= ({marks['upto']})", {f"upto{n}": value for n, value in enumerate(upto)}
    if after is not None:
        condition = f"({columns}) > ({marks['after']}) and {condition}"
        binds |= {f"after{number}": value for number, value in enumerate(after)}
    return condition, binds


def among(table: str, keys: list[Key]) -> tuple[str, dict[str, Any]]:
    """Returns the condition for a few keys by name, with its binds."""
    columns = KEYS[table]
    alternatives: list[str] = []
    binds: dict[str, Any] = {}
    for row, key in enumerate(keys):
        parts = [f"here.{column} = %(key{row}_{number})s" for number, column in enumerate(columns)]
        alternatives.append(f"({' and '.join(parts)})")
        binds |= {f"key{row}_{number}": value for number, value in enumerate(key)}
    return f"({' or '.join(alternatives)})", binds
