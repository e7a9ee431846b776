"""What it costs that jobs wait for jobs: chains, fans, and failure that spreads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db import connections

from gristmill import operations
from gristmill.compat import task_backends
from gristmill.enqueue.graphs import Graph

from . import tasks
from .worker import Track, worker

#: How often the longest wait for the database's lock and the supervisor's memory are looked at, in seconds.
LOOK_EVERY = 0.02
#: Seconds in which failure has to have spread.
PATIENCE = 600


def goals(track: Track, *, backend: str, processes: int, jobs: int) -> dict[str, float]:
    """
    A chain of a thousand, a fan out and in again of `jobs` and of a tenth, and failure through a chain of `jobs`.

    chain: seconds from the first body to the last. fan: edges a second from the first body to the last, and the
    supervisor's greatest resident memory. deep: seconds until a failed first job has stranded all others, until its
    retry has healed them, and milliseconds that the longest transaction of another session waited meanwhile.
    """
    found = chain(track, backend=backend, processes=processes, jobs=1_000)
    memory = {}
    for width in (max(jobs // 10, 1), jobs):
        track.clear()
        found |= fan(track, backend=backend, processes=processes, jobs=width)
        memory[width] = found.pop("memory")
    found["supervisor's memory at a tenth of the fan, MB"] = min(memory.values())
    found["supervisor's memory at the whole fan, MB"] = memory[jobs]
    track.clear()
    return found | deep(track, backend=backend, processes=processes, jobs=jobs)


def chain(track: Track, *, backend: str, processes: int, jobs: int) -> dict[str, float]:
    """Seconds from the first body of a chain to the last."""
    graph, task = Graph(), noop(backend)
    before = None
    for number in range(jobs):
        before = graph.add(task, number, after=before)
    graph.enqueue()
    with worker(track, backend=backend, processes=processes):
        ran = track.wait_for(jobs)
    assert [number for number, _ in ran] == list(range(jobs)), "a chain ran out of order"
    return {f"chain of {jobs:,}, s": (ran[-1][1] - ran[0][1]) / 1e9}


def fan(track: Track, *, backend: str, processes: int, jobs: int) -> dict[str, float]:
    """Edges a second of a fan of `jobs` out of one job and into another, from the first body to the last."""
    graph, task = Graph(), noop(backend)
    first = graph.add(task, -1)
    middle = [graph.add(task, number, after=first) for number in range(jobs)]
    graph.add(task, -2, after=middle)
    asked = time.perf_counter()
    graph.enqueue()
    enqueued = time.perf_counter() - asked
    with worker(track, backend=backend, processes=processes) as process, peak_memory(process.pid) as peak:
        ran = track.wait_for(jobs + 2)
    assert (ran[0][0], ran[-1][0]) == (-1, -2), "a fan ran out of order"
    seconds = (ran[-1][1] - ran[0][1]) / 1e9
    return {
        f"fan of {jobs:,}, s": seconds,
        f"fan of {jobs:,}, edges/s": 2 * jobs / seconds,
        f"fan of {jobs:,}, s to enqueue": enqueued,
        "memory": peak[0],
    }


def wide(track: Track, *, backend: str, processes: int, jobs: int) -> dict[str, float]:
    """A job that waits for `jobs` others, which are enqueued before it in bulk: everything is resolved one by one."""
    task = noop(backend)
    asked = time.perf_counter()
    middle = task.enqueue_many((number,) for number in range(jobs))
    task.using(after=middle.ids).enqueue(-2)
    enqueued = time.perf_counter() - asked
    with worker(track, backend=backend, processes=processes) as process, peak_memory(process.pid) as peak:
        ran = track.wait_for(jobs + 1)
    assert ran[-1][0] == -2, "a fan ran out of order"
    return {
        f"fan-in of {jobs:,}, s to enqueue": enqueued,
        f"fan-in of {jobs:,}, s": (ran[-1][1] - ran[0][1]) / 1e9,
        f"fan-in of {jobs:,}, supervisor's memory, MB": peak[0],
    }


def deep(track: Track, *, backend: str, processes: int, jobs: int) -> dict[str, float]:
    """Seconds until a cancelled first job has stranded a chain of `jobs`, and until its retry has healed them."""
    graph, task = Graph(), noop(backend)
    # Held, so that none of the chain runs while it heals.
    before = first = graph.add(task.using(hold=True), 0)
    for number in range(1, jobs):
        before = graph.add(task, number, after=before)
    results = graph.enqueue()
    root = results[first]
    found = {}
    with worker(track, backend=backend, processes=processes), longest_wait(backend) as longest:
        operations.cancel(root)
        found[f"deep: s to strand {jobs:,}"] = until(backend, stranded=jobs - 1)
        with held_back(backend):
            operations.retry(root)
            found[f"deep: s to heal {jobs:,}"] = until(backend, stranded=0)
        found["deep: longest wait of another writer, ms"] = longest[0] * 1e3
    return found


def noop(backend: str) -> Any:
    """Returns the benchmark's task, for this alias."""
    return tasks.noop.using(backend=backend)


@contextmanager
def held_back(backend: str) -> Iterator[None]:
    """Pauses the benchmark's queue."""
    operations.pause_queue(tasks.noop.queue_name, reason="the benchmark heals", backend=backend)
    try:
        yield
    finally:
        operations.resume_queue(tasks.noop.queue_name, backend=backend)


def until(backend: str, *, stranded: int) -> float:
    """Waits until so many jobs are stranded, and returns how many seconds that took."""
    before = time.perf_counter()
    connection = _connection(backend)
    flag = "stranded" if connection.vendor == "sqlite" else "stranded = true"
    while True:
        with connection.cursor() as cursor:
            cursor.execute(f"select count(*) from gristmill_waiting where {flag}")
            ((count,),) = cursor.fetchall()
        took = time.perf_counter() - before
        if count == stranded:
            return took
        if took > PATIENCE:
            raise TimeoutError(f"{count} jobs are stranded after {PATIENCE} s, and not {stranded}")
        time.sleep(0.1)


@contextmanager
def peak_memory(pid: int) -> Iterator[list[float]]:
    """Notes the greatest resident memory of a process in megabytes (10⁶ bytes), as the kernel keeps it."""
    peak = [0.0]
    try:
        yield peak
    finally:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                peak[0] = int(line.split()[1]) * 1024 / 1e6


@contextmanager
def longest_wait(backend: str) -> Iterator[list[float]]:
    """Writes a row of no importance now and then, and notes the longest time that this took, in seconds."""
    longest, stop = [0.0], threading.Event()

    def write() -> None:
        # A thread has a connection of its own.
        connection = _connection(backend)
        try:
            while not stop.wait(LOOK_EVERY):
                before = time.perf_counter()
                with connection.cursor() as cursor:
                    cursor.execute("update gristmill_schema set name = name")
                longest[0] = max(longest[0], time.perf_counter() - before)
        finally:
            connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield longest
    finally:
        stop.set()
        writer.join()


def _connection(backend: str) -> Any:
    return connections[task_backends[backend].database]  # type: ignore[attr-defined]
