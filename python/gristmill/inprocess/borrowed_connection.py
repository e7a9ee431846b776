"""
Transactions by hand on Django's connections: for the engine's statements, and around a handler.

Where a transaction is open already, as in every `TestCase`, a transaction is a savepoint. Savepoints of ours bear no
mark in Django's own account of them, and nobody counts them as queries.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import Atomic, TransactionManagementError, atomic

from gristmill.database.dialects import about
from gristmill.database.statements import Row, run
from gristmill.exceptions import TransactionBroken
from gristmill.runner.left_open import is_left_open, left_open, refuse_left_open
from gristmill.runner.transactional import take_hooks

logger = logging.getLogger("gristmill")

IN_ERROR = 3  # libpq's PQTRANS_INERROR


class BorrowedConnection:
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
        if connection.in_atomic_block or not connection.get_autocommit():
            self.run(["savepoint gristmill"], [])
            self.keep = ["release savepoint gristmill"]
            self.undo = ["rollback to savepoint gristmill", "release savepoint gristmill"]
        else:
            self.run([about(connection).begin], [])
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
    What is around a handler, so that its failure does not end the test's own transaction.

    A worker's handler has no transaction around it: what it has written before it fails stays, unless the database
    itself refuses to go on. A transactional task's has one, which ends with the job.
    """

    def __init__(self, connection: BaseDatabaseWrapper, transactional: bool) -> None:
        self.connection = connection
        self.transactional = transactional
        self.atomic: Atomic | None = None
        self.hooks: list[Callable[[], Any]] = []
        self.waits = True
        open_now = [one for one in connections.all(initialized_only=True) if one.in_atomic_block]
        self.aliases = {one.alias for one in open_now} | left_open(connections.all(initialized_only=True))
        self.savepoints = [Savepoint(one) for one in open_now if not one.needs_rollback]
        if transactional and not connection.in_atomic_block:
            self.aliases.add(connection.alias)
            self.atomic = atomic(using=connection.alias)
            self.atomic.__enter__()

    def check(self) -> None:
        """Raises where a handler has returned and the database will not go on."""
        broken = [one.connection.alias for one in self.savepoints if one.is_broken()]
        if self.atomic is not None and is_in_error(self.connection):
            broken.append(self.connection.alias)
        if broken and self.transactional:
            raise TransactionBroken("the handler went on after a database error; nothing it wrote can be kept")
        if broken:
            raise TransactionManagementError(
                "the task caught a database error inside the test's transaction, which cannot go on without a "
                "rollback; have the task catch it around transaction.atomic(), or test it in a TransactionTestCase"
            )

        refuse_left_open(
            left_open(one for one in connections.all(initialized_only=True) if one.alias not in self.aliases)
        )

    def close(self, *, keep: bool) -> None:
        """Ends it: what the handler wrote stays, or not."""
        self.waits = False
        for savepoint in reversed(self.savepoints):
            savepoint.close(keep=keep)
        self.savepoints = []
        if self.atomic is not None:
            entered, self.atomic = self.atomic, None
            if keep:
                self.hooks = take_hooks(self.connection)
                entered.__exit__(None, None, None)
            else:
                undone = Undone()
                entered.__exit__(Undone, undone, undone.__traceback__)
        for connection in connections.all(initialized_only=True):
            if connection.alias not in self.aliases and is_left_open(connection):
                undo_what_is_open(connection)

    def after_commit(self) -> None:
        """Calls what the handler wanted called on commit; what goes wrong there is logged, as in a worker."""
        for function in self.hooks:
            try:
                function()
            except Exception:
                logger.exception("an on_commit callback of a job failed")
        self.hooks = []


class Undone(Exception):
    """Tells atomic() to roll back."""


def undo_what_is_open(connection: BaseDatabaseWrapper) -> None:
    """Ends the transaction of an atomic() that a handler has entered and never left, or what it began by hand."""
    connection.in_atomic_block = False
    connection.savepoint_ids.clear()
    connection.atomic_blocks.clear()
    connection.run_on_commit.clear()
    connection.needs_rollback = False
    connection.rollback()
    connection.set_autocommit(True)


def is_in_error(connection: Any) -> bool:
    """Tells whether the database takes nothing but a rollback, or Django thinks so."""
    if connection.needs_rollback:
        return True
    return about(connection).breaks_off and int(connection.connection.info.transaction_status) == IN_ERROR


@contextmanager
def unwatched(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """What is asked of the database in here is not counted, captured or wrapped by the test."""
    watched, wrappers = connection.force_debug_cursor, connection.execute_wrappers
    connection.force_debug_cursor, connection.execute_wrappers = False, []
    try:
        yield
    finally:
        connection.force_debug_cursor, connection.execute_wrappers = watched, wrappers


class Savepoint:
    """One in a test's transaction."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.depth = len(connection.savepoint_ids), len(connection.atomic_blocks)
        self.callbacks = len(connection.run_on_commit)
        run(connection, ["savepoint gristmill_call"], [])

    def is_broken(self) -> bool:
        """Tells whether the transaction cannot go on as it is, or an atomic() in it was never left."""
        depth = len(self.connection.savepoint_ids), len(self.connection.atomic_blocks)
        return depth != self.depth or is_in_error(self.connection)

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
