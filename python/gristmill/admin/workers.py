"""Workers: those that live, what they run, and how the last ones ended."""

from __future__ import annotations

from typing import Any

from django.db import DatabaseError
from django.db.models import Q
from django.http import HttpRequest, HttpResponse

from gristmill.admin import links
from gristmill.admin.page import Page
from gristmill.inspect.survey import WorkerSeen
from gristmill.inspect.surveys import seen_workers
from gristmill.models import RunningRow, Worker
from gristmill.tasks.aliases import gristmill_backends

#: Ended workers, and running jobs of all workers, that are shown.
ENDED, RUNNING = 10, 200


class WorkerPage(Page):
    """The living ones first, each with what it runs."""

    view_permission = "view_worker"

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Shows them."""
        self.require_read(request)
        workers = list(seen_workers())
        running = running_of(workers)
        return self.show(
            request,
            "workers.html",
            "Workers",
            workers=[(worker, running.get(worker.id, [])) for worker in workers],
            ended=ended(),
            several=len(gristmill_backends()) > 1,
        )


def running_of(workers: list[WorkerSeen]) -> dict[str, list[tuple[RunningRow, str]]]:
    """Returns what workers run, the longest first, by worker."""
    found: dict[str, list[tuple[RunningRow, str]]] = {}
    ids = [worker.id for worker in workers]
    for database in {backend.database for backend in gristmill_backends().values()}:
        rows = RunningRow.objects.using(database).filter(worker_id__in=ids).order_by("claimed_at")
        for row in rows[:RUNNING] if ids else ():
            found.setdefault(row.worker_id.hex, []).append((row, links.of_job(row.id.hex)))
    return found


def ended() -> list[Worker]:
    """Returns the workers that ended last."""
    found: list[Worker] = []
    for database in {backend.database for backend in gristmill_backends().values()}:
        over = Worker.objects.using(database).filter(Q(stopped_at__isnull=False) | Q(lost_at__isnull=False))
        try:
            found += over.order_by("-started_at")[:ENDED]
        except DatabaseError:
            continue
    return sorted(found, key=lambda worker: worker.started_at, reverse=True)[:ENDED]
