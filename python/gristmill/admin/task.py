"""One task: how long its jobs waited and ran within a day or a week, how they ended, and what failed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib.admin.utils import unquote
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.urls import path

from gristmill.admin import links
from gristmill.admin.curves import MOST, Curve, curve, seconds
from gristmill.admin.page import Page
from gristmill.inspect.failures import failures_of
from gristmill.inspect.pulse import Series, newest, together
from gristmill.inspect.slowest import SHOWN, slowest
from gristmill.inspect.surveys import each_database

if TYPE_CHECKING:
    from django.urls import URLPattern

#: How far back a page may look: its name in the address, and in words.
LENGTHS = {"24h": ("24 hours", timedelta(days=1)), "7d": ("7 days", timedelta(days=7))}
#: Failure groups that are shown.
GROUPS = 10


class TaskPage(Page):
    """The page of one task, beside the list of jobs. There may be no code of it any more."""

    view_permission = "view_job"

    def get_urls(self) -> list[URLPattern]:
        """Adds its address."""
        view = self.admin_site.admin_view(self.task_view)
        return [path("task/<path:name>/", view, name="gristmill_job_task"), *super().get_urls()]

    def task_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """Shows it."""
        self.require_read(request)
        name = unquote(name)
        asked = request.GET.get("last", "")
        asked = asked if asked in LENGTHS else "24h"
        counted, groups, slow = [], [], []
        for connection, aliases in each_database():
            try:
                counted.append(newest(connection, aliases, LENGTHS[asked][1], task=name))
                groups += [group for group in failures_of(connection).groups if group.task_name == name]
                slow += slowest(connection, name)
            except DatabaseError:
                # The overview says so.
                continue
        series = together(counted) if counted else None
        return self.show(
            request,
            "task.html",
            name or "Other tasks",
            name=name,
            asked=asked,
            words=LENGTHS[asked][0],
            lengths=[(key, words) for key, (words, _) in LENGTHS.items()],
            curves=task_curves(series) if series else [],
            outcomes=series.outcomes() if series else {},
            times=times(series) if series else [],
            is_cut=bool(series and series.is_cut),
            groups=[(one, links.of_job(one.sample_id), links.url("job_changelist", q=one.search)) for one in groups][
                :GROUPS
            ],
            slow=[(one, links.of_job(one.id)) for one in sorted(slow, key=lambda one: -one.seconds)[:SHOWN]],
            jobs_url=links.of_jobs(task=name) if name else "",
        )


def task_curves(series: Series) -> list[Curve]:
    """Returns the curves of a task's page."""
    failed = sum(point.failed for point in series.points)
    waits, runs = series.whole("waits").percentile(MOST), series.whole("runs").percentile(MOST)
    return [
        curve("Run, 95 of 100 below", seconds(runs), series, lambda point: point.runs.percentile(MOST), said=seconds),
        curve(
            "Wait, 95 of 100 below", seconds(waits), series, lambda point: point.waits.percentile(MOST), said=seconds
        ),
        curve("Started", f"{sum(point.started for point in series.points):,}", series, lambda point: point.started),
        curve("Failed", f"{failed:,}", series, lambda point: point.failed, kind="gm-bad" if failed else ""),
    ]


def times(series: Series) -> list[tuple[str, list[str]]]:
    """Returns how long half of the attempts, 95 and 99 of 100 waited and ran at most."""
    rows: list[tuple[str, Any]] = [("Waited", series.whole("waits")), ("Ran", series.whole("runs"))]
    return [(words, [seconds(found.percentile(part)) for part in (0.5, 0.95, 0.99)]) for words, found in rows]
