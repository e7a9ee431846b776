"""Transactions that are open for long on PostgreSQL: each keeps every dead row since it began."""

from __future__ import annotations

from typing import Any, NamedTuple

from gristmill.inspect.questions import Question

#: A transaction that has been open for longer is told of.
OLD_SECONDS = 900
#: Transactions that are named, the oldest first.
SHOWN = 10


class OpenTransaction(NamedTuple):
    """One that has a snapshot of this database."""

    pid: int
    # The application's name, as its session gives it.
    name: str
    seconds: float


def transactions_asked(older_than_seconds: float) -> Question:
    """Asks for the transactions on this database that are older, the oldest first."""
    return Question(
        "pid, name, seconds",
        "select pid, coalesce(nullif(application_name, ''), 'no name') as name, "
        "extract(epoch from clock_timestamp() - xact_start)::bigint as seconds from pg_stat_activity "
        "where backend_xmin is not null and datname = current_database() "
        "and clock_timestamp() - xact_start > %s * interval '1 second' order by xact_start limit %s",
        [older_than_seconds, SHOWN],
    )


def open_transactions(cursor: Any, older_than_seconds: float) -> list[OpenTransaction]:
    """Returns the transactions on this database that are older, the oldest first."""
    asked = transactions_asked(older_than_seconds)
    cursor.execute(asked.sql, asked.binds)
    return [OpenTransaction(*row) for row in cursor.fetchall()]
