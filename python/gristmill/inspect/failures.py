"""
What failed, as groups: jobs of one task with the same error, but for numbers, ids and what stands in quotes.

A group is found among the newest failures, and comes with the search that finds all of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.inspect.listing.pages import MOST, page_of
from gristmill.inspect.listing.rows import Row
from gristmill.inspect.listing.search import MOST_CHARACTERS, Search

#: The failures that are looked at, the newest of each state.
NEWEST = {"failed": 1_000, "poisoned": MOST}
#: A line is compared to here, and cut there.
MOST_OF_A_LINE = 200
#: The least of a text that is worth a term of a search.
LEAST = 4

# What differs between two failures of one cause: what stands in quotes, ids, addresses and numbers.
_VARIABLE = re.compile(
    r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\b0x[0-9a-fA-F]+\b|\b[0-9a-fA-F]{8}(?:-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}\b"""
    r"""|\b[0-9a-fA-F]*[0-9][0-9a-fA-F]{7,}\b|[0-9]+(?:[.,:][0-9]+)*"""
)


@dataclass
class Group:
    """Jobs of one task that failed alike; of those that were looked at, `count` are of it."""

    backend: str
    task_name: str
    state: str
    # The last line of a traceback, with what differs taken out.
    error: str
    count: int
    first_at: datetime | None
    last_at: datetime | None
    # The newest of them, and its error in full.
    sample_id: str
    sample: str
    # What finds them, and those that nobody has looked at.
    search: str

    def as_json(self) -> dict[str, Any]:
        """Returns it in JSON's types."""
        moments = {"first_at": self.first_at, "last_at": self.last_at}
        return {**asdict(self), **{name: at and at.isoformat() for name, at in moments.items()}}


@dataclass(frozen=True)
class Failures:
    """The groups, largest first; `more` where there are older failures that were not looked at."""

    groups: list[Group]
    looked: int
    more: bool


def failures_of(
    connection: BaseDatabaseWrapper, backends: tuple[str, ...] = (), search: Search | None = None
) -> Failures:
    """Groups the newest failures on a database: those of some TASKS aliases, or of all; those that a search finds."""
    rows: list[Row] = []
    more = False
    for state, most in NEWEST.items():
        found, left = newest(connection, state, most, backends, search or Search())
        rows += found
        more = more or left
    return Failures(grouped(rows), len(rows), more)


def newest(
    connection: BaseDatabaseWrapper, state: str, most: int, backends: tuple[str, ...], search: Search
) -> tuple[list[Row], bool]:
    """Returns the newest jobs that ended so, and whether there are more."""
    if search.state not in (None, state):
        return [], False
    rows: list[Row] = []
    cursor: str | None = None
    while len(rows) < most:
        page = page_of(connection, search, state, cursor=cursor, size=min(most, MOST), backends=backends)
        rows += page.rows
        cursor = page.next
        if cursor is None or page.looked is not None:
            break
    return rows[:most], cursor is not None or len(rows) > most


def grouped(rows: Iterable[Row]) -> list[Group]:
    """Returns the groups of these failures, the largest first, of one size the latest."""
    groups: dict[tuple[str, str, str, str], Group] = {}
    for row in rows:
        said = (row.error or row.reason or row.state)[:MOST_OF_A_LINE]
        key = (row.backend, row.task_name, row.state, normalised(said))
        group = groups.get(key)
        if group is None:
            groups[key] = Group(*key, 1, row.finished_at, row.finished_at, row.id, said, searched(row, said))
            continue
        group.count += 1
        if row.finished_at is not None:
            group.first_at = min(group.first_at or row.finished_at, row.finished_at)
            group.last_at = max(group.last_at or row.finished_at, row.finished_at)
    return sorted(groups.values(), key=lambda one: (-one.count, -(one.last_at.timestamp() if one.last_at else 0)))


def normalised(line: str) -> str:
    """Returns a line with what differs between two failures of one cause taken out."""
    return _VARIABLE.sub("…", line).strip()


def searched(row: Row, said: str) -> str:
    """Returns the search for the jobs that failed like this one: its task, its state, and what does not differ."""
    terms = [f"state:{row.state}", f"task:{quoted(row.task_name)}"]
    if row.error:
        for part in sorted(constant_parts(said), key=len, reverse=True)[:2]:
            room = MOST_CHARACTERS - len(" ".join([*terms, "error:"]))
            while len(part) >= LEAST and len(quoted(part)) > room:
                part = part[:-1]
            if len(part) >= LEAST:
                terms.append(f"error:{quoted(part)}")
    return " ".join(terms)


def constant_parts(said: str) -> Iterator[str]:
    """Gives the parts of a line that do not differ, those that are long enough to say something."""
    for part in _VARIABLE.split(said):
        text = part.strip()
        if len(text) >= LEAST:
            yield text


def quoted(text: str) -> str:
    """Returns a value as a search has it."""
    if re.fullmatch(r"[\w.\-]+", text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
