"""Puts right what a task has left behind, so that it does not leak into the next job; costs little where nothing is."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from contextvars import Context, copy_context
from decimal import getcontext, setcontext
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from gristmill.runner.left_open import is_left_open, left_open, refuse_left_open
from gristmill.runner.leftovers import threads_at_work
from gristmill.runner.queries import know, stop_query
from gristmill.runner.surroundings import Surroundings

logger = logging.getLogger("gristmill")

# What threading.active_count() counts, without its lock.
active: Any = threading._active  # type: ignore[attr-defined]
# The plain function; the one in `signal` looks for a name of what it gives back.
getsignal: Any = sys.modules["_signal"].getsignal
SIGNALS = [
    int(number)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGALRM)
]
# The connections that each thread has made. Asking Django for them costs more than the rest of a small job's tidying.
made = threading.local()
# Seconds for which a writer waits for another one on SQLite.
BUSY = 60


class Hygiene:
    """What a runner is like between jobs."""

    def __init__(self) -> None:
        self.handlers = [*map(getsignal, SIGNALS)]
        self.surroundings = Surroundings()
        # A context variable holds one object for all copies, and this one is changed in its place.
        self.decimal = getcontext().copy()
        self.context = copy_context()

    def fresh_context(self) -> Context:
        """Returns the context for a job: as it was before the first one, whatever others have set in theirs."""
        context = self.context.copy()
        context.run(setcontext, self.decimal.copy())
        return context

    def put_back(self, task: Any) -> bool:
        """Puts right what a task has changed of this process; False where that cannot be done."""
        if lost := self.surroundings.restore():
            logger.error(
                "%s has changed what cannot be put back: %s; this process ends, so that no other job meets it",
                getattr(task, "module_path", task),
                ", ".join(lost),
            )
        if [*map(getsignal, SIGNALS)] != self.handlers:
            for number, handler in zip(SIGNALS, self.handlers, strict=True):
                signal.signal(number, handler)
        return not lost

    def restore(self, task: Any) -> bool:
        """Puts right what a task has changed or left; False when this process should not run another."""
        is_put_back = self.put_back(task)
        # Those of an executor stay, and one that waited may be at work now.
        if len(active) > 1:
            return self._threads_are_done(task) and is_put_back
        return is_put_back

    def _threads_are_done(self, task: Any) -> bool:
        left = threads_at_work()
        if not left:
            return True
        logger.error(
            "%s left threads running: %s; this process ends, as they may still be at work. Join them in the task",
            getattr(task, "module_path", task),
            ", ".join(left),
        )
        return False


def tidy_connections(*, keep_usable: bool = False) -> None:
    """
    Closes this thread's connections that are broken, too old, or left inside a transaction; never fails.

    Those that are old, and can be used, may be kept where someone else still uses them.
    """
    try:
        drop_open_transactions()
        for connection in getattr(made, "here", ()):
            age, connection.close_at = connection.close_at, None if keep_usable else connection.close_at
            connection.close_if_unusable_or_obsolete()
            connection.close_at = age
            connection.queries_log.clear()
    except Exception:
        logger.exception("database connections could not be tidied up")


def drop_open_transactions(*, is_told: bool = False) -> None:
    """
    Closes this thread's connections that a task has left inside a transaction, or with autocommit off.

    `is_told`: the job's failure says it already.
    """
    for connection in getattr(made, "here", ()):
        if is_left_open(connection):
            # A handler entered atomic() and never left it. Nothing of it may leak into what comes next.
            if not is_told:
                logger.error("a task left a transaction open on database '%s'; rolled back", connection.alias)
            drop(connection)


def left_open_here() -> set[str]:
    """Returns the aliases of this thread's connections that something is open on."""
    return left_open(getattr(made, "here", ()))


def refuse_left_open_here(*, but: str | None = None) -> None:
    """Raises TransactionLeftOpen where a handler has left something open; `but` is the database of its own end."""
    here = getattr(made, "here", ())
    if here and (found := left_open(here)):
        refuse_left_open(found - {but})


def drop_connections() -> None:
    """Closes every connection: an exception from outside may have left one in the middle of an answer."""
    for connection in connections.all(initialized_only=True):
        try:
            stop_query(connection)
            drop(connection)
        except Exception:
            logger.exception("a database connection could not be closed")


def drop(connection: BaseDatabaseWrapper) -> None:
    """Closes a connection, whatever state it is in."""
    connection.in_atomic_block = False
    connection.savepoint_ids = []
    connection.needs_rollback = False
    connection.run_on_commit = []
    connection.close()


def prepare_connection(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """
    Remembers who has connected, and has SQLite wait for other writers: for a minute, from a transaction's beginning.

    A deferred transaction that has read cannot write once another has, however long it waits.
    """
    here = made.__dict__.setdefault("here", [])
    if connection not in here:
        here.append(connection)
    know(connection)
    if connection.vendor != "sqlite":
        return
    wrapper: Any = connection
    if wrapper.transaction_mode is None:
        wrapper.transaction_mode = "IMMEDIATE"
    if connection.settings_dict["OPTIONS"].get("timeout", 5.0) < BUSY:
        connection.connection.execute(f"pragma busy_timeout = {BUSY * 1000}")


def prepare_connections() -> None:
    """Has every connection that is made from now on prepared."""
    connection_created.connect(prepare_connection, dispatch_uid="gristmill.runner.loop")
