"""Whether a worker that is started anew is as fast as the first one was, whatever ANALYZE has seen meanwhile."""

from __future__ import annotations

from django.db import connections

from gristmill.compat import task_backends

from . import rows
from .line import enqueue_many, rate
from .worker import Track, worker

RESTARTS = 2


def restart(track: Track, *, backend: str, processes: int, jobs: int, ready: int = 0) -> dict[str, float]:
    """
    Jobs a second of a worker on fresh tables, and as a part of that the rate of two that are started anew after it.

    ANALYZE runs before each of them, when all is done: it sees pages without a row, as autovacuum does in any queue
    that is in use. With `ready`, so many jobs are in line besides when they start. A plan that went by what statistics
    say would show here: at least 0.95 is wanted, and 0.9 with five million in line.
    """
    first = drained(track, backend=backend, processes=processes, jobs=jobs)
    figures = {"fresh, jobs/s": first}
    if ready:
        rows.fill(backend, "ready", ready)
    for number in range(1, RESTARTS + 1):
        analyse(backend)
        again = drained(track, backend=backend, processes=processes, jobs=jobs, ahead=bool(ready))
        beside = f" beside {ready:,} ready" if ready else ""
        figures[f"restart {number}{beside}, jobs/s"] = again
        figures[f"restart {number}{beside}, of the fresh rate"] = again / first
    return figures


def drained(track: Track, *, backend: str, processes: int, jobs: int, ahead: bool = False) -> float:
    """Bodies a second of a worker that is started for them; those in line already where they are `ahead`."""
    track.clear()
    if not ahead:
        enqueue_many(backend, jobs)
    with worker(track, backend=backend, processes=processes):
        return rate(track.wait_for(jobs)[:jobs])


def analyse(backend: str) -> None:
    """Has the database look at Gristmill's tables as they are now."""
    connection = connections[task_backends[backend].database]  # type: ignore[attr-defined]
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            if table.startswith("gristmill_"):
                cursor.execute(f"analyze {connection.ops.quote_name(table)}")
