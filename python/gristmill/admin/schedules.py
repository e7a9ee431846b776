"""Schedules: when each is due in words, what became of its ticks, and running it now."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect

from gristmill import operations
from gristmill.admin import links
from gristmill.admin.log import write_down
from gristmill.admin.page import Page
from gristmill.exceptions import UnknownSchedule, UnknownTask
from gristmill.inspect.schedules import SHOWN, ScheduleSeen, missed, now_of, schedules_of, ticks_seen, upcoming
from gristmill.models import Schedule
from gristmill.tasks.aliases import gristmill_backends

#: What may be asked of a schedule, by the permission for it.
ACTIONS = {"run": "run_schedule", "pause": "pause_schedule", "resume": "pause_schedule"}


class SchedulePage(Page):
    """Every schedule, as the database has it or as code declares it."""

    view_permission = "view_schedule"

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Shows them."""
        self.require_read(request)
        found = [schedule for backend in gristmill_backends().values() for schedule in schedules_of(backend)]
        rows = [(one, links.url("schedules_change", f"{one.backend}/{one.name}")) for one in found]
        return self.show(request, "schedules.html", "Schedules", rows=rows, several=len(gristmill_backends()) > 1)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Shows one with its ticks; a POST runs, pauses or resumes it."""
        self.require(request, self.view_permission)
        schedule = found_schedule(unquote(object_id))
        if request.method == "POST":
            self.carry_out(request, schedule)
            return HttpResponseRedirect(request.get_full_path())
        backend = gristmill_backends()[schedule.backend]
        now = now_of(backend)
        ticks = ticks_seen(backend, schedule.row.ticks[:SHOWN]) if schedule.row is not None else []
        return self.show(
            request,
            "schedule.html",
            f"Schedule {schedule.name}",
            schedule=schedule,
            upcoming=upcoming(schedule, now),
            missed=missed(schedule, now),
            ticks=[(tick, links.of_job(tick.job_id) if tick.job_id else "") for tick in ticks],
            may_run=self.may(request, "run_schedule"),
            may_pause=self.may(request, "pause_schedule"),
        )

    def carry_out(self, request: HttpRequest, schedule: ScheduleSeen) -> None:
        """Does what is asked of a schedule."""
        action, reason = request.POST.get("action", ""), request.POST.get("reason", "").strip()
        self.require(request, ACTIONS.get(action, "run_schedule"))
        name, backend = schedule.name, schedule.backend
        try:
            if action == "run":
                done = f"Ran schedule {name}: job {operations.run_schedule(name, backend=backend).id}"
            elif action == "pause":
                operations.pause_schedule(name, reason=reason, backend=backend)
                done = f"Paused schedule {name}: {reason}"
            elif action == "resume":
                operations.resume_schedule(name, backend=backend)
                done = f"Resumed schedule {name}"
            else:
                messages.error(request, "Nothing was done: no action was chosen.")
                return
        except (TypeError, ValueError, UnknownSchedule, UnknownTask) as error:
            messages.error(request, f"Nothing was done: {error}.")
            return
        write_down(request, Schedule, f"{backend}/{name}", done)
        messages.success(request, f"{done}.")


def found_schedule(key: str) -> ScheduleSeen:
    """Returns the schedule that "backend/name" means; 404 where there is none."""
    alias, _, name = key.partition("/")
    backend = gristmill_backends().get(alias)
    for schedule in schedules_of(backend, name) if backend is not None and name else ():
        return schedule
    raise Http404(f"there is no schedule {key!r}")
