"""Schedules: those that are late, cannot tick, are paused, or whose jobs fail."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from gristmill.inspect.problems.problem import Look, Problem
from gristmill.inspect.tables import age, printable
from gristmill.values.moments import seconds_between

#: An active schedule whose next instant is longer ago is late.
LATE = timedelta(minutes=1)


def schedules(look: Look) -> Iterator[Problem]:
    """Names the schedules that do not tick as they should, and those that somebody has paused."""
    for row in look.survey.schedules:
        name, about = printable(row.name), {"backend": row.backend, "schedule": row.name}
        if row.state == "problem":
            yield Problem(
                "cannot tick", "error", f"Schedule {name} cannot tick: {printable(row.problem or '', 300)}.", about
            )
        elif row.state == "paused":
            since = age(seconds_between(row.paused_at, look.now))
            why = f": {printable(row.paused_reason)}" if row.paused_reason else ""
            yield Problem("schedule paused", "note", f"Schedule {name} has been paused for {since}{why}.", about)
        elif row.next_at is not None and row.next_at < look.now - LATE:
            late = age(seconds_between(row.next_at, look.now))
            queue = printable(row.queue_name)
            yield Problem(
                "late",
                "error",
                f"Schedule {name} should have ticked {late} ago: no worker ticks what serves queue {queue}.",
                about,
            )
