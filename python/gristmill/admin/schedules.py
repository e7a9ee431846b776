"""Schedules: when each is due in words, what became of its ticks; running it now, and making one's own."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect

from gristmill import operations
from gristmill.admin import links
from gristmill.admin.log import write_down
from gristmill.admin.page import Page
from gristmill.admin.schedule_form import ScheduleForm
from gristmill.exceptions import UnknownSchedule, UnknownTask
from gristmill.inspect.schedules import SHOWN, ScheduleSeen, missed, now_of, schedules_of, ticks_seen, upcoming
from gristmill.models import Schedule
from gristmill.tasks.aliases import gristmill_backends

#: What may be asked of a schedule, by the permission for it.
ACTIONS = {
    "run": "run_schedule",
    "pause": "pause_schedule",
    "resume": "pause_schedule",
    "remove": "define_schedule",
}


class SchedulePage(Page):
    """Every schedule, as the database has it or as code declares it."""

    view_permission = "view_schedule"

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Shows them."""
        self.require_read(request)
        found = [schedule for backend in gristmill_backends().values() for schedule in schedules_of(backend)]
        rows = [(one, links.url("schedules_change", f"{one.backend}/{one.name}")) for one in found]
        may_add = links.url("schedules_add") if self.may(request, "define_schedule") else ""
        several = len(gristmill_backends()) > 1
        return self.show(request, "schedules.html", "Schedules", rows=rows, several=several, add_url=may_add)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Makes one in the database, or with `?change=backend/name` changes one that was made there."""
        self.require(request, "define_schedule")
        changed = found_schedule(request.GET["change"]) if "change" in request.GET else None
        if changed is not None and not is_of_people(changed):
            raise PermissionDenied
        form = ScheduleForm(request.POST if request.method == "POST" else None, changed=changed)
        if form.is_valid() and (done := form.save()):
            write_down(request, Schedule, form.key, done)
            messages.success(request, f"{done}.")
            return HttpResponseRedirect(links.url("schedules_change", form.key))
        back = links.url("schedules_changelist")
        form_or_none = form if form.tasks else None
        title = "Make a schedule" if changed is None else f"Change schedule {changed.name}"
        return self.show(request, "schedule_form.html", title, form=form_or_none, schedule=changed, back=back)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Shows one with its ticks; a POST runs, pauses or resumes it."""
        self.require(request, self.view_permission)
        schedule = found_schedule(unquote(object_id))
        if request.method == "POST":
            is_gone = self.carry_out(request, schedule)
            there = links.url("schedules_changelist") if is_gone else request.get_full_path()
            return HttpResponseRedirect(there)
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
            may_define=self.may(request, "define_schedule") and is_of_people(schedule),
            change_url=links.url("schedules_add", change=f"{schedule.backend}/{schedule.name}"),
        )

    def carry_out(self, request: HttpRequest, schedule: ScheduleSeen) -> bool:
        """Does what is asked of a schedule; tells whether it is gone by that."""
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
            elif action == "remove":
                operations.remove_schedule(name, backend=backend)
                done = f"Removed schedule {name}"
            else:
                messages.error(request, "Nothing was done: no action was chosen.")
                return False
        except (TypeError, ValueError, UnknownSchedule, UnknownTask) as error:
            messages.error(request, f"Nothing was done: {error}.")
            return False
        write_down(request, Schedule, f"{backend}/{name}", done)
        messages.success(request, f"{done}.")
        return action == "remove"


def is_of_people(schedule: ScheduleSeen) -> bool:
    """Tells whether it was made in the database, and is there still: what code declares is changed in the code."""
    return schedule.origin == "database" and schedule.state != "removed"


def found_schedule(key: str) -> ScheduleSeen:
    """Returns the schedule that "backend/name" means; 404 where there is none."""
    alias, _, name = key.partition("/")
    backend = gristmill_backends().get(alias)
    for schedule in schedules_of(backend, name) if backend is not None and name else ():
        return schedule
    raise Http404(f"there is no schedule {key!r}")
