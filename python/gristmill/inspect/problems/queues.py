"""Queues: jobs that nobody would claim, queues that are paused, lines that are long or old."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from gristmill.inspect.problems.problem import Look, Problem
from gristmill.inspect.survey import CAP
from gristmill.inspect.tables import age, counted, printable
from gristmill.values.moments import seconds_between

#: A job that is first in its line for so long shows that workers do not keep up.
OLD = timedelta(minutes=5)


def unroutable(look: Look) -> Iterator[Problem]:
    """Names the tasks whose ready jobs no living worker would claim."""
    for lane in look.survey.unroutable:
        if lane.kind == "no worker":
            # That is told once for the alias.
            continue
        jobs = counted(lane.ready, lane.at_least, "ready job")
        yield Problem(
            lane.kind,
            "error",
            f"{jobs} of {printable(lane.task_name)} in queue {printable(lane.queue_name)} "
            f"{'waits' if lane.ready == 1 else 'wait'} for nobody: {lane.why}.",
            {"backend": lane.backend, "queue": lane.queue_name, "task": lane.task_name},
        )


def paused(look: Look) -> Iterator[Problem]:
    """Names the queues that are paused."""
    for queue in look.survey.queues:
        if queue.paused is None:
            continue
        more = "ready" in queue.at_least
        wait = (
            f"{counted(queue.ready, more)} {'waits' if queue.ready == 1 else 'wait'}" if queue.ready else "no job waits"
        )
        since = age(queue.paused_seconds_ago or 0.0)
        why = f": {printable(queue.paused)}" if queue.paused else ""
        yield Problem(
            "paused",
            "warning" if queue.ready else "note",
            f"Queue {printable(queue.queue_name)} has been paused for {since}, {wait}{why}.",
            {"backend": queue.backend, "queue": queue.queue_name},
        )


def backlog(look: Look) -> Iterator[Problem]:
    """Names the queues whose line is longer than is counted."""
    for queue in look.survey.queues:
        if queue.paused is None and queue.ready >= CAP and "ready" in queue.at_least:
            yield Problem(
                "backlog",
                "warning",
                f"More than {CAP:,} jobs are ready in queue {printable(queue.queue_name)}: start more workers, "
                "or see what floods it.",
                {"backend": queue.backend, "queue": queue.queue_name},
            )


def old(look: Look) -> Iterator[Problem]:
    """Names the queues in which the job that is claimed next has been due for long, though workers serve them."""
    stopped = {(queue.backend, queue.queue_name) for queue in look.survey.queues if queue.paused is not None}
    nobody = {(lane.backend, lane.queue_name, lane.task_name) for lane in look.survey.unroutable}
    worst: dict[tuple[str, str], float] = {}
    for lane in look.survey.lanes:
        key = (lane.backend, lane.queue_name)
        if lane.first_due_at is not None and key not in stopped and (*key, lane.task_name) not in nobody:
            worst[key] = max(seconds_between(lane.first_due_at, look.now), worst.get(key, 0.0))
    for (backend, queue_name), seconds in sorted(worst.items()):
        if seconds >= OLD.total_seconds():
            yield Problem(
                "old",
                "warning",
                f"What is next in queue {printable(queue_name)} has been due for {age(seconds)}: its workers do not "
                "keep up.",
                {"backend": backend, "queue": queue_name, "state": "ready"},
            )
