"""Workers: those that live, what they run, how the last ones ended; and asking one to be quiet or to stop."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db import DatabaseError
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from gristmill import operations
from gristmill.admin import links
from gristmill.admin.log import actor, write_down
from gristmill.admin.page import Page
from gristmill.inspect.surveys import seen_workers
from gristmill.inspect.workers import WorkerSeen
from gristmill.models import RunningRow, Worker
from gristmill.tasks.aliases import gristmill_backends

#: Ended workers, and running jobs of all workers, that are shown.
ENDED, RUNNING = 10, 200
#: What may be asked of a worker, and how that is told.
ACTIONS = {
    "quiet": (operations.quiet_worker, "Asked worker {} to be quiet"),
    "resume": (operations.resume_worker, "Asked worker {} to claim again"),
    "stop": (operations.stop_worker, "Asked worker {} to stop"),
}


class WorkerPage(Page):
    """The living ones first, each with what it runs."""

    view_permission = "view_worker"

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Shows them; a POST asks something of one."""
        self.require(request, self.view_permission)
        if request.method not in ("GET", "HEAD"):
            self.require(request, "stop_worker")
            self.carry_out(request)
            return HttpResponseRedirect(request.get_full_path())
        workers = list(seen_workers())
        running = running_of(workers)
        return self.show(
            request,
            "workers.html",
            "Workers",
            workers=[(worker, running.get(worker.id, [])) for worker in workers],
            ended=ended(),
            several=len(gristmill_backends()) > 1,
            may_stop=self.may(request, "stop_worker"),
        )

    def carry_out(self, request: HttpRequest) -> None:
        """Asks the worker that is named what is asked for."""
        worker_id, action = request.POST.get("worker", ""), request.POST.get("action", "")
        if action not in ACTIONS:
            messages.error(request, "Nothing was done: no action was chosen.")
            return
        ask, told = ACTIONS[action]
        try:
            answer = ask(worker_id, actor=actor(request))
        except ValueError as error:
            messages.error(request, f"Nothing was done: {error}.")
            return
        if not answer:
            messages.error(request, f"Nothing was done: {', '.join(answer.refused)}.")
            return
        done = told.format(worker_id)
        write_down(request, Worker, worker_id, done)
        messages.success(request, f"{done}. It hears of that with its next heartbeat.")


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
