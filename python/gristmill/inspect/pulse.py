"""
The pulse as a series: how many attempts ended and how, how long they were due and ran, and how deep queues were.

Two queries a series, each of at most ROWS rows a level, however large the tables are; what is older than they reach is
left out, and the series says so. Counts come a minute late: a worker appends a minute when it is over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.inspect.counted import GOES_ON, ROWS, counted, depths, now_of
from gristmill.inspect.histograms import Histogram
from gristmill.tasks.aliases import gristmill_backends
from gristmill.values.moments import as_django

#: How long a point is, by how long the series is: the longest that has one, in seconds.
STEPS = ((3 * 3_600, 60), (2 * 86_400, 900), (15 * 86_400, 3_600))
LONGEST_STEP = 86_400
#: Outcomes of attempts that never started.
NEVER_STARTED = {"expired", "incompatible"}
#: Outcomes that somebody should know of. A crash or a loss may be tried again.
BAD = {"failed", "crashed", "lost", "expired"}


@dataclass
class Point:
    """What was counted in one minute, quarter, hour or day."""

    at: datetime
    outcomes: dict[str, int] = field(default_factory=dict)
    waits: Histogram = field(default_factory=Histogram)
    runs: Histogram = field(default_factory=Histogram)
    # None where nobody has looked, as no worker ran.
    ready: int | None = None
    scheduled: int | None = None
    oldest_seconds: float | None = None
    # Versions of workers that were not seen before.
    deployed: list[str] = field(default_factory=list)

    @property
    def started(self) -> int:
        """Returns how many attempts ran, by when they ended."""
        return sum(count for outcome, count in self.outcomes.items() if outcome not in NEVER_STARTED)

    @property
    def failed(self) -> int:
        """Returns how many failed for good, were lost or killed what ran them; retries are counted as such."""
        return sum(count for outcome, count in self.outcomes.items() if outcome in BAD)

    @property
    def finished(self) -> int:
        """Returns how many ended their job."""
        return sum(count for outcome, count in self.outcomes.items() if outcome not in GOES_ON)


@dataclass
class Series:
    """Points of equal length, oldest first; `is_cut`: there is more than was read, and older points lack it."""

    step: timedelta
    points: list[Point]
    is_cut: bool = False

    def outcomes(self) -> dict[str, int]:
        """Returns how many attempts ended how, in all."""
        found: dict[str, int] = {}
        for point in self.points:
            for outcome, count in point.outcomes.items():
                found[outcome] = found.get(outcome, 0) + count
        return dict(sorted(found.items(), key=lambda one: -one[1]))

    def whole(self, name: str) -> Histogram:
        """Returns the "waits" or "runs" of all points as one."""
        all_of_it = Histogram()
        for point in self.points:
            all_of_it.merge(getattr(point, name))
        return all_of_it


def series(alias: str, since: datetime, until: datetime, queue: str | None = None, task: str | None = None) -> Series:
    """Returns what was counted of a TASKS alias from `since` to before `until`, of one queue or task, or of all."""
    connection = connections[gristmill_backends()[alias].database]
    return series_of(connection, [alias], since.timestamp(), until.timestamp(), queue=queue, task=task)


def newest(
    connection: BaseDatabaseWrapper,
    backends: Collection[str],
    length: timedelta,
    *,
    queue: str | None = None,
    task: str | None = None,
) -> Series:
    """Returns what was counted up to the last minute that is over, by the database's clock."""
    until = now_of(connection) // 60 * 60
    return series_of(connection, backends, until - length.total_seconds(), until, queue=queue, task=task)


def series_of(
    connection: BaseDatabaseWrapper,
    backends: Collection[str],
    since: float,
    until: float,
    *,
    queue: str | None = None,
    task: str | None = None,
) -> Series:
    """Returns the series between two moments, in seconds since 1970."""
    step = next((step for longest, step in STEPS if until - since <= longest), LONGEST_STEP)
    first = int(since // step * step)
    number = max(int(-((first - until) // step)), 1)
    points = [Point(moment(first + index * step)) for index in range(number)]
    found = Series(timedelta(seconds=step), points)
    known: set[str] = set()
    rows = counted(connection, backends, first, until, queue, task)
    for at, outcome, attempts, waits, runs, version in sorted(rows):
        point = points[(int(at) - first) // step]
        point.outcomes[outcome] = point.outcomes.get(outcome, 0) + int(attempts)
        point.waits.add(waits or None)
        point.runs.add(runs or None)
        if version not in known:
            if known:
                point.deployed.append(version)
            known.add(version)
    found.is_cut = len(rows) >= ROWS
    if task is None:
        deep(points, depths(connection, backends, first, until, queue), first, step)
    return found


def deep(points: list[Point], rows: Iterable[tuple[int, str, str, int, int, float]], first: int, step: int) -> None:
    """Fills in how deep queues were: the most of each within a point, of all queues together."""
    most: dict[int, dict[tuple[str, str], tuple[int, int, float]]] = {}
    for at, backend, queue_name, ready, scheduled, oldest in rows:
        queues = most.setdefault((int(at) - first) // step, {})
        before = queues.get((backend, queue_name), (0, 0, 0.0))
        queues[(backend, queue_name)] = (max(before[0], ready), max(before[1], scheduled), max(before[2], oldest))
    # Nobody writes that a queue stays empty: after a sample without jobs there are none, after others nobody knows.
    is_empty = True
    for index, point in enumerate(points):
        queues = most.get(index, {})
        if queues:
            point.ready = sum(queue[0] for queue in queues.values())
            point.scheduled = sum(queue[1] for queue in queues.values())
            point.oldest_seconds = max(queue[2] for queue in queues.values())
            is_empty = not (point.ready or point.scheduled)
        elif is_empty or point.outcomes:
            point.ready, point.scheduled, point.oldest_seconds = 0, 0, 0.0


def backlogs(
    connection: BaseDatabaseWrapper, backends: Collection[str], length: timedelta
) -> dict[tuple[str, str], list[int | None]]:
    """Returns how many jobs each (backend, queue) had ready, minute by minute; those that had none are left out."""
    until = now_of(connection) // 60 * 60 + 60
    first, number = int(until - length.total_seconds()), int(length.total_seconds() // 60)
    rows: dict[tuple[str, str], list[tuple[int, str, str, int, int, float]]] = {}
    for row in depths(connection, backends, first, until):
        rows.setdefault((row[1], row[2]), []).append(row)
    found = {}
    for key, of_queue in rows.items():
        points = [Point(moment(first + 60 * index)) for index in range(number)]
        deep(points, of_queue, first, 60)
        found[key] = [point.ready for point in points]
    return found


def together(found: Sequence[Series]) -> Series:
    """Returns series of one length, of several databases, as one."""
    one, *others = found
    for other in others:
        for mine, theirs in zip(one.points, other.points, strict=False):
            for outcome, count in theirs.outcomes.items():
                mine.outcomes[outcome] = mine.outcomes.get(outcome, 0) + count
            mine.waits.merge(theirs.waits)
            mine.runs.merge(theirs.runs)
            mine.deployed += theirs.deployed
            if theirs.ready is not None:
                mine.ready = (mine.ready or 0) + theirs.ready
                mine.scheduled = (mine.scheduled or 0) + (theirs.scheduled or 0)
                mine.oldest_seconds = max(mine.oldest_seconds or 0.0, theirs.oldest_seconds or 0.0)
        one.is_cut = one.is_cut or other.is_cut
    return one


def moment(seconds: int) -> datetime:
    """Returns a moment in the form that USE_TZ asks for."""
    return as_django(datetime.fromtimestamp(seconds, timezone.utc))
