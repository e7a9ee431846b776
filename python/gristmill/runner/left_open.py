"""
Transactions that a handler has left open: what it wrote would vanish, so it has not succeeded.

Looked for where it has returned; in threads, where its call has.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.exceptions import TransactionLeftOpen
from gristmill.runner.isolation import IN_ERROR, IN_TRANSACTION, status


def refuse_left_open(aliases: Iterable[str]) -> None:
    """Raises TransactionLeftOpen where there are any."""
    found = ", ".join(f"'{alias}'" for alias in sorted(set(aliases)))
    if found:
        raise TransactionLeftOpen(
            f"the handler has left a transaction open on database {found}, or autocommit off, so what it wrote there "
            "is not committed and cannot be kept; leave atomic() by its end, and what was begun by hand by COMMIT"
        )


def left_open(here: Iterable[BaseDatabaseWrapper]) -> set[str]:
    """Returns the aliases of those connections that are inside a transaction, or would begin one."""
    return {connection.alias for connection in here if is_left_open(connection)}


def is_left_open(connection: BaseDatabaseWrapper) -> bool:
    """Tells whether something is open on a connection; where its settings turn autocommit off, that is their affair."""
    if connection.connection is None or not connection.settings_dict.get("AUTOCOMMIT", True):
        return False
    if connection.in_atomic_block or not connection.autocommit:
        return True
    with suppress(Exception):
        # Begun by hand, which Django does not know of.
        if connection.vendor == "postgresql":
            return status(connection) in (IN_TRANSACTION, IN_ERROR)
        if connection.vendor == "sqlite":
            return bool(connection.connection.in_transaction)
    return False
