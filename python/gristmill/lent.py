"""
Transactions by hand on Django's connections: for the engine's statements, and around a handler.

Where a transaction is open already, as in every `TestCase`, a transaction is a savepoint. Savepoints of ours bear no
mark in Django's own account of them, and nobody counts them as queries.
"""

from __future__ import annotations

from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import Atomic, TransactionManagementError, atomic

from gristmill.statements import Row, run

IN_ERROR = 3  # libpq's PQTRANS_INERROR


class Lent:
    """A connection, as the engine uses it."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection
        self.undo: list[str] | None = None
        self.keep: list[str] = []

    def run(self, statements: list[str], binds: list[Any]) -> list[Row]:
        """Carries out statements."""
        return run(self.connection, statements, binds)

    def begin(self) -> None:
        """Begins a transaction, or a savepoint in the one that is open."""
        connection = self.connection
        connection.ensure_connection()
        connection.validate_no_broken_transaction()
        if connection.in_atomic_block or not connection.get_autocommit():
            self.run(["savepoint gristmill"], [])
            self.keep = ["release savepoint gristmill"]
            self.undo = ["rollback to savepoint gristmill", "release savepoint gristmill"]
        else:
            self.run(["begin immediate" if connection.vendor == "sqlite" else "begin"], [])
            self.keep, self.undo = ["commit"], ["rollback"]

    def commit(self) -> None:
        """Keeps what was done since."""
        self.run(self.keep, [])
        self.undo = None

    def rollback(self) -> None:
        """Undoes what was done since, if something has begun."""
        if self.undo is not None:
            undo, self.undo = self.undo, None
            self.run(undo, [])


class Guard:
    """
    What is around a handler, so that a failure of its does not end the test's own transaction.

    A worker's handler has no transaction around it: what it has written before it fails stays, unless the database
    itself refuses to go on. A transactional task's has one, that ends with the job.
    """

    def __init__(self, alias: str, transactional: bool) -> None:
        self.transactional = transactional
        self.atomic: Atomic | None = None
        self.savepoints = [
            Savepoint(connection)
            for connection in connections.all(initialized_only=True)
            if connection.in_atomic_block and not connection.needs_rollback
        ]
        if transactional and not connections[alias].in_atomic_block:
            self.atomic = atomic(using=alias)
            self.atomic.__enter__()

    def returned(self) -> None:
        """Raises where a handler has returned and the database will not go on."""
        for savepoint in self.savepoints:
            if savepoint.is_broken():
                raise TransactionManagementError(
                    "the task caught a database error inside the test's transaction, which will not go on without a "
                    "rollback; catch it around transaction.atomic()"
                )

    def close(self, *, keep: bool) -> None:
        """Ends it: what the handler wrote stays, or not."""
        for savepoint in reversed(self.savepoints):
            savepoint.close(keep=keep or not self.transactional)
        self.savepoints = []
        if self.atomic is not None:
            entered, self.atomic = self.atomic, None
            if keep:
                entered.__exit__(None, None, None)
            else:
                undone = Undone()
                entered.__exit__(Undone, undone, undone.__traceback__)


class Undone(Exception):
    """Tells atomic() to roll back."""


class Savepoint:
    """One in a test's transaction."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.depth = len(connection.savepoint_ids), len(connection.atomic_blocks)
        self.callbacks = len(connection.run_on_commit)
        run(connection, ["savepoint gristmill_call"], [])

    def is_broken(self) -> bool:
        """Tells whether the database takes nothing but a rollback, or Django thinks so."""
        connection = self.connection
        if connection.needs_rollback or self._now() != self.depth:
            return True
        return connection.vendor == "postgresql" and connection.connection.info.transaction_status == IN_ERROR

    def _now(self) -> tuple[int, int]:
        return len(self.connection.savepoint_ids), len(self.connection.atomic_blocks)

    def close(self, *, keep: bool) -> None:
        """Ends it."""
        connection = self.connection
        if not keep or self.is_broken():
            # An atomic() that was never left is part of it.
            savepoints, blocks = self.depth
            del connection.savepoint_ids[savepoints:], connection.atomic_blocks[blocks:]
            del connection.run_on_commit[self.callbacks :]
            connection.needs_rollback = False
            run(connection, ["rollback to savepoint gristmill_call"], [])
        run(connection, ["release savepoint gristmill_call"], [])
