"""
What failed, as groups: jobs of one task with the same error, but for numbers, ids and what stands in quotes.

Which failures are of one cause the engine has said when they ended, by a fingerprint of their results
(`crates/core/src/fingerprint.rs`). What has none is a group of its own. Of everything, groups are read along their
index; of what a search finds, they are those of the newest 1,000 failures.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.inspect import groups as index
from gristmill.inspect.groups import Counted, counted_groups, every_fingerprint, fingerprints_of, newest_fingerprints
from gristmill.inspect.listing.pages import MOST, page_of
from gristmill.inspect.listing.rows import Row, rows_by_id
from gristmill.inspect.listing.search import WITHOUT_GROUP, Search

#: The failures of a search that are looked at, the newest of each state.
NEWEST = {"failed": 1_000, "poisoned": MOST}
#: A line of an error is cut there.
MOST_OF_A_LINE = 200


@dataclass
class Group:
    """Jobs that failed alike; `more`: there are more than `count`."""

    fingerprint: str | None
    backend: str
    task_name: str
    state: str
    count: int
    more: bool
    first_at: datetime | None
    last_at: datetime | None
    # The newest of them, and its error in full.
    sample_id: str
    sample: str

    @property
    def search(self) -> str:
        """What finds all of them, and no other job."""
        group = f"group:{self.fingerprint or WITHOUT_GROUP}"
        # What has no fingerprint may be of either state.
        return group if self.fingerprint is None else f"state:{self.state} {group}"

    def as_json(self) -> dict[str, Any]:
        """Returns it in JSON's types."""
        moments = {"first_at": self.first_at, "last_at": self.last_at}
        return {
            **asdict(self),
            **{name: at and at.isoformat() for name, at in moments.items()},
            "search": self.search,
        }


@dataclass(frozen=True)
class Failures:
    """
    The groups, largest first.

    `looked` is how many failures a search looked at, None where groups were counted along their index. `more`: there
    are older failures that were not looked at, or groups that were not counted.
    """

    groups: list[Group]
    looked: int | None
    more: bool


def failures_of(
    connection: BaseDatabaseWrapper, backends: tuple[str, ...] = (), search: Search | None = None
) -> Failures:
    """Groups the failures on a database: those of some TASKS aliases, or of all; those that a search finds."""
    if search:
        return found_by(connection, backends, search)
    recent = newest_fingerprints(connection)
    known = every_fingerprint(connection)
    wanted = list(dict.fromkeys([*recent, *known]))
    counted = counted_groups(connection, wanted[: index.MOST_GROUPS])
    rows = {row.id: row for row in rows_by_id(connection.alias, [each.newest for each in counted])}
    groups = [group_of(each, rows[each.newest.hex]) for each in counted if each.newest.hex in rows]
    more = len(wanted) > index.MOST_GROUPS or len(known) >= index.MOST_GROUPS
    return Failures(ordered(group for group in groups if not backends or group.backend in backends), None, more)


def group_of(counted: Counted, newest: Row) -> Group:
    """Returns a group as people see it, by the newest job of it."""
    return Group(
        counted.fingerprint,
        newest.backend,
        newest.task_name,
        newest.state,
        counted.size,
        counted.more,
        counted.first_at,
        newest.finished_at,
        newest.id,
        error_of(newest),
    )


def found_by(connection: BaseDatabaseWrapper, backends: tuple[str, ...], search: Search) -> Failures:
    """Groups the newest failures that a search finds."""
    rows: list[Row] = []
    more = False
    for state, most in NEWEST.items():
        found, left = newest(connection, state, most, backends, search)
        rows += found
        more = more or left
    return Failures(grouped(rows, fingerprints_of(connection, [row.id for row in rows])), len(rows), more)


def newest(
    connection: BaseDatabaseWrapper, state: str, most: int, backends: tuple[str, ...], search: Search
) -> tuple[list[Row], bool]:
    """Returns the newest jobs that ended so, and whether there are more."""
    if search.state not in (None, "finished", "unsuccessful", state):
        return [], False
    rows: list[Row] = []
    cursor: str | None = None
    wanted = search.of_state(state)
    while len(rows) < most:
        page = page_of(connection, wanted, cursor=cursor, size=min(most, MOST), backends=backends)
        rows += page.rows
        cursor = page.next
        if cursor is None or page.looked is not None:
            break
    return rows[:most], cursor is not None or len(rows) > most


def grouped(rows: Iterable[Row], fingerprints: dict[str, str | None]) -> list[Group]:
    """Returns the groups of these failures; of each, the first of these is the newest."""
    groups: dict[str | None, Group] = {}
    for row in rows:
        fingerprint = fingerprints.get(row.id)
        group = groups.get(fingerprint)
        if group is None:
            groups[fingerprint] = group_of(Counted(fingerprint, 1, False, row.finished_at, UUID(row.id)), row)
            continue
        group.count += 1
        if row.finished_at is not None:
            group.first_at = min(group.first_at or row.finished_at, row.finished_at)
            group.last_at = max(group.last_at or row.finished_at, row.finished_at)
    return ordered(groups.values())


def ordered(groups: Iterable[Group]) -> list[Group]:
    """Returns groups, the largest first, of one size the latest."""
    return sorted(groups, key=lambda one: (-one.count, -(one.last_at.timestamp() if one.last_at else 0)))


def error_of(row: Row) -> str:
    """Returns what a job failed with, in a line."""
    return (row.error or row.reason or row.state)[:MOST_OF_A_LINE]
