"""How many jobs are in each state, counted to a cap: what tabs and headings show, however many there are."""

from __future__ import annotations

from typing import NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.database.dialects import about
from gristmill.inspect.listing.branches import FAILED
from gristmill.inspect.survey import CAP


class Count(NamedTuple):
    """A number of jobs, and whether there may be more."""

    number: int
    at_least: bool = False

    def __str__(self) -> str:
        return f"{self.number:,}{'+' * self.at_least}"


def counts(connection: BaseDatabaseWrapper) -> dict[str, Count]:
    """
    Returns the counts of all states; each reads 10,001 rows at most.

    Finished jobs are counted among the newest of them, unsuccessful ones among the newest of those. Where there are
    more than that, every state that shares their table may have more.
    """
    # A literal, as the index has it.
    failed = "gristmill_result"
    if about(connection).keeps_text:
        failed += f" indexed by {FAILED.index_name}"
    samples = {
        ("ready",): "select 'ready' as state from gristmill_ready",
        ("scheduled",): "select 'scheduled' as state from gristmill_scheduled",
        ("waiting", "stranded", "held"): (
            "select case when held then 'held' when stranded then 'stranded' else 'waiting' end as state "
            "from gristmill_waiting"
        ),
        ("running",): "select 'running' as state from gristmill_running",
        ("successful",): "select state from gristmill_result order by finished_at desc, id desc",
        ("failed", "cancelled", "poisoned"): (
            f"select state from {failed} where state <> 'successful' order by finished_at desc, id desc"
        ),
    }
    counted = {}
    with connection.cursor() as cursor:
        for states, sample in samples.items():
            cursor.execute(f"select state, count(*) from ({sample} limit %s) as counted group by state", [CAP + 1])
            found = dict(cursor.fetchall())
            more = sum(found.values()) > CAP
            for state in states:
                counted[state] = Count(min(found.get(state, 0), CAP), more)
    return counted
