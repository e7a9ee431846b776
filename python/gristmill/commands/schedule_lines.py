"""How schedules are shown on a terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone

from gristmill.inspect.colours import painted
from gristmill.inspect.schedules import OVERDUE, UNANNOUNCED, ScheduleSeen, TickSeen, as_written
from gristmill.inspect.tables import age, duration, printable, table, width, wrapped

#: Of arguments, what is shown.
MOST_CHARACTERS = 200
CATCH_UP = {
    "latest": "one run for the newest missed instant",
    "all": "a run for each missed instant",
    "none": "no run for a missed instant",
}
OVERLAP = {"allow": "jobs may overlap", "skip": "left out while a job of an earlier instant has not ended"}


def list_lines(schedules: Sequence[ScheduleSeen], now: datetime, room: int | None, *, coloured: bool) -> list[str]:
    """Returns the table of schedules, and below it what there is to say of those that do not run."""
    if not schedules:
        return ["There are no schedules; docs/guides/schedules.md shows how to give a task one."]
    said = table_of(schedules, now, room, coloured=coloured)
    said += ["", *wrapped(f"Times are of {timezone.get_current_timezone_name()}.", room)]
    paused = [one for one in schedules if one.state == "paused"]
    if paused:
        lines = [(one.name, ago(one.row.paused_at if one.row else None, now), one.reason or "") for one in paused]
        said += ["", "Paused", *table(["NAME", "SINCE", "REASON"], lines, cut=["REASON", "NAME"], room=room)]
    for one in schedules:
        if one.state == "problem":
            said += ["", *wrapped(f"{printable(one.name)} cannot run: {printable(one.reason or '', 500)}", room)]
        elif shown_state(one, now) == "overdue":
            said += ["", *wrapped(overdue(one), room)]
    if any(one.state == UNANNOUNCED for one in schedules):
        said += ["", *wrapped("Not announced: no worker has started with it yet.", room)]
    return said


def table_of(schedules: Sequence[ScheduleSeen], now: datetime, room: int | None, *, coloured: bool) -> list[str]:
    """Returns a row for each schedule, and its rule in the same line where all of them have room, else below it."""
    with_backend = len({one.backend for one in schedules}) > 1
    head = ["NAME", *(["BACKEND"] if with_backend else []), "RUNS", "NEXT", "LAST", "STATE"]
    rows = [
        [
            one.name,
            *([one.backend] if with_backend else []),
            one.describe,
            "" if one.next_at is None else soon(one.next_at, now),
            "" if one.last is None else f"{ago(one.last.nominal, now)}, {one.last.outcome}",
            shown_state(one, now),
        ]
        for one in schedules
    ]
    drawn = table(head, rows)
    if room is None or max(map(width, drawn)) <= room:
        return [drawn[0], *(with_painted_end(line, coloured) for line in drawn[1:])]
    rules = head.index("RUNS")
    narrow = [[cell for column, cell in enumerate(row) if column != rules] for row in [head, *rows]]
    drawn = table(narrow[0], narrow[1:], cut=["NAME"], room=room)
    if len(drawn) != len(rows) + 1:
        return table(head, rows, room=room)
    said = drawn[:1]
    for one, line in zip(schedules, drawn[1:], strict=True):
        said.append(with_painted_end(line, coloured))
        said += (f"    {part}" for part in wrapped(printable(one.describe, 500), room - 4))
    return said


def show_lines(
    one: ScheduleSeen,
    now: datetime,
    *,
    ahead: Sequence[datetime],
    ticks: Sequence[TickSeen],
    missed: Sequence[datetime],
    room: int | None,
    coloured: bool,
) -> list[str]:
    """Returns all that is to be seen of one schedule."""
    state = shown_state(one, now)
    said = [f"{printable(one.name)}  {painted(state, state, coloured)}"]
    if one.state == "problem":
        said += wrapped(f"It cannot run: {printable(one.reason or '', 500)}", room)
    if one.state == UNANNOUNCED:
        said += wrapped("No worker has started with it yet.", room)
    said += ["", *facts(about(one, now), room)]
    if missed:
        said += ["", painted("Missed so far", "overdue", coloured), *wrapped(overdue(one), room)]
        said += in_columns(instants(missed), room)
    if ahead:
        unless = {"paused": ", were it not paused", "removed": ", were it still there"}.get(one.state, "")
        first = f", the first in {age((ahead[0] - now).total_seconds())}" if not unless else ""
        said += ["", f"Next{unless}{first}", *in_columns(instants(ahead), room)]
    if ticks:
        rows = [
            (
                "by hand" if tick.by_hand else duration(tick.late_seconds),
                tick.outcome,
                tick.job_id or tick.skipped or "",
            )
            for tick in ticks
        ]
        moments = instants([tick.nominal for tick in ticks], weekday=False)
        lines = [(moment, *row) for moment, row in zip(moments, rows, strict=True)]
        said += ["", "Last", *table(["INSTANT", "LATE", "OUTCOME", "JOB, OR WHY NONE"], lines, room=room)]
    return [*said, "", *wrapped(f"Times are of {timezone.get_current_timezone_name()}.", room)]


def about(one: ScheduleSeen, now: datetime) -> list[tuple[str, str]]:
    """Returns what is known of a schedule, each under its name."""
    rule, job, row = one.rule, one.template, one.row
    found = [("runs", one.describe)]
    if rule.get("cron") and as_written(rule) != one.describe:
        found.append(("cron", as_written(rule)))
    if rule.get("cron") not in (None, "manual"):
        found.append(("time zone", str(rule.get("timezone"))))
    found += [("task", one.task_name), ("arguments", arguments(rule))]
    priority = f", priority {job['priority']}" if job.get("priority") else ""
    found.append(("jobs", f"queue {job.get('queue_name', 'default')}{priority}{', held' if job.get('held') else ''}"))
    if one.queue_name != job.get("queue_name", "default"):
        found.append(("ticked by", f"workers of queue {one.queue_name}"))
    found += [
        ("catching up", catching_up(rule)),
        ("overlap", OVERLAP.get(str(rule.get("overlap")), "jobs may overlap")),
    ]
    if rule.get("jitter"):
        found.append(("jitter", f"up to {rule['jitter']:g} s"))
    if rule.get("run_on_creation"):
        found.append(("at first", "a run for the instant before it was made"))
    if one.backend != "default":
        found.append(("backend", one.backend))
    if row is not None:
        found.append(("made", f"{told(row.created_at)}, in {'code' if one.origin == 'code' else 'the database'}"))
        if row.defined_at != row.created_at:
            found.append(("changed", told(row.defined_at)))
        if row.paused_at is not None:
            found.append(("paused", f"{ago(row.paused_at, now)}: {row.paused_reason}"))
        if row.removed_at is not None:
            found.append(("removed", ago(row.removed_at, now)))
    return found


def facts(found: Sequence[tuple[str, str]], room: int | None) -> list[str]:
    """Returns lines of a name and what there is to say."""
    names = max(len(name) for name, _ in found)
    said = []
    for name, text in found:
        first, *rest = wrapped(printable(text, 500), None if room is None else room - names - 4)
        said += [f"  {name:<{names}}  {first}", *(" " * (names + 4) + line for line in rest)]
    return said


def arguments(rule: dict[str, Any]) -> str:
    """Says what its jobs are called with, as Python writes it."""
    try:
        parts = [repr(value) for value in json.loads(rule.get("args") or "[]")]
        parts += [f"{name}={value!r}" for name, value in json.loads(rule.get("kwargs") or "{}").items()]
    except (ValueError, TypeError, AttributeError):
        return "cannot be read"
    if rule.get("datetime_kwarg"):
        parts.append(f"{rule['datetime_kwarg']}=the instant")
    return printable(", ".join(parts), MOST_CHARACTERS) or "none"


def catching_up(rule: dict[str, Any]) -> str:
    """Says what becomes of missed instants."""
    said = CATCH_UP.get(str(rule.get("catch_up")), CATCH_UP["latest"])
    if rule.get("catch_up") == "all":
        window = rule.get("window")
        said += f", the newest {rule.get('cap') or 100} of the last {age(7 * 86_400 if window is None else window)}"
    return said


def shown_state(one: ScheduleSeen, now: datetime) -> str:
    """Returns its state in a word: "overdue" where it is active and nobody sees to it."""
    return "overdue" if one.next_at is not None and one.next_at < now - OVERDUE else one.state


def overdue(one: ScheduleSeen) -> str:
    """Says why nobody sees to it, as far as can be told from here."""
    return (
        f"{printable(one.name)} is overdue: no worker of backend '{one.backend}' that serves queue "
        f"{printable(one.queue_name)} has looked at it."
    )


def ago(moment: datetime | None, now: datetime) -> str:
    """Says how long ago it was."""
    return "" if moment is None else f"{age(max((now - moment).total_seconds(), 0))} ago"


def local(moment: datetime) -> datetime:
    """Returns a moment by the clock of the current time zone."""
    return moment if timezone.is_naive(moment) else timezone.localtime(moment)


def soon(moment: datetime, now: datetime) -> str:
    """Writes a moment as shortly as it can be told from the others near it."""
    here, today = local(moment), local(now)
    days = (here.date() - today.date()).days
    if days == 0:
        return f"today {here:%H:%M}"
    return f"{here:%a %H:%M}" if 0 < days < 7 else f"{here:%Y-%m-%d}"


def told(moment: datetime) -> str:
    """Writes a moment in full, without the seconds that it does not have."""
    return instants([moment], weekday=False)[0]


def instants(moments: Sequence[datetime], *, weekday: bool = True) -> list[str]:
    """Writes moments alike: with seconds where one has them, with the offset where clocks are set between them."""
    here = [local(moment) for moment in moments]
    form = "%a %Y-%m-%d %H:%M" if weekday else "%Y-%m-%d %H:%M"
    if any(moment.second for moment in here):
        form += ":%S"
    if len({moment.utcoffset() for moment in here}) > 1:
        form += " %z"
    return [moment.strftime(form) for moment in here]


def in_columns(texts: Sequence[str], room: int | None) -> list[str]:
    """Returns texts of one width side by side, down the first column first."""
    across = max(1, min(3, ((room or 80) - 2) // (max(map(width, texts)) + 4)))
    down = -(-len(texts) // across)
    return ["  " + "    ".join(texts[row::down]) for row in range(down)]


def with_painted_end(line: str, coloured: bool) -> str:
    """Paints the state that a line ends with."""
    for state in ("active", "paused", "removed", "problem", UNANNOUNCED, "overdue"):
        if line.endswith(state) and width(line) > len(state):
            return line.removesuffix(state) + painted(state, state, coloured)
    return line
