"""
What a database's error says about a handler's transaction, which it undid.

The part of the engine's table (`crates/store/src/codes.rs`) that the end of a transactional job needs: what is neither
a conflict nor an outage is the handler's own failure.
"""

from __future__ import annotations

from django.db import DatabaseError, InterfaceError
from django.db.backends.base.base import BaseDatabaseWrapper

#: Transactions in each other's way: SQLSTATEs, and what SQLite says of a file that another one holds too long.
CONFLICTS = ("40001", "40P01")
LOCKED = "database is locked"
#: The server, the connection, or who may connect, by the beginnings of their SQLSTATEs. Not all of class 25: a
#: transaction that was idle or open too long is its handler's.
AWAY = ("08", "25006", "26", "28", "3D", "40003", "53", "55", "57", "58", "72", "F0", "XX")
#: What SQLite says of the file, its disk and this process.
AWAY_ON_SQLITE = (
    "attempt to write a readonly database",
    "database disk image is malformed",
    "database or disk is full",
    "disk I/O error",
    "file is not a database",
    "locking protocol",
    "out of memory",
    "unable to open database file",
)


def undone_by(connection: BaseDatabaseWrapper, error: BaseException, *, returned: bool) -> str | None:
    """
    Returns "conflict" or "interrupted" where it was not the handler that failed.

    What the server has to do with an error is only asked once the handler has `returned`: before that, its own calls
    may go wrong in as many ways.
    """
    if not isinstance(error, (DatabaseError, InterfaceError)):
        return None
    state = sqlstate_of(error)
    if state in CONFLICTS or (connection.vendor == "sqlite" and str(error) == LOCKED):
        return "conflict"
    return "interrupted" if returned and is_outage(connection, error, state) else None


def is_outage(connection: BaseDatabaseWrapper, error: BaseException, state: str | None) -> bool:
    """Tells whether an error speaks of the server, and of nothing that it was asked."""
    if connection.vendor == "sqlite":
        return str(error).startswith(AWAY_ON_SQLITE)
    if state is not None:
        return state.startswith(AWAY)
    # The driver's own words: the connection is gone.
    driver = connection.connection
    return driver is None or bool(getattr(driver, "closed", False))


def sqlstate_of(error: BaseException) -> str | None:
    """Returns the server's code for an error; None where it has none."""
    cause = error.__cause__
    return getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
