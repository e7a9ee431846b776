"""
A page of a list of jobs, one branch at a time, by key-set: it costs the same however many jobs there are.

    page = page_of(connection, Search.parse("state:failed queue:mail"))
    page.rows, page.next, page.previous          # lines, and cursors as text or None
    page.looked                                  # said where the search was given up before the end

No statement counts, skips or sorts a large table, and each reads a bounded number of rows. A search that no index
answers looks through the branch from the place where the page begins, 100,000 rows or two seconds at most; then it says
how far it looked, and its cursor goes on from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.inspect.arguments import arguments_of
from gristmill.inspect.listing import cursors
from gristmill.inspect.listing.branches import BRANCHES, Branch
from gristmill.inspect.listing.cursors import Cursor, Key
from gristmill.inspect.listing.filters import filters_of
from gristmill.inspect.listing.matching import matches, needle
from gristmill.inspect.listing.rows import Row, rows_of
from gristmill.inspect.listing.search import Search
from gristmill.inspect.listing.walking import Found, Walk, Walked, go
from gristmill.values.ids import made_at

#: Jobs of a page: as many as a person reads, and the most that are given at once.
USUAL, MOST = 50, 500
EVERYTHING = Search()


@dataclass(frozen=True)
class Looked:
    """How far a search came before it was given up: so many rows, back (or on) to a moment."""

    rows: int
    moment: datetime | None
    # "due", "started", "ended" or "enqueued": what the moment is.
    what: str
    newest_first: bool

    def __str__(self) -> str:
        which = "newest" if self.newest_first else "first"
        to = "" if self.moment is None else f", {'back' if self.newest_first else 'up'} to {self.moment:%Y-%m-%d %H:%M}"
        return f"looked at the {which} {self.rows:,} jobs from here{to}; there may be more"


@dataclass(frozen=True)
class Page:
    """Some jobs of a branch, in its order, with cursors to the pages beside it, None where there is none."""

    branch: Branch
    rows: list[Row]
    next: str | None
    previous: str | None
    looked: Looked | None = None

    def as_json(self) -> dict[str, Any]:
        """Returns it in JSON's types."""
        looked = self.looked
        return {
            "branch": self.branch.name,
            "jobs": [row.as_json() for row in self.rows],
            "next": self.next,
            "previous": self.previous,
            "looked": looked and {"rows": looked.rows, "until": looked.moment and looked.moment.isoformat()},
        }


def page_of(
    connection: BaseDatabaseWrapper,
    search: Search = EVERYTHING,
    branch: str = "all",
    *,
    cursor: str | None = None,
    size: int = USUAL,
    backends: tuple[str, ...] = (),
) -> Page:
    """
    Returns a page of the jobs on a database, those of some TASKS aliases or of all.

    A state in the search says the branch. A cursor that is none, or is another list's, gives the first page. Raises
    SearchError, with a sentence for people, for a search that cannot be carried out.
    """
    size = min(max(size, 1), MOST)
    # What has a group has failed.
    chosen = BRANCHES[search.state or ("unsuccessful" if search.group else branch)]
    filters = filters_of(connection, chosen, search, backends)
    if filters.empty:
        return Page(chosen, [], None, None)
    walk = Walk(
        connection,
        chosen,
        filters.order,
        filters.ends,
        filters.few,
        filters.conditions,
        test=(lambda found: has_arguments(found, search)) if search.args else None,
        needles=[each for _, value in search.args if (each := needle(value))],
        lane=filters.lane,
    )
    at = cursors.read(chosen, filters.order, cursor, is_lane=filters.lane is not None)
    walked = go(walk, at and at.key, size + 1, backwards=at is not None and at.backwards)
    if at is not None and at.backwards:
        if len(walked.found) <= size and walked.stopped is None:
            # It has come to the beginning: a whole page from there, however few were left.
            at, walked = None, go(walk, None, size + 1)
        else:
            return page_before(walk, at, walked, size)
    return page_after(walk, at, walked, size)


def page_after(walk: Walk, at: Cursor | None, walked: Walked, size: int) -> Page:
    """Returns the page that begins behind a cursor, or the first one."""
    found, more = walked.found[:size], len(walked.found) > size
    goes_on = found[-1].key if more else walked.stopped
    back = found[0].key if found else walked.stopped or (at and at.key)
    return page(walk, found, goes_on, None if at is None else back, walked)


def page_before(walk: Walk, at: Cursor, walked: Walked, size: int) -> Page:
    """Returns the page that ends before a cursor."""
    found, more = walked.found[:size][::-1], len(walked.found) > size
    back = found[0].key if more else walked.stopped
    return page(walk, found, found[-1].key if found else walked.stopped or at.key, back, walked)


def page(walk: Walk, found: list[Found], goes_on: Key | None, back: Key | None, walked: Walked) -> Page:
    """Puts a page together."""
    branch, stopped = walk.branch, walked.stopped
    looked = None
    if stopped is not None:
        moment = stopped.moment if walk.order.column is not None else made_at(stopped.id)
        what = branch.moment if walk.order.column is not None else "enqueued"
        looked = Looked(walked.looked, moment, what, walk.order.newest_first)
    return Page(
        branch,
        rows_of(walk.connection.alias, found),
        None if goes_on is None else cursors.written(branch, Cursor(goes_on)),
        None if back is None else cursors.written(branch, Cursor(back, backwards=True)),
        looked,
    )


def has_arguments(found: Found, search: Search) -> bool:
    """Tells whether a job has the arguments that are searched for, as people may see them."""
    shown = arguments_of(found.backend, found.task_name, found.args, found.kwargs, found.options)
    return shown is not None and matches(shown, search.args)
