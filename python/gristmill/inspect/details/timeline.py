"""
A job's life in order: what happened when, how long it waited before, and for what. Pure.

A wait is named by what came before it: for its date, its preconditions, a worker, its runner, its retry.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

#: What somebody did, as it is told.
DONE = {
    "cancel": "cancelled",
    "change": "changed",
    "enqueue": "enqueued with other arguments than job",
    "enqueue again": "enqueued again as job",
    "hold": "held",
    "release": "released",
    "retry": "retried",
    "run now": "made due",
}
#: Two moments that are closer are told as one.
AT_ONCE_SECONDS = 0.001


@dataclass(frozen=True)
class Event:
    """Something that happened: how many seconds after the event before, and what the job waited for until then."""

    moment: datetime
    # "enqueued", "due", "claimed", "started", "acted", "finished", or how an attempt ended.
    kind: str
    what: str
    seconds: float | None = None
    waited: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Returns it in JSON's types."""
        return {**asdict(self), "moment": self.moment.isoformat()}


class Run(NamedTuple):
    """What a time line wants of an attempt; without an end it goes on."""

    token: int
    worker: str | None
    claimed_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    outcome: str | None = None
    reason: str | None = None


class Act(NamedTuple):
    """What somebody did to the job."""

    verb: str
    actor: str
    moment: datetime
    # Another job that has to do with it, in 32 hexadecimal digits.
    other: str | None = None


def timeline(
    asked: Sequence[Event], runs: Sequence[Run], acts: Iterable[Act], end: Event | None, *, has_preconditions: bool
) -> list[Event]:
    """
    Returns what happened, in order: what was asked, runs, what people did, and the end if there is one.

    Of a job with many runs these may be the last ones: a run whose token does not follow the one before has waited for
    something that is not told.
    """
    events = [*asked, *(event for run in runs for event in events_of(run))]
    for act in acts:
        other = f" {act.other}" if act.other else ""
        by = f" by {act.actor}" if act.actor else ""
        events.append(Event(act.moment, "acted", f"{DONE.get(act.verb, act.verb)}{other}{by}"))
    if end is not None and not any(run.ended_at is not None and is_at_once(run.ended_at, end.moment) for run in runs):
        events.append(end)
    # Of one moment, what was made first happened first.
    events.sort(key=lambda event: event.moment)
    first = runs[0].claimed_at if runs and runs[0].token > 1 else None
    told: list[Event] = []
    for event in events:
        if told and not (event.kind == "claimed" and event.moment == first):
            seconds = max((event.moment - told[-1].moment).total_seconds(), 0.0)
            event = replace(event, seconds=seconds, waited=waited_for(told[-1], event, has_preconditions))
        told.append(event)
    return told


def asked_for(enqueued_at: datetime | None, run_after: datetime | None) -> list[Event]:
    """Returns when a job was enqueued, and when it was to be due."""
    found = [] if enqueued_at is None else [Event(enqueued_at, "enqueued", "enqueued")]
    if run_after is not None and (enqueued_at is None or run_after > enqueued_at):
        found.append(Event(run_after, "due", "due"))
    return found


def events_of(run: Run) -> list[Event]:
    """Returns what happened in an attempt."""
    on = f" by {run.worker}" if run.worker else ""
    found = [Event(run.claimed_at, "claimed", f"attempt {run.token:,} claimed{on}")]
    if run.started_at is not None and not is_at_once(run.claimed_at, run.started_at):
        found.append(Event(run.started_at, "started", "its runner began"))
    if run.ended_at is not None:
        why = f": {run.reason}" if run.reason and run.reason != run.outcome else ""
        found.append(
            Event(run.ended_at, run.outcome or "ended", f"attempt {run.token:,} {run.outcome or 'ended'}{why}")
        )
    return found


def waited_for(before: Event, event: Event, has_preconditions: bool) -> str | None:
    """Names what a job waited for between two events; None where it ran, or somebody came to it."""
    if event.kind in ("due", "started"):
        return {"due": "its date", "started": "its runner"}[event.kind]
    if event.kind != "claimed":
        return None
    if before.kind in ("enqueued", "due") and has_preconditions:
        return "its preconditions and a worker"
    return {"failed": "its retry", "postponed": "its date"}.get(before.kind, "a worker")


def is_at_once(earlier: datetime, later: datetime) -> bool:
    """Tells whether two moments are one to people."""
    return abs((later - earlier).total_seconds()) < AT_ONCE_SECONDS
