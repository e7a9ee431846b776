"""
Wakes an idle worker after an enqueue, on PostgreSQL; on SQLite workers watch the file.

A wake-up is only a hint, as workers poll anyway, and nothing of it happens inside the caller's transaction: a NOTIFY
there would make commits wait for one another.
"""

from __future__ import annotations

import functools
import logging
import weakref
from typing import NamedTuple

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger("gristmill")

_IDLE_WORKER = (
    "from gristmill_worker where idle and stopped_at is null and lost_at is null "
    "and heartbeat_at > clock_timestamp() - make_interval(secs => lease_seconds) limit 1"
)
#: An SQL expression: whether a worker has said that it is idle.
IDLE = f"exists (select {_IDLE_WORKER})"
_WAKE_IF_IDLE = f"select pg_notify('gristmill', '') {_IDLE_WORKER}"
_WAKE = "notify gristmill"


class Hook(NamedTuple):
    """Where a connection's on_commit hook of ours stands, so that a transaction gets one and not one per job."""

    position: int
    entry: object


_hooks: weakref.WeakKeyDictionary[BaseDatabaseWrapper, Hook] = weakref.WeakKeyDictionary()


def wake_after_commit(connection: BaseDatabaseWrapper) -> None:
    """Wakes an idle worker once the open transaction has committed and its jobs can be seen."""
    if connection.vendor != "postgresql":
        return
    if getattr(connection.atomic_blocks[0], "_from_testcase", False):
        # TestCase never commits: nobody else will see the job, and the test's own hooks stay alone.
        return
    hook = _hooks.get(connection)
    hooks = connection.run_on_commit
    if hook and hook.position < len(hooks) and hooks[hook.position] is hook.entry:
        return
    transaction.on_commit(functools.partial(_notify, connection, _WAKE_IF_IDLE), using=connection.alias, robust=True)
    _hooks[connection] = Hook(len(connection.run_on_commit) - 1, connection.run_on_commit[-1])


def wake_now(connection: BaseDatabaseWrapper) -> None:
    """
    Wakes the worker that the statement of an enqueue in autocommit saw idle.

    A worker that goes idle while that statement commits is not seen. It has just begun to poll, at its shortest
    interval, so the job waits a fifth of a second; asking again after each commit would cost every enqueue a round
    trip.
    """
    _notify(connection, _WAKE)


def _notify(connection: BaseDatabaseWrapper, statement: str) -> None:
    raw = connection.connection
    if raw is None:
        return
    try:
        # On the driver's own cursor: a hint is no query of the caller's, so it is neither logged nor counted as one.
        with raw.cursor() as cursor:
            cursor.execute(statement)
    except Exception as error:
        logger.debug("no worker was woken after an enqueue: %s", error)
