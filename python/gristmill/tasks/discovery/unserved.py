"""Why the ready jobs of a lane are claimed by nobody: a kind for programs, a sentence for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gristmill.tasks.aliases import gristmill_backends, worker_command
from gristmill.tasks.discovery.causes import why_unknown

if TYPE_CHECKING:
    from gristmill.inspect.survey import WorkerSeen


class Cause(NamedTuple):
    """What keeps them."""

    kind: str
    sentence: str


def cause_of(backend: str, queue_name: str, task_name: str, workers: list[WorkerSeen]) -> Cause:
    """Says what keeps jobs that none of these workers, as far as they are alive, would claim."""
    alive = [worker for worker in workers if worker.state != "silent" and worker.backend == backend]
    if not any(task_name in worker.tasks for worker in alive):
        if (why := why_unknown(task_name)) is not None:
            return Cause("unknown task", why)
        if alive:
            return Cause("old code", "the workers that run started with code that does not have it; start them anew")
    served = gristmill_backends().get(backend)
    if served is not None and served.queues and queue_name not in served.queues:
        return Cause("unknown queue", f"QUEUES of backend {backend!r} does not name queue {queue_name!r}")
    if not alive:
        return Cause("no worker", f"start one with {worker_command(backend)}")
    return Cause("other queues", f"no running worker serves queue {queue_name!r}")
