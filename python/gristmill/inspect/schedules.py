"""What there is to see of an alias's schedules: their rules in words, their state, what became of their ticks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.models import OuterRef, Subquery
from django.utils import timezone

from gristmill.models import Job, Schedule, Tick
from gristmill.schedules.announcing import announcement
from gristmill.schedules.engine_cron import Answer, ask_if_possible, question
from gristmill.values.moments import as_django, database_now

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from gristmill.backend import GristmillBackend

#: Schedules of one alias that are looked at.
MOST = 1_000
#: Instants ahead, ticks behind, and instants that nobody has seen to.
SHOWN = 20
#: An active schedule whose next instant is longer ago than this is overdue.
OVERDUE = timedelta(minutes=1)
#: What code declares and no worker has announced.
UNANNOUNCED = "not announced"
#: What is read of a tick.
OF_A_TICK = ("nominal", "by_hand", "found_at", "job_id", "skipped")


@dataclass(frozen=True)
class TickSeen:
    """A tick, and what became of it."""

    nominal: datetime
    found_at: datetime
    late_seconds: float
    by_hand: bool
    # The state of its job, "forgotten" where that was pruned, or "left out".
    outcome: str
    # Why it was left out.
    skipped: str | None
    job_id: str | None

    def as_json(self) -> dict[str, Any]:
        """Returns it in JSON's types."""
        found = vars(self)
        return {**found, "nominal": self.nominal.isoformat(), "found_at": self.found_at.isoformat()}


@dataclass
class ScheduleSeen:
    """A schedule, as it is in the database or as code declares it."""

    backend: str
    name: str
    task_name: str
    queue_name: str
    origin: str
    # "active", "paused", "removed", "problem" or UNANNOUNCED.
    state: str
    # Why it is paused or cannot tick.
    reason: str | None
    # In words; the rule as it was written where nobody can be asked.
    describe: str
    rule: dict[str, Any]
    template: dict[str, Any]
    next_at: datetime | None = None
    last: TickSeen | None = None
    row: Schedule | None = field(default=None, repr=False)

    def as_json(self) -> dict[str, Any]:
        """Returns it in JSON's types."""
        row = self.row
        moments = {
            name: None if row is None or getattr(row, name) is None else getattr(row, name).isoformat()
            for name in ("created_at", "defined_at", "removed_at", "paused_at", "high_water")
        }
        return {
            **{name: getattr(self, name) for name in ("backend", "name", "task_name", "queue_name", "origin", "state")},
            **{name: getattr(self, name) for name in ("reason", "describe")},
            "definition": self.rule,
            "job": self.template,
            "next_at": None if self.next_at is None else self.next_at.isoformat(),
            "last": None if self.last is None else self.last.as_json(),
            **moments,
        }


def now_of(backend: GristmillBackend) -> datetime:
    """Returns the moment that counts for an alias: Django's where its clock does, else the database's."""
    return timezone.now() if backend.uses_django_clock() else database_now(connections[backend.database])


def schedules_of(backend: GristmillBackend, name: str | None = None) -> list[ScheduleSeen]:
    """Returns the schedules of an alias, or the one of that name: by name, those gone from the code at the end."""
    rows = Schedule.objects.using(backend.database).filter(backend=backend.alias).order_by("name")
    found = list(with_last_tick(rows[:MOST] if name is None else rows.filter(name=name)))
    known = {row.name for row in found if row.removed_at is None}
    declared = [each for each in announcement(backend)["schedules"] if each["name"] not in known]
    unannounced = {each["name"]: each for each in declared if name in (None, each["name"])}
    seen = [_of_row(row) for row in found if row.name not in unannounced]
    seen += [_of_code(backend, each) for each in unannounced.values()]
    _have_read(seen, now_of(backend))
    last = {tick.schedule: tick for row in found if (tick := last_tick(row)) is not None}
    told = dict(zip(last, ticks_seen(backend, last.values()), strict=True))
    for schedule in seen:
        schedule.last = told.get(schedule.name) if schedule.row is not None else None
    return sorted(seen, key=lambda one: (one.state == "removed", one.name))


def with_last_tick(schedules: QuerySet[Schedule]) -> QuerySet[Schedule]:
    """Adds to each schedule what its newest tick has, in the same statement: some probes of one index."""
    newest = Tick.objects.filter(backend=OuterRef("backend"), schedule=OuterRef("name")).order_by("-nominal")
    return schedules.annotate(**{f"last_{name}": Subquery(newest.values(name)[:1]) for name in OF_A_TICK})


