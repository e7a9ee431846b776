"""Waits until a job has ended, by looking again and again: at once at first, then twice a second."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.compat import TaskResultDoesNotExist
from gristmill.database.missing_tables import raise_if_tables_missing
from gristmill.exceptions import WaitInTransaction
from gristmill.results.reading import read_job
from gristmill.values.bounds import LONGEST, seconds_of

if TYPE_CHECKING:
    from typing import TypeAlias

    Timeout: TypeAlias = float | timedelta | None

ENDED = frozenset({"successful", "failed", "cancelled", "poisoned"})
#: Seconds between two looks: a job that takes a moment is seen at once, one that takes an hour costs little.
FIRST_PAUSE, LONGEST_PAUSE, GROWTH = 0.005, 0.5, 1.5


def wait_until_ended(database: str, job_id: UUID, timeout: Timeout = None) -> None:
    """
    Returns when a job has ended, one way or another; raises TimeoutError after so many seconds.

    Raises WaitInTransaction where a transaction is open on that database and the job has not ended, and
    TaskResultDoesNotExist for an unknown job, also for one that is pruned meanwhile.
    """
    end = end_of(timeout)
    for pause in pauses():
        state = look(database, job_id)
        if state is None:
            return
        time.sleep(min(pause, left_until(end, job_id, state, timeout)))


async def wait_until_ended_async(database: str, job_id: UUID, timeout: Timeout = None) -> None:
    """See `wait_until_ended`."""
    end = end_of(timeout)
    for pause in pauses():
        state = await sync_to_async(look)(database, job_id)
        if state is None:
            return
        await asyncio.sleep(min(pause, left_until(end, job_id, state, timeout)))


def look(database: str, job_id: UUID) -> str | None:
    """Returns the state of a job that has not ended; None when it has."""
    connection = connections[database]
    try:
        job = read_job(connection, job_id)
    except DatabaseError as error:
        raise_if_tables_missing(error, connection)
        raise
    if job is None:
        raise TaskResultDoesNotExist(job_id.hex)
    if job.state in ENDED:
        return None
    refuse_in_transaction(connection, job_id)
    return str(job.state)


def refuse_in_transaction(connection: BaseDatabaseWrapper, job_id: UUID) -> None:
    """Raises WaitInTransaction where workers may not see the job, or this process not what they do."""
    if connection.in_atomic_block or not connection.get_autocommit():
        raise WaitInTransaction(
            f"job {job_id.hex} has not ended, and a transaction is open on database '{connection.alias}': workers see "
            "what it has enqueued only after its commit, so this could wait for ever. Wait after the transaction; in "
            "a TestCase, call gristmill.testing.run_jobs() first"
        )


def end_of(timeout: Timeout) -> float | None:
    """Returns the moment, on the monotonic clock, at which to give up."""
    if timeout is None:
        return None
    found = seconds_of(timeout)
    if found is None or abs(found) > LONGEST:
        raise ValueError(
            "timeout must be a number of seconds or a timedelta, a hundred years at most, or None for no end; "
            f"got {timeout!r}"
        )
    return time.monotonic() + found


def left_until(end: float | None, job_id: UUID, state: str, timeout: Timeout) -> float:
    """Returns how many seconds are left; raises TimeoutError when none are."""
    if end is None:
        return LONGEST_PAUSE
    left = end - time.monotonic()
    if left <= 0:
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        raise TimeoutError(f"job {job_id.hex} has not ended within {seconds:g} s; it is {state}")
    return left


def pauses() -> Iterator[float]:
    """Yields the seconds between looks, each a quarter longer or shorter by chance: waiters spread out."""
    pause = FIRST_PAUSE
    while True:
        yield pause * random.uniform(0.75, 1.25)
        pause = min(pause * GROWTH, LONGEST_PAUSE)
