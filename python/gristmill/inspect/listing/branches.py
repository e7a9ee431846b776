"""
The branches of a list: the jobs of one state, read from one table in the order in which its reader wants them.

Running jobs come oldest first, scheduled ones soonest first, finished ones newest end first, ready ones oldest first
(those of one queue and task in the order in which they are claimed), and what waits newest first. "all" is every job by
its id, which sorts by when it was enqueued: what merging the branches would give, in one walk along a primary key.
"""

from __future__ import annotations

from typing import NamedTuple


class Order(NamedTuple):
    """By what a branch is walked: a column and the id, or the id alone."""

    # A moment; None is the id alone.
    column: str | None
    newest_first: bool
    # The index that has this order, which SQLite is told; None where it is the primary key, or the table is small.
    index_name: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """What it sorts by."""
        return ("id",) if self.column is None else (self.column, "id")


class Branch(NamedTuple):
    """Jobs of one state, or of a few that share a table."""

    name: str
    table: str
    order: Order
    # What the index of its order has in it, in the index's own words; and what has to be looked for row by row.
    known: str | None = None
    filtered: str | None = None

    @property
    def moment(self) -> str:
        """What its order and `before:` and `after:` go by, in a word."""
        return MOMENTS.get(self.order.column or "", "enqueued")


MOMENTS = {"run_after": "due", "claimed_at": "started", "finished_at": "ended"}

BY_ID = Order(None, newest_first=True)
ENDED = Order("finished_at", newest_first=True, index_name="gristmill_result_prune")
FAILED = Order("finished_at", newest_first=True, index_name="gristmill_result_unsuccessful")
GROUPED = Order("finished_at", newest_first=True, index_name="gristmill_result_group")
# Literals, as the indexes have them: no database sees that a bind is the same.
UNSUCCESSFUL = "p.state <> 'successful'"
A_FAILURE = "p.state in ('failed', 'poisoned')"

#: Every branch by its name. The states of jobs are among them, and "finished" and "unsuccessful" for several at once.
BRANCHES: dict[str, Branch] = {
    branch.name: branch
    for branch in (
        Branch("all", "gristmill_job", BY_ID),
        Branch("ready", "gristmill_ready", Order(None, newest_first=False)),
        Branch("scheduled", "gristmill_scheduled", Order("run_after", False, "gristmill_scheduled_promote")),
        Branch("waiting", "gristmill_waiting", BY_ID, filtered="not p.held and not p.stranded"),
        Branch("stranded", "gristmill_waiting", BY_ID, filtered="p.stranded and not p.held"),
        Branch("held", "gristmill_waiting", BY_ID, filtered="p.held"),
        # As many rows as the runners of all workers.
        Branch("running", "gristmill_running", Order("claimed_at", newest_first=False)),
        Branch("finished", "gristmill_result", ENDED),
        Branch("successful", "gristmill_result", ENDED, filtered="p.state = 'successful'"),
        Branch("unsuccessful", "gristmill_result", FAILED, UNSUCCESSFUL, "p.state <> 'successful'"),
        Branch("failed", "gristmill_result", FAILED, UNSUCCESSFUL, "p.state = 'failed'"),
        Branch("cancelled", "gristmill_result", FAILED, UNSUCCESSFUL, "p.state = 'cancelled'"),
        Branch("poisoned", "gristmill_result", FAILED, UNSUCCESSFUL, "p.state = 'poisoned'"),
    )
}
