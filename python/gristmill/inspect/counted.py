"""What workers have counted, and how deep queues were, as rows: a query each, which reads a bounded number of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

#: Rows of one level that are read, the newest.
ROWS = 20_000
#: A minute as one worker appended it, a minute of all, an hour, a day; depths have no first one.
LEVELS = (0, 1, 2, 3)
#: Outcomes after which the job goes on.
GOES_ON = {"retried", "postponed", "interrupted", "conflict", "crashed", "lost", "incompatible"}
#: A moment as whole seconds since 1970, a moment that is given so, and the present.
CLOCKS = {
    "postgresql": ("extract(epoch from at)::bigint", "to_timestamp(%s)", "extract(epoch from clock_timestamp())"),
    "sqlite": (
        "cast(strftime('%%s', at) as integer)",
        "(datetime(%s, 'unixepoch') || '.000000')",
        "(julianday('now') - 2440587.5) * 86400.0",
    ),
}


def now_of(connection: BaseDatabaseWrapper) -> float:
    """Returns the database's present, in seconds since 1970."""
    with connection.cursor() as cursor:
        cursor.execute(f"select {CLOCKS[connection.vendor][2]}")
        ((now,),) = cursor.fetchall()
    return float(now)


def counted(
    connection: BaseDatabaseWrapper,
    backends: Collection[str],
    since: float,
    until: float,
    queue: str | None,
    task: str | None,
) -> list[tuple[int, str, int, str, str, str]]:
    """Returns the rows of the pulse: when, the outcome, how many, the buckets, and the version."""
    seconds, given, _ = CLOCKS[connection.vendor]
    also, values = narrowed(backends, queue, task)
    level = (
        f"select * from (select {seconds} as second, outcome, attempts, coalesce(waits, '') as waits, "
        f"coalesce(runs, '') as runs, version from gristmill_pulse where level = %s and at >= {given} and at < {given} "
        f"and {also} order by at desc limit %s) as level_%s"
    )
    return asked(connection, level, LEVELS, since, until, values)


def counted_by_queue(
    connection: BaseDatabaseWrapper, backends: Collection[str], since: float, until: float
) -> list[tuple[str, str, int, int]]:
    """Returns in how many minutes jobs of each (backend, queue) ended, and how many did; of the newest rows alone."""
    _, given, _ = CLOCKS[connection.vendor]
    also, values = narrowed(backends, None, None)
    level = (
        f"select * from (select backend, queue_name, at, attempts from gristmill_pulse "
        f"where level = %s and at >= {given} and at < {given} and {also} "
        f"and outcome not in ({', '.join(['%s'] * len(GOES_ON))}) order by at desc limit %s) as level_%s"
    )
    rows = asked(connection, level, (0, 1), since, until, [*values, *sorted(GOES_ON)])
    minutes: dict[tuple[str, str], set[Any]] = {}
    ended: dict[tuple[str, str], int] = {}
    for backend, queue_name, at, attempts in rows:
        minutes.setdefault((backend, queue_name), set()).add(at)
        ended[backend, queue_name] = ended.get((backend, queue_name), 0) + int(attempts)
    return [(*key, len(minutes[key]), ended[key]) for key in sorted(ended)]


def depths(
    connection: BaseDatabaseWrapper,
    backends: Collection[str],
    since: float,
    until: float,
    queue: str | None = None,
) -> list[tuple[int, str, str, int, int, float]]:
    """Returns how deep queues were: when, which queue, ready, scheduled, and for how long the oldest had been due."""
    seconds, given, _ = CLOCKS[connection.vendor]
    also, values = narrowed(backends, queue, None)
    level = (
        f"select * from (select {seconds} as second, backend, queue_name, ready, scheduled, oldest_seconds "
        f"from gristmill_depth where level = %s and at >= {given} and at < {given} "
        f"and {also} order by at desc limit %s) as level_%s"
    )
    return asked(connection, level, LEVELS[1:], since, until, values)


def narrowed(backends: Collection[str], queue: str | None, task: str | None) -> tuple[str, list[str]]:
    """Returns the conditions on what was counted, and their values."""
    terms, values = [f"backend in ({', '.join(['%s'] * len(backends)) or 'null'})"], [*backends]
    for column, value in (("queue_name", queue), ("task_name", task)):
        if value is not None:
            terms.append(f"{column} = %s")
            values.append(value)
    return " and ".join(terms), values


def asked(
    connection: BaseDatabaseWrapper,
    level: str,
    levels: Iterable[int],
    since: float,
    until: float,
    values: list[str],
) -> list[tuple[Any, ...]]:
    """Asks for all levels in one query, the newest rows of each."""
    binds: list[str | float] = []
    parts = []
    for number in levels:
        parts.append(level.replace("level_%s", f"level_{number}"))
        binds += [number, since, until, *values, ROWS]
    with connection.cursor() as cursor:
        cursor.execute(" union all ".join(parts), binds)
        return list(cursor.fetchall())
