"""Puts right what a task has left behind, so that it does not leak into the next job; costs little where nothing is."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from concurrent.futures import thread as executors
from contextvars import copy_context
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.utils import timezone, translation

logger = logging.getLogger("gristmill")

# What threading.active_count() counts, without its lock.
active: Any = threading._active  # type: ignore[attr-defined]
# The plain function; the one in `signal` looks for a name of what it gives back.
getsignal: Any = sys.modules["_signal"].getsignal
SIGNALS = [
    int(number)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGALRM)
]
# Seconds for which a writer waits for another one on SQLite.
BUSY = 60


class Hygiene:
    """What a runner is like between jobs."""

    def __init__(self) -> None:
        self.handlers = [*map(getsignal, SIGNALS)]
        self.context = copy_context()
        self.threads = len(active)

    def restore(self, task: Any) -> bool:
        """Puts right what a task has changed; False when this process should not run another."""
        # Unchanged, the two are one object inside: cheaper than asking each variable.
        if copy_context() != self.context:
            translation.deactivate()
            timezone.deactivate()
            self.context = copy_context()
        if [*map(getsignal, SIGNALS)] != self.handlers:
            for number, handler in zip(SIGNALS, self.handlers, strict=True):
                signal.signal(number, handler)
        if len(active) != self.threads:
            return self._threads_are_known(task)
        return True

    def _threads_are_known(self, task: Any) -> bool:
        left = leftover_threads()
        self.threads = len(active)
        if not left:
            return True
        logger.error(
            "%s left threads running: %s; this process ends, as they may still be at work. Join them in the task",
            getattr(task, "module_path", task),
            ", ".join(sorted(left)),
        )
        return False


def leftover_threads() -> list[str]:
    """Names the threads that a task has started and not ended; those of executors wait for work and are fine."""
    pooled = getattr(executors, "_threads_queues", {})
    return [
        thread.name
        for thread in threading.enumerate()
        if not thread.daemon and thread is not threading.main_thread() and thread not in pooled
    ]


def tidy_connections() -> None:
    """Closes connections that are broken, too old, or left inside a transaction; never fails."""
    try:
        for connection in connections.all(initialized_only=True):
            if connection.in_atomic_block:
                # A handler entered atomic() and never left it. Nothing of it may leak into the next job.
                logger.error("a task left a transaction open on database '%s'; rolled back", connection.alias)
                drop(connection)
            else:
                connection.close_if_unusable_or_obsolete()
            connection.queries_log.clear()
    except Exception:
        logger.exception("database connections could not be tidied up")


def drop_connections() -> None:
    """Closes every connection: an exception from outside may have left one in the middle of an answer."""
    for connection in connections.all(initialized_only=True):
        try:
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
    Has SQLite wait for other writers: a transaction takes the lock as it begins, and for a minute.

    A deferred one that has read cannot write once another has, however long it waits.
    """
    if connection.vendor != "sqlite":
        return
    wrapper: Any = connection
    if wrapper.transaction_mode is None:
        wrapper.transaction_mode = "IMMEDIATE"
    if connection.settings_dict["OPTIONS"].get("timeout", 5.0) < BUSY:
        connection.connection.execute(f"pragma busy_timeout = {BUSY * 1000}")


def prepare_connections() -> None:
    """Has every connection that is made from now on prepared."""
    connection_created.connect(prepare_connection, dispatch_uid="gristmill.runner")
