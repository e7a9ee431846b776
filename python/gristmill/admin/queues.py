"""Queues: how much is in each state, and pausing with a reason."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.safestring import SafeString

from gristmill import operations
from gristmill.admin import links
from gristmill.admin.curves import HOUR, picture
from gristmill.admin.log import write_down
from gristmill.admin.page import Page
from gristmill.inspect.pulse import backlogs
from gristmill.inspect.survey import QueueSeen
from gristmill.inspect.surveys import each_database, seen_queues
from gristmill.models import Queue
from gristmill.tasks.aliases import gristmill_backends

#: The states that a queue's row counts, in the order of a job's life.
COUNTED = (
    "ready",
    "scheduled",
    "retrying",
    "waiting",
    "stranded",
    "held",
    "running",
    "successful",
    "failed",
    "cancelled",
)
#: Those that have a column also where all of them are zero.
ALWAYS = {"ready", "scheduled", "running", "successful", "failed"}
#: Counts that are no state of a job, by the state that lists them.
LISTED = {"retrying": "scheduled"}


class QueuePage(Page):
    """Every queue that has jobs, that settings name, or that is paused."""

    view_permission = "view_queue"

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Shows them; a POST pauses or resumes one."""
        self.require(request, self.view_permission)
        if request.method == "POST":
            self.carry_out(request)
            return HttpResponseRedirect(request.get_full_path())
        queues = sorted(seen_queues(), key=lambda queue: (queue.backend, queue.queue_name))
        counted = [state for state in COUNTED if state in ALWAYS or any(getattr(queue, state) for queue in queues)]
        ready = ready_in_the_last_hour()
        return self.show(
            request,
            "queues.html",
            "Queues",
            counted=counted,
            rows=[(queue, cells(queue, counted), ready.get((queue.backend, queue.queue_name), "")) for queue in queues],
            has_curves=bool(ready),
            several=len(gristmill_backends()) > 1,
            may_pause=self.may(request, "pause_queue"),
        )

    def carry_out(self, request: HttpRequest) -> None:
        """Pauses or resumes the queue that is named."""
        self.require(request, "pause_queue")
        backend, queue_name = request.POST.get("backend", ""), request.POST.get("queue", "")
        reason = request.POST.get("reason", "").strip()
        try:
            if request.POST.get("action") == "pause":
                operations.pause_queue(queue_name, reason=reason, backend=backend)
                done = f"Paused queue {queue_name}: {reason}"
            else:
                operations.resume_queue(queue_name, backend=backend)
                done = f"Resumed queue {queue_name}"
        except ValueError as error:
            messages.error(request, f"Nothing was done: {error}.")
            return
        write_down(request, Queue, f"{backend}/{queue_name}", done)
        messages.success(request, f"{done}.")


def ready_in_the_last_hour() -> dict[tuple[str, str], SafeString]:
    """Returns a curve for each (backend, queue) that had jobs ready within the last hour; one query a database."""
    found = {}
    for connection, aliases in each_database():
        for key, values in backlogs(connection, aliases, HOUR).items():
            labels = [
                f"{said_ago(len(values) - 1 - index)}: {'unknown' if value is None else f'{value:,}'}"
                for index, value in enumerate(values)
            ]
            found[key] = picture(values, labels, f"Ready in {key[1]}, last hour")
    return found


def said_ago(minutes: int) -> str:
    """Says which minute it was."""
    return f"{minutes} min ago" if minutes else "now"


def cells(queue: QueueSeen, counted: list[str]) -> list[tuple[str, int, bool, str]]:
    """Returns a queue's counts: the state, how many, whether there are more, and where they are listed."""
    return [
        (
            state,
            getattr(queue, state),
            state in queue.at_least,
            links.of_jobs(state=LISTED.get(state, state), queue=queue.queue_name),
        )
        for state in counted
    ]
