"""
Transactions that are ours to begin: around an operation, or around an enqueue of several statements.

The engine's statements rely on READ COMMITTED: each sees what was committed before it, also what it has just waited
for. A transaction of the caller's keeps the level that the caller chose.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.database.statements import run

LEVEL = "read committed"
_LOWER = "set transaction isolation level read committed"

# What each connection of the driver's begins transactions with: the server is asked once where the settings do not say.
_usual: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()


@contextmanager
def read_committed(alias: str) -> Iterator[BaseDatabaseWrapper]:
    """Opens atomic(); where that begins a transaction of PostgreSQL's, it is READ COMMITTED whatever the default."""
    connection = connections[alias]
    lowers = not connection.in_atomic_block and connection.vendor == "postgresql" and _usual_level(connection) != LEVEL
    with transaction.atomic(using=alias):
        if lowers:
            run(connection, [_LOWER], [])
        yield connection


def _usual_level(connection: BaseDatabaseWrapper) -> str:
    connection.ensure_connection()
    driver: Any = connection.connection
    level = _usual.get(driver)
    if level is None:
        named = connection.settings_dict["OPTIONS"].get("isolation_level")
        if named is None:
            ((level,),) = run(connection, ["show default_transaction_isolation"], [])
        else:
            from django.db.backends.postgresql.psycopg_any import IsolationLevel

            level = IsolationLevel(named).name.replace("_", " ").lower()
        _usual[driver] = level
    return level
