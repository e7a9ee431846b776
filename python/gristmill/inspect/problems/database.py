"""The database itself: what keeps it from staying quick or durable."""

from __future__ import annotations

from collections.abc import Iterator

from gristmill.database.schema import is_in_memory
from gristmill.inspect.problems.problem import Look, Problem
from gristmill.inspect.tables import age, printable


def long_transactions(look: Look) -> Iterator[Problem]:
    """Names the transactions of others that keep every dead row since they began."""
    for transaction in look.survey.transactions:
        who = f"process {transaction.pid} ({printable(transaction.name)})"
        yield Problem(
            "long transaction",
            "warning",
            f"A transaction of {who} has been open for {age(transaction.seconds)}: vacuum cannot take dead rows "
            "away, and claims get slower.",
        )


def journal(look: Look) -> Iterator[Problem]:
    """Says where a SQLite file is not in WAL mode."""
    if look.connection.vendor != "sqlite" or is_in_memory(look.connection):
        return
    with look.connection.cursor() as cursor:
        cursor.execute("pragma journal_mode")
        ((mode,),) = cursor.fetchall()
    if mode != "wal":
        yield Problem(
            "journal mode",
            "error",
            f"The database's file is in journal mode {printable(mode)}, with which no worker starts: run "
            "manage.py migrate.",
        )
