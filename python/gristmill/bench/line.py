"""Puts jobs in line, and says how fast they ran."""

from typing import Any

from . import tasks


def enqueue_many(backend: str, jobs: int) -> None:
    """Puts jobs 0..jobs in line in bulk."""
    task: Any = tasks.noop.using(backend=backend)
    task.enqueue_many((number,) for number in range(jobs))


def rate(ran: list[tuple[int, int]]) -> float:
    """Bodies a second from the first to the last."""
    times = sorted(moment for _, moment in ran)
    return (len(times) - 1) / max((times[-1] - times[0]) / 1e9, 1e-9)
