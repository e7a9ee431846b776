"""Why the ready jobs of a lane are claimed by nobody: a kind for programs, a sentence for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gristmill.tasks.aliases import gristmill_backends, worker_command
from gristmill.tasks.discovery.causes import why_unknown

if TYPE_CHECKING:
    from gristmill.inspect.workers import WorkerSeen


class Cause(NamedTuple):
    """What keeps them."""

    kind: str
    sentence: str


def cause_of(backend: str, queue_name: str, task_name: str, workers: list[WorkerSeen]) -> Cause:
    """Says what keeps jobs that none of these workers, as far as they are alive, would claim."""
    alive = [worker for worker in workers if worker.state != "silent" and worker.backend == backend]
    asked = [worker for worker in alive if worker.could_serve(queue_name, task_name)]
    if asked:
        return Cause("only quiet", why_quiet(asked))
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


def why_quiet(workers: list[WorkerSeen]) -> str:
    """Says that all who could run it were asked to claim nothing, and what to do about that."""
    quiet = [worker for worker in workers if worker.asked == "quiet"]
    who = "the only worker" if len(workers) == 1 else f"each of the {len(workers):,} workers"
    if quiet:
        return (
            f"{who} that serves it was asked to claim nothing; take that back with "
            f"manage.py gristmill workers resume {quiet[0].id[-8:]}, or start another"
        )
    return f"{who} that serves it was asked to stop; start another with {worker_command(workers[0].backend)}"
