"""How late a schedule's ticks are found, and its jobs started, while the worker has a thousand other jobs a second."""

from __future__ import annotations

import threading
import time
from typing import Any

from django.db import connections

from gristmill import operations
from gristmill.compat import task_backends
from gristmill.models import Schedule, Tick

from . import tasks
from .ranks import percentile
from .worker import Track, worker

#: Other jobs a second, and in one go.
RATE = 1_000
AT_ONCE = 50
#: Its own schedule's name.
NAME = "gristmill bench"
#: Seconds until a worker that has just started has ticked.
PATIENCE = 30
BY_SCHEDULE = -9


def schedules(track: Track, *, backend: str, processes: int, jobs: int) -> dict[str, float]:
    """
    Milliseconds from the nominal instant of a schedule that ticks each second, for `jobs` seconds.

    found: to the transaction that records the tick with its job, by the database's clock. started: to the job's first
    instruction. Beside it 1,000 jobs a second are enqueued, in bulks of 50.
    """
    database = task_backends[backend].database  # type: ignore[attr-defined]
    ours = Schedule.objects.using(database).filter(backend=backend)
    if ours.exclude(name=NAME).exists():
        # A worker of the benchmark's knows none of them, and would take them for removed.
        raise RuntimeError(f"backend '{backend}' has schedules of its own; measure on a database without any")
    ticks = Tick.objects.using(database).filter(backend=backend, schedule=NAME, skipped=None)
    stop = threading.Event()
    load = threading.Thread(target=enqueue_steadily, args=(backend, stop))
    try:
        with worker(track, backend=backend, processes=processes, schedules=True):
            operations.define_schedule(
                NAME, tasks.noop.using(backend=backend), cron="* * * * * *", args=[BY_SCHEDULE], backend=backend
            )
            wait_for(ticks, 1)
            load.start()
            first = wait_for(ticks, ticks.count() + 2)
            last = wait_for(ticks, first + jobs)
            stop.set()
        found = sorted(
            (tick.found_at - tick.nominal).total_seconds() * 1e3 for tick in ticks.order_by("nominal")[first:last]
        )
        ran = tasks.read(track.path)
    finally:
        stop.set()
        if load.ident:
            load.join()
        operations.remove_schedule(NAME, backend=backend)
    others = [moment for number, moment in ran if number != BY_SCHEDULE]
    started = sorted(late(moment) for number, moment in ran if number == BY_SCHEDULE)[: len(found)]
    return {
        "other jobs, /s": (len(others) - 1) / max((others[-1] - others[0]) / 1e9, 1e-9),
        **{f"ticks found late by, p{rank}, ms": percentile(found, rank) for rank in (50, 99, 100)},
        **{f"ticks' jobs started late by, p{rank}, ms": percentile(started, rank) for rank in (50, 99, 100)},
    }


def enqueue_steadily(backend: str, stop: threading.Event) -> None:
    """Enqueues RATE jobs a second until it is told to stop; one bulk late is made up for by the next."""
    task: Any = tasks.noop.using(backend=backend)
    begun, number = time.monotonic(), 0
    try:
        while not stop.wait(max(0.0, begun + number / RATE - time.monotonic())):
            task.enqueue_many((each,) for each in range(number, number + AT_ONCE))
            number += AT_ONCE
    finally:
        connections.close_all()


def wait_for(ticks: Any, count: int) -> int:
    """Waits until there are so many ticks, and returns how many there are."""
    seen, since = -1, time.monotonic()
    while (there := ticks.count()) < count:
        if there != seen:
            seen, since = there, time.monotonic()
        if time.monotonic() - since > PATIENCE:
            raise TimeoutError(f"{there} of {count} ticks, then none for {PATIENCE} s")
        time.sleep(0.2)
    return int(there)


def late(moment: int) -> float:
    """Milliseconds since the last whole second, by the wall clock, of an instant of the monotonic one."""
    wall = moment + time.time_ns() - time.monotonic_ns()
    return wall % 1_000_000_000 / 1e6
