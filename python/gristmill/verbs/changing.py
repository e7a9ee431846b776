"""What becomes of jobs that have not started: another priority, another queue, by the rules of an enqueue."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from gristmill.tasks.aliases import gristmill_backends

#: Those that Django's tasks may have, and the tables.
LEAST_PRIORITY, MOST_PRIORITY = -100, 100


@dataclass(frozen=True)
class Change:
    """
    What jobs get; None leaves it as each of them has it.

    Raises ValueError for a priority that no task may have, for a queue that none of TASKS has, and where nothing is to
    change.
    """

    priority: int | None = None
    queue_name: str | None = None

    def __post_init__(self) -> None:
        priority, queue_name = self.priority, self.queue_name
        if priority is None and queue_name is None:
            raise ValueError("a change needs a priority, a queue_name, or both")
        if priority is not None and not (isinstance(priority, int) and LEAST_PRIORITY <= priority <= MOST_PRIORITY):
            raise ValueError(
                f"priority must be a whole number from {LEAST_PRIORITY} to {MOST_PRIORITY}; got {priority!r}"
            )
        if queue_name is None:
            return
        if not isinstance(queue_name, str) or not queue_name or "\0" in queue_name:
            raise ValueError(f"queue_name must be the name of a queue; got {queue_name!r}")
        backends = gristmill_backends().values()
        if not any(not backend.queues or queue_name in backend.queues for backend in backends):
            known = ", ".join(sorted({repr(name) for backend in backends for name in backend.queues}))
            raise ValueError(f"no backend of TASKS has a queue {queue_name!r}; the QUEUES are {known}")

    def binds(self, database: str) -> list[Any]:
        """Returns what `change.sql` is given of it: only backends that have the queue let their jobs go there."""
        able = None
        if self.queue_name is not None:
            able = json.dumps(
                [
                    alias
                    for alias, backend in gristmill_backends().items()
                    if backend.database == database and (not backend.queues or self.queue_name in backend.queues)
                ]
            )
        return [self.priority, self.queue_name, able]


__all__ = ["Change"]