def last_tick(row: Schedule) -> Tick | None:
    """Returns the newest tick that was read with a schedule."""
    values = {name: getattr(row, f"last_{name}") for name in OF_A_TICK}
    return None if values["nominal"] is None else Tick(backend=row.backend, schedule=row.name, **values)


def ticks_seen(backend: GristmillBackend, ticks: Iterable[Tick]) -> list[TickSeen]:
    """Returns ticks with what became of their jobs."""
    rows = list(ticks)
    ids = [row.job_id for row in rows if row.job_id is not None]
    jobs = Job.objects.using(backend.database).filter(pk__in=ids)
    states = dict(jobs.values_list("pk", "state")) if ids else {}
    return [
        TickSeen(
            nominal=row.nominal,
            found_at=row.found_at,
            late_seconds=round(row.lateness.total_seconds(), 3),
            by_hand=row.by_hand,
            outcome="left out" if row.job_id is None else states.get(row.job_id, "forgotten"),
            skipped=row.skipped,
            job_id=None if row.job_id is None else row.job_id.hex,
        )
        for row in rows
    ]


def upcoming(schedule: ScheduleSeen, now: datetime) -> list[datetime]:
    """Returns its next instants, whether it is paused or not; none where nobody can be asked."""
    answers = ask_if_possible([question(schedule.rule, after=now, count=SHOWN)]) if schedule.rule else None
    return [as_django(moment) for moment in answers[0].next] if answers else []


def missed(schedule: ScheduleSeen, now: datetime) -> list[datetime]:
    """Returns the newest instants that have passed and that no worker has seen to, where it is overdue."""
    row = schedule.row
    if row is None or schedule.state != "active" or row.next_at is None or row.next_at > now - OVERDUE:
        return []
    since = row.high_water or row.created_at
    answers = ask_if_possible([question(schedule.rule, before=now, count=SHOWN)])
    instants = [as_django(moment) for moment in answers[0].previous] if answers else []
    return [instant for instant in instants if instant > since]


def _of_row(row: Schedule) -> ScheduleSeen:
    return ScheduleSeen(
        backend=row.backend,
        name=row.name,
        task_name=row.task_name,
        queue_name=row.queue_name,
        origin=row.origin,
        state=row.state,
        reason=row.paused_reason if row.state == "paused" else row.problem,
        describe="",
        rule=row.rule,
        template=row.template,
        next_at=row.next_at if row.state == "active" else None,
        row=row,
    )


def _of_code(backend: GristmillBackend, said: dict[str, Any]) -> ScheduleSeen:
    return ScheduleSeen(
        backend=backend.alias,
        name=said["name"],
        task_name=said["task_name"],
        queue_name=said["queue_name"],
        origin="code",
        state=UNANNOUNCED,
        reason=None,
        describe="",
        rule=said["definition"],
        template=said["job"],
    )


def _have_read(schedules: Sequence[ScheduleSeen], now: datetime) -> None:
    """Puts the rules in words, without the zone where that is the project's; and says when a new one runs first."""
    questions = [question(one.rule, after=_unseen_since(one, now)) for one in schedules]
    answers: Sequence[Answer | None] = ask_if_possible(questions) or [None] * len(schedules)
    project = f", {timezone.get_default_timezone_name()}"
    for one, answer in zip(schedules, answers, strict=True):
        if answer is None or answer.error is not None:
            one.describe = as_written(one.rule)
            continue
        one.describe = answer.describe.removesuffix(project)
        if _unseen_since(one, now) is not None:
            one.next_at = as_django(answer.next[0]) if answer.next else None


def _unseen_since(schedule: ScheduleSeen, now: datetime) -> datetime | None:
    """Returns since when no worker has looked at it: what is stored as its next instant is that moment."""
    row = schedule.row
    if row is None or schedule.state != "active" or row.next_at is None:
        return None
    since = row.high_water or row.created_at
    return since if now - OVERDUE < row.next_at <= since else None


def as_written(rule: dict[str, Any]) -> str:
    """Returns a rule as its author wrote it."""
    if rule.get("every") is not None:
        return f"every {rule['every']:g} s"
    return str(rule.get("cron") or "cannot be read")


__all__ = ["SHOWN", "UNANNOUNCED", "ScheduleSeen", "TickSeen", "as_written", "missed", "now_of", "schedules_of"]
