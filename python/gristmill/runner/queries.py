"""
Ends queries on the server.

A handler that is interrupted, or a process that is killed, leaves its query behind: in PostgreSQL it would go on, with
all its locks, until it has something to say to a client that is not there any more.
"""

from __future__ import annotations

import contextlib
import logging
import select
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger("gristmill")

# PostgreSQL's state of a connection with a query under way.
ACTIVE = 1
# libpq's states of a query that moves data instead of giving rows: COPY OUT, COPY IN, COPY BOTH.
COPYING = (3, 4, 8)
# Seconds for asking the server to end a query, and for its answer.
STOPPING = 2
ANSWERING = 1
# How often a server looks whether the client of a query still lives, and the first version that does.
LOOKING = "1s"
LOOKS = 140_000
# On a driver's connection whose server has been told.
MARK = "gristmill_looks"

# Every connection of this process, with the thread that uses it. A dictionary, as it is read in signal handlers and
# by other threads, where no lock may be waited for.
_known: dict[int, tuple[weakref.ref[BaseDatabaseWrapper], int]] = {}


def know(connection: BaseDatabaseWrapper) -> None:
    """Remembers a connection of the current thread, and has its server notice when this process is killed."""
    place = id(connection)
    _known[place] = (weakref.ref(connection, lambda _: _known.pop(place, None)), threading.get_ident())
    if connection.vendor == "postgresql":
        _have_it_look(connection)


def _have_it_look(connection: BaseDatabaseWrapper) -> None:
    driver: Any = connection.connection
    # In a transaction of its own, or what it sets could be rolled back; once, where it comes from a pool.
    if driver.info.server_version < LOOKS or not connection.get_autocommit() or getattr(driver, MARK, False):
        return
    with contextlib.suppress(AttributeError):
        setattr(driver, MARK, True)
    try:
        with driver.cursor() as cursor:
            # Who has set something else has had a reason.
            cursor.execute(
                f"select set_config('client_connection_check_interval', '{LOOKING}', false) "
                "where current_setting('client_connection_check_interval') = '0'"
            )
    except Exception as error:
        # A server whose operating system does not tell.
        logger.debug("database '%s' does not look whether its clients live: %s", connection.alias, error)


def stop_queries() -> None:
    """Ends what the current thread has under way, so that its connection can be used, and what others have; bounded."""
    own = threading.get_ident()
    for connection, thread in _with_a_query():
        try:
            stop_query(connection)
            if thread == own:
                _hear_the_end(connection.connection)
        except Exception:
            # It is dropped after the job.
            logger.warning("a query on database '%s' could not be ended", connection.alias, exc_info=True)


def has_query(thread: int) -> bool:
    """Tells whether another thread waits for the database."""
    return any(its_thread == thread for _, its_thread in _with_a_query())


def stop_queries_of(thread: int) -> None:
    """Ends what another thread has under way."""
    for connection, its_thread in _with_a_query():
        if its_thread == thread:
            try:
                stop_query(connection)
            except Exception:
                logger.warning("a query on database '%s' could not be ended", connection.alias, exc_info=True)


def stop_query(connection: BaseDatabaseWrapper) -> None:
    """Has PostgreSQL end the query that is under way on a connection."""
    driver: Any = connection.connection
    if not _is_active(connection):
        return
    if hasattr(driver, "cancel_safe"):
        driver.cancel_safe(timeout=STOPPING)
    else:
        driver.cancel()


def _with_a_query() -> Iterator[tuple[BaseDatabaseWrapper, int]]:
    for reference, thread in list(_known.values()):
        connection = reference()
        if connection is not None and _is_active(connection):
            yield connection, thread


def _is_active(connection: BaseDatabaseWrapper) -> bool:
    driver: Any = connection.connection
    return (
        connection.vendor == "postgresql"
        and driver is not None
        and not driver.closed
        and int(driver.info.transaction_status) == ACTIVE
    )


def _hear_the_end(driver: Any) -> None:
    """Reads what the server says of the query that was ended, or the connection would wait for it with the next one."""
    pgconn = getattr(driver, "pgconn", None)
    if pgconn is None or int(pgconn.pipeline_status):
        return
    poll = select.poll()
    poll.register(pgconn.socket, select.POLLIN)
    until = time.monotonic() + ANSWERING
    while (left := until - time.monotonic()) > 0:
        while not pgconn.is_busy():
            result = pgconn.get_result()
            if result is None or int(result.status) in COPYING:
                return
        poll.poll(left * 1000)
        pgconn.consume_input()
