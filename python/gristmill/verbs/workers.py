"""How workers are asked to be quiet, to claim again, or to stop: their next heartbeats read what is written here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

from gristmill.database.statements import carry_out
from gristmill.database.transactions import read_committed
from gristmill.tasks.aliases import gristmill_backends
from gristmill.values.ids import parse_id
from gristmill.verbs.batched import now_bind, words

if TYPE_CHECKING:
    from gristmill.models import Worker

    AnyWorker: TypeAlias = Worker | UUID | str

#: What is written for each verb.
ASKED = {"quiet": "quiet", "resume": None, "stop": "stop"}
#: What became of it.
DONE = {"quiet": "asked", "resume": "resumed", "stop": "asked"}


def ask_workers(
    verb: str, workers: AnyWorker | Iterable[AnyWorker], actor: str, using: str | None = None
) -> dict[str, str]:
    """Asks workers, each in a transaction of its own, and returns what became of each, by id."""
    actor = words(actor, "actor") or ""
    return {worker.hex: _ask(verb, worker, actor, using) for worker in dict.fromkeys(_ids(workers))}


def _ids(workers: AnyWorker | Iterable[AnyWorker]) -> list[UUID]:
    from gristmill.models import Worker

    found = []
    for worker in [workers] if isinstance(workers, (Worker, UUID, str)) else workers:
        worker_id = worker.pk if isinstance(worker, Worker) else parse_id(worker)
        if worker_id is None:
            raise ValueError(f"{worker!r} is not the id of a worker")
        found.append(worker_id)
    return found


def _ask(verb: str, worker: UUID, actor: str, using: str | None) -> str:
    databases = [using] if using else list(dict.fromkeys(one.database for one in gristmill_backends().values()))
    for database in databases:
        with read_committed(database) as connection:
            if carry_out(connection, "ask_worker", [worker.hex, ASKED[verb], actor, now_bind(database)]):
                return DONE[verb]
    return f"refused: {_why_not(worker, databases)}"


def _why_not(worker: UUID, databases: list[str]) -> str:
    from gristmill.models import Worker

    for database in databases:
        row = Worker.objects.using(database).filter(pk=worker).first()
        if row is not None and row.stopped_at is not None:
            return "it has stopped"
        if row is not None and row.lost_at is not None:
            return "it was lost"
        if row is not None:
            return "it was asked to stop, which nobody takes back" if row.asked == "stop" else "it was not quiet"
    return "there is no such worker"
