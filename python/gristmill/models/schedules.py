"""Schedules and their ticks, for reading; `gristmill.operations` changes them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import models

from gristmill.models.fields import MomentField, read_object
from gristmill.models.loaded import Loaded
from gristmill.models.primary import PrimaryQuerySet
from gristmill.values.bounds import seconds

if TYPE_CHECKING:
    from typing_extensions import Self

    from gristmill.models.managers import ScheduleManager, TickManager


class ScheduleQuerySet(PrimaryQuerySet["Schedule"]):
    """Schedules by what becomes of them."""

    def active(self) -> Self:
        """Schedules that tick: neither paused nor removed, and without a problem."""
        return self.filter(paused_at=None, removed_at=None, problem=None)

    def paused(self) -> Self:
        """Schedules that someone has paused."""
        return self.filter(removed_at=None, paused_at__isnull=False)

    def removed(self) -> Self:
        """Schedules that are gone from the code; they stay for as long as their ticks are kept."""
        return self.filter(removed_at__isnull=False)

    def overdue(self, now: datetime, by: float | timedelta = timedelta(minutes=1)) -> Self:
        """Active schedules whose next tick should have been made by now, so many seconds ago."""
        try:
            ago = timedelta(seconds=seconds(by))
        except ValueError as error:
            raise ValueError(f"by {error}; got {by!r}") from None
        return self.active().filter(next_at__lt=now - ago)


class Schedule(Loaded):
    """A rule that says when a job of a task is wanted. Read only."""

    pk = models.CompositePrimaryKey("backend", "name")
    # The TASKS alias.
    backend = models.TextField()
    name = models.TextField()
    # "code" (the decorator, the settings, a Rust program) or "database" (made by people).
    origin = models.TextField()
    # The workers that serve this queue tick it.
    queue_name = models.TextField()
    task_name = models.TextField()
    # JSON as it was announced; `rule` and `template` read it.
    definition = models.TextField()
    job = models.TextField()
    created_at = MomentField()
    defined_at = MomentField()
    removed_at = MomentField(null=True)
    paused_at = MomentField(null=True)
    paused_reason = models.TextField(null=True)
    # Ticks up to here are settled.
    high_water = MomentField(null=True)
    next_at = MomentField(null=True)
    # Why it cannot tick.
    problem = models.TextField(null=True)

    if TYPE_CHECKING:
        objects: ClassVar[ScheduleManager]
    else:
        objects = ScheduleQuerySet.as_manager()

    class Meta:
        db_table = "gristmill_schedule"
        default_permissions = ("view",)
        permissions = (
            ("run_schedule", "Can run schedules now"),
            ("pause_schedule", "Can pause and resume schedules"),
            ("define_schedule", "Can make, change and remove schedules"),
        )

    def __str__(self) -> str:
        return f"{self.name} ({self.task_name})"

    @property
    def state(self) -> str:
        """In a word: "removed", "paused", "problem" or "active"."""
        if self.removed_at is not None:
            return "removed"
        if self.paused_at is not None:
            return "paused"
        return "active" if self.problem is None else "problem"

    @property
    def rule(self) -> dict[str, Any]:
        """When it runs, its policies and the arguments of its jobs; empty where that cannot be read."""
        return read_object(self.definition)

    @property
    def template(self) -> dict[str, Any]:
        """What its jobs are like: queue, priority, options and so on; empty where that cannot be read."""
        return read_object(self.job)

    @property
    def ticks(self) -> TickQuerySet:
        """Its ticks, newest first."""
        ticks: TickQuerySet = Tick.objects.using(self._state.db)
        return ticks.filter(backend=self.backend, schedule=self.name).order_by("-nominal")


class TickQuerySet(PrimaryQuerySet["Tick"]):
    """Ticks by what became of them."""

    def with_a_job(self) -> Self:
        """Ticks that made a job."""
        return self.filter(job_id__isnull=False)

    def left_out(self) -> Self:
        """Ticks without a job; `skipped` says why."""
        return self.filter(job_id=None)


class Tick(Loaded):
    """One nominal instant of a schedule, and what became of it. Read only."""

    pk = models.CompositePrimaryKey("backend", "schedule", "nominal")
    backend = models.TextField()
    # The schedule's name.
    schedule = models.TextField()
    nominal = MomentField()
    # Someone asked for it at that moment; it is no instant of the rule.
    by_hand = models.BooleanField(default=False)
    found_at = MomentField()
    job_id = models.UUIDField(null=True)
    # Why it has no job: "superseded", "late", "beyond window", "beyond cap", "overlapping" or "unique".
    skipped = models.TextField(null=True)

    if TYPE_CHECKING:
        objects: ClassVar[TickManager]
    else:
        objects = TickQuerySet.as_manager()

    class Meta:
        db_table = "gristmill_tick"
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.schedule} at {self.nominal.isoformat(' ')}"

    @property
    def lateness(self) -> timedelta:
        """How long after its instant it was found."""
        late: timedelta = self.found_at - self.nominal
        return max(late, timedelta())
