"""The first page: whether anything is wrong, then what each queue is doing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.http import HttpRequest, HttpResponse

from gristmill.admin import links
from gristmill.admin.curves import last_hour, overview_curves
from gristmill.admin.page import Page
from gristmill.inspect.problems.problem import LEVELS
from gristmill.inspect.survey import together
from gristmill.inspect.surveys import surveys
from gristmill.models import Schedule
from gristmill.tasks.aliases import gristmill_backends

#: Ticks that are shown ahead.
NEXT_TICKS = 5


class OverviewPage(Page):
    """Problems first, each a sentence with a link; a green line where there is none."""

    view_permission = "view_overview"

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Shows it."""
        self.require_read(request)
        looks = list(surveys())
        found = [problem for _, problems in looks for problem in problems]
        found.sort(key=lambda problem: LEVELS.index(problem.level))
        seen = together([survey for survey, _ in looks])
        hour = last_hour()
        return self.show(
            request,
            "overview.html",
            "Gristmill",
            problems=[(problem, links.of(problem.about)) for problem in found],
            survey=seen,
            curves=overview_curves(hour) if hour else [],
            several=len(gristmill_backends()) > 1,
            queues=[(queue, links.of_jobs(queue=queue.queue_name)) for queue in seen.queues],
            failures=[(failure, links.of_job(failure.id)) for failure in seen.failures],
            ticks=next_ticks(seen.schedules),
            working=[worker for worker in seen.workers if worker.state != "silent"],
        )


def next_ticks(schedules: Iterable[Schedule]) -> list[tuple[Schedule, str]]:
    """Returns the schedules that tick next."""
    found = [row for row in schedules if row.state == "active" and row.next_at is not None]
    found.sort(key=lambda schedule: (schedule.next_at, schedule.name))
    return [(row, links.url("schedules_change", f"{row.backend}/{row.name}")) for row in found[:NEXT_TICKS]]
