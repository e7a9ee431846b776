"""The database itself: what keeps it from staying quick or durable."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from django.utils import timezone

from gristmill.database.schema import SCHEMA_VERSION, is_in_memory
from gristmill.database.statements import carry_out
from gristmill.inspect.problems.problem import Look, Problem
from gristmill.inspect.tables import age, printable

#: What clocks may differ by; NTP keeps them within far less.
APART = timedelta(minutes=1)


def schema(look: Look) -> Iterator[Problem]:
    """Says where the tables are of another version than this package knows."""
    version = max((found for (found,) in carry_out(look.connection, "schema_version", [])), default=0)
    if version != SCHEMA_VERSION:
        remedy = "install the one that migrated them" if version > SCHEMA_VERSION else "run manage.py migrate"
        yield Problem(
            "schema",
            "error",
            f"The tables are of version {version:,}, and this process's gristmill knows version {SCHEMA_VERSION:,}: "
            f"{remedy}, before workers start anew.",
        )


def clock(look: Look) -> Iterator[Problem]:
    """Says where this process's clock and the database's tell different times."""
    ahead = timezone.now() - look.now
    if abs(ahead) > APART:
        yield Problem(
            "clock",
            "warning",
            f"This process's clock is {age(abs(ahead).total_seconds())} {'ahead of' if ahead > -ahead else 'behind'} "
            "the database's, by which jobs are due: set both by NTP.",
        )


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
