"""How a job is shown on a terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone

from gristmill.commands.schedule_lines import facts, instants
from gristmill.inspect.colours import painted
from gristmill.inspect.details.neighbours import Neighbours
from gristmill.inspect.details.read import Details
from gristmill.inspect.explaining.facts import CAP
from gristmill.inspect.listing.rows import said as value_of
from gristmill.inspect.redacting import HIDDEN
from gristmill.inspect.tables import age, counted, duration, printable, table, wrapped
from gristmill.models import Attempt
from gristmill.values.moments import seconds_between

#: Lines of a traceback and of an output, from their ends: the error stands there.
MOST_LINES = 200
#: Characters of a value and of a line.
MOST_CHARACTERS = 2_000


def lines(found: Details, room: int | None = None, *, coloured: bool = False) -> list[str]:
    """Returns what the command prints."""
    explanation = found.explanation
    state = painted(explanation.state, explanation.state, coloured)
    said = [f"{printable(explanation.task_name)}  {state}", explanation.id, ""]
    for reason in explanation.reasons:
        said += wrapped(reason.sentence, room)
    said += ["", *facts(about(found), room), "", "Arguments", *argument_lines(found, room)]
    if found.job is not None and found.job.state == "successful":
        said += ["", "Result", *value_lines(found.result)]
    said += ["", "Time line", *time_lines(found, room)]
    said += attempt_lines(found, room, coloured)
    for title, neighbours in (("Waits for", found.preconditions), ("Waited for by", found.dependents)):
        said += neighbour_lines(title, neighbours, room)
    if found.actions:
        head, moments = ["WHEN", "WHAT", "BY"], instants([act.moment for act in found.actions], weekday=False)
        rows = [(moment, act.verb, act.actor) for moment, act in zip(moments, found.actions, strict=True)]
        said += ["", "Actions", *table(head, rows, cut=["BY"], room=room)]
    return [*said, "", *wrapped(f"Times are of {timezone.get_current_timezone_name()}.", room)]


def about(found: Details) -> list[tuple[str, str]]:
    """Returns what is known of a job, each under its name."""
    row, job, options = found.row, found.job, found.options
    known = [("queue", row.queue_name)]
    if row.backend != "default":
        known.append(("backend", row.backend))
    if row.priority:
        known.append(("priority", str(row.priority)))
    known.append(("enqueued", when(row.enqueued_at, found.now)))
    if job is not None and job.due_at is not None and job.finished_at is None:
        known.append(("due", when(job.due_at, found.now)))
    if row.deadline is not None:
        known.append(("deadline", when(row.deadline, found.now)))
    if found.schedule is not None and found.nominal is not None:
        known.append(("schedule", f"{found.schedule}, for {instants([found.nominal], weekday=False)[0]}"))
    if row.unique_key:
        holds = "" if found.has_key else ", which it does not have now"
        known.append(("unique key", f"{row.unique_key}{holds}"))
    if row.options is not None and options is None:
        known.append(("options", "cannot be read"))
    elif options:
        known.append(("options", ", ".join(f"{name}={value_of(value)}" for name, value in options.items())))
    progress = None if job is None else job.progress
    if progress is not None:
        fraction = "" if progress.fraction is None else f"{progress.fraction:.0%} "
        known.append(("progress", f"{fraction}{progress.message or ''}".strip() or "none told"))
    return known


def argument_lines(found: Details, room: int | None) -> list[str]:
    """Returns the arguments, one a line, with their names where these are known."""
    arguments = found.arguments
    if arguments is None:
        return ["  cannot be read: they are no JSON, or no list and object"]
    named = [*arguments.by_name.items()]
    if len(arguments.args) + len(arguments.kwargs) != len(named):
        # Where names are not known, or one stands for several.
        named = [*((str(place), value) for place, value in enumerate(arguments.args)), *arguments.kwargs.items()]
    if not named:
        return ["  none"]
    said = facts([(printable(name), one_line(value)) for name, value in named], room)
    return said + ["  --reveal shows what is redacted."] * arguments.is_redacted


def value_lines(value: Any) -> list[str]:
    """Returns a value as JSON, on lines where it is long."""
    if value == HIDDEN:
        return [f"  {HIDDEN}"]
    text = json.dumps(value, ensure_ascii=False, indent=2)
    return [f"  {printable(line, MOST_CHARACTERS)}" for line in text.splitlines()[:MOST_LINES]]


def one_line(value: Any) -> str:
    """Returns a value as JSON, cut where it is long."""
    return printable(value_of(value), MOST_CHARACTERS)


def time_lines(found: Details, room: int | None) -> list[str]:
    """Returns what happened when, with how long it waited before, and for what."""
    if not found.events:
        return ["  nothing is known"]
    moments = instants([event.moment for event in found.events], weekday=False)
    rows = []
    for moment, event in zip(moments, found.events, strict=True):
        waited = "" if event.seconds is None else duration(event.seconds)
        has_waited = event.waited and event.moment <= found.now
        rows.append((moment, waited, event.what + (f", after it waited for {event.waited}" if has_waited else "")))
    return table(["WHEN", "AFTER", "WHAT"], rows, cut=["WHAT"], room=room)


def attempt_lines(found: Details, room: int | None, coloured: bool) -> list[str]:
    """Returns its newest attempts, each with what went wrong and what it printed."""
    if not found.attempts:
        return []
    count, shown = found.attempt_count, len(found.attempts)
    all_of = f"the newest {shown:,} of {counted(min(count, CAP), count > CAP, 'attempt')}; --attempts shows more"
    said = ["", "Attempts" if shown == count else f"Attempts: {all_of}"]
    for attempt in found.attempts:
        said += ["", f"  {attempt.token:,}  {painted(printable(attempt.outcome), attempt.outcome, coloured)}"]
        said += [f"    {line}" for line in wrapped(where(attempt, found), None if room is None else room - 4)]
        if attempt.reason and attempt.reason not in ("error", attempt.outcome):
            said += [f"    {line}" for line in wrapped(printable(attempt.reason, 500), room and room - 4)]
        said += text_lines(attempt.traceback, "Traceback")
        said += text_lines(attempt.output, "Output")
    return said


def where(attempt: Attempt, found: Details) -> str:
    """Says on which worker it ran, and for how long."""
    label = found.labels.get(attempt.worker_id)
    on = f"on {printable(label)}" if label else f"on a worker that is forgotten, {attempt.worker_id.hex}"
    process = f", process {attempt.runner_pid}" if attempt.runner_pid else ""
    if attempt.started_at is None:
        return f"{on}{process}; it never started"
    return f"{on}{process}; ran for {duration(max((attempt.ended_at - attempt.started_at).total_seconds(), 0))}"


def text_lines(text: str | None, title: str) -> list[str]:
    """Returns a text's last lines under its title, escaped."""
    every = (text or "").splitlines()
    if not every:
        return []
    left_out = len(every) - MOST_LINES
    cut = [f"      … {counted(left_out, what='line')} before that; --json has all"] if left_out > 0 else []
    return [f"    {title}", *cut, *(f"      {printable(line, MOST_CHARACTERS)}" for line in every[-MOST_LINES:])]


def neighbour_lines(title: str, neighbours: Neighbours, room: int | None) -> list[str]:
    """Returns the first jobs beside this one."""
    if not neighbours.count:
        return []
    rows: Sequence[tuple[str, str, str]] = [
        (one.state or "forgotten", one.id, one.task_name or "") for one in neighbours.first
    ]
    said = ["", title, *table(["STATE", "JOB", "TASK"], rows, cut=["TASK"], room=room)]
    more = neighbours.count - len(rows)
    if more > 0 or neighbours.at_least:
        said.append(f"  and {more:,}{'+' * neighbours.at_least} more; manage.py gristmill graph draws them")
    return said


def when(moment: datetime | None, now: datetime) -> str:
    """Writes a moment, and how long ago it was or in how long it will be."""
    if moment is None:
        return "not known"
    written = instants([moment], weekday=False)[0]
    if moment > now:
        return f"{written}, in {age(seconds_between(now, moment))}"
    return f"{written}, {age(seconds_between(moment, now))} ago"
