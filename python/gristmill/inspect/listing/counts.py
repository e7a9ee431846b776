"""How many jobs are in each state, counted to a cap: what tabs and headings show, however many there are."""

from __future__ import annotations

from typing import NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.database.dialects import about
from gristmill.inspect.listing.branches import FAILED
from gristmill.inspect.questions import Question, Said, ask
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
    return counts_said(ask(connection, **counts_asked(connection)))


#: The states that each sample has.
STATES = {
    "ready": ("ready",),
    "scheduled": ("scheduled",),
    "waiting": ("waiting", "stranded", "held"),
    "running": ("running",),
    "newest": ("successful",),
    "unsuccessful": ("failed", "cancelled", "poisoned"),
}


def counts_asked(connection: BaseDatabaseWrapper) -> dict[str, Question]:
    """Asks for them."""
    failed = "gristmill_result"
    if about(connection).keeps_text:
        failed += f" indexed by {FAILED.index_name}"
    samples = {
        "ready": "select 'ready' as state from gristmill_ready",
        "scheduled": "select 'scheduled' as state from gristmill_scheduled",
        "waiting": (
            "select case when held then 'held' when stranded then 'stranded' else 'waiting' end as state "
            "from gristmill_waiting"
        ),
        "running": "select 'running' as state from gristmill_running",
        "newest": "select state from gristmill_result order by finished_at desc, id desc",
        # A literal, as the index has it.
        "unsuccessful": f"select state from {failed} where state <> 'successful' order by finished_at desc, id desc",
    }
    return {
        name: Question(
            "state, number",
            f"select state, count(*) as number from ({sample} limit %s) as sampled group by state",
            [CAP + 1],
        )
        for name, sample in samples.items()
    }


def counts_said(said: Said) -> dict[str, Count]:
    """Returns what was asked for."""
    counted: dict[str, Count] = {}
    for name, states in STATES.items():
        found = {state: int(number) for state, number in said[name]}
        more = sum(found.values()) > CAP
        counted |= {state: Count(min(found.get(state, 0), CAP), more) for state in states}
    return counted
