"""Curves of what was counted, for pages: what each says in a number, and as a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import DatabaseError
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe

from gristmill.inspect.drawing.sparkline import sparkline
from gristmill.inspect.pulse import Point, Series, newest, together
from gristmill.inspect.surveys import each_database
from gristmill.inspect.tables import duration

HOUR = timedelta(hours=1)
#: What most waits stay below.
MOST = 0.95


@dataclass(frozen=True)
class Curve:
    """A curve with its name and the number that sums it up."""

    title: str
    number: str
    svg: SafeString


def last_hour() -> Series | None:
    """Returns the last hour of all databases that can be asked."""
    found = []
    for connection, aliases in each_database():
        try:
            found.append(newest(connection, aliases, HOUR))
        except DatabaseError:
            # Its survey says so.
            continue
    return together(found) if found else None


def overview_curves(series: Series) -> list[Curve]:
    """Returns the curves of the first page: started, failed, waits, and how many are ready."""
    points = series.points
    failed, now = sum(point.failed for point in points), points[-1].ready
    waits = series.whole("waits").percentile(MOST)
    return [
        curve("Started", f"{sum(point.started for point in points):,}", series, lambda point: point.started),
        curve("Failed", f"{failed:,}", series, lambda point: point.failed, kind="gm-bad" if failed else ""),
        curve(
            "Wait, 95 of 100 below", seconds(waits), series, lambda point: point.waits.percentile(MOST), said=seconds
        ),
        curve("Ready", "unknown" if now is None else f"{now:,}", series, lambda point: point.ready),
    ]


def curve(
    title: str,
    number: str,
    series: Series,
    value: Callable[[Point], float | None],
    *,
    kind: str = "",
    said: Callable[[float | None], str] = lambda value: "unknown" if value is None else f"{value:,.0f}",
) -> Curve:
    """Returns one curve of a series, each point of which says its time and its number."""
    values = [value(point) for point in series.points]
    labels = [f"{clock(point, series)}: {said(number)}" for point, number in zip(series.points, values, strict=True)]
    marks = [
        (index, f"{clock(point, series)}: version {', '.join(point.deployed)}")
        for index, point in enumerate(series.points)
        if point.deployed
    ]
    return Curve(title, number, picture(values, labels, f"{title}: {number}", marks, kind))


def picture(
    values: Sequence[float | None],
    labels: Sequence[str],
    title: str,
    marks: Sequence[tuple[int, str]] = (),
    kind: str = "",
) -> SafeString:
    """Returns the picture, every text in it escaped."""
    return mark_safe(sparkline(values, labels, title, marks=marks, kind=kind))


def clock(point: Point, series: Series) -> str:
    """Says when a point is, by the minute or by the day."""
    at = timezone.localtime(point.at) if timezone.is_aware(point.at) else point.at
    return f"{at:%H:%M}" if series.step < timedelta(minutes=15) else f"{at:%a %d %b %H:%M}"


def seconds(value: float | None) -> str:
    """Says how long, or that nothing waited."""
    return "none" if value is None else duration(value)
