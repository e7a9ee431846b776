"""
What the queue's tables look like from Django.

`Job` is for reading: every job once, with its state. Rows are written by the backend's enqueue and by workers,
never through these models. The models of the tables behind it are here so that Django's test runner empties
them; they are not for use.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NoReturn

from django.conf import settings
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.compat import TaskResultStatus
from gristmill.moments import from_utc, utc_text

if TYPE_CHECKING:
    from typing_extensions import Self


class MomentField(models.DateTimeField):  # type: ignore[type-arg]
    """
    An instant of the queue's.

    On SQLite it is stored as UTC text whatever USE_TZ and the connection's TIME_ZONE say, because workers read and
    write it too; on PostgreSQL it is a plain timestamp with time zone.
    """

    def deconstruct(self) -> Any:
        """Names the field for migrations."""
        name, _, args, kwargs = super().deconstruct()
        return name, "gristmill.models.MomentField", args, kwargs

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:
        """Writes UTC text on SQLite."""
        if connection.vendor != "sqlite":
            return super().get_db_prep_value(value, connection, prepared)
        if not prepared:
            value = self.get_prep_value(value)
        return utc_text(value) if isinstance(value, datetime) else value

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> Any:
        """Reads UTC text on SQLite; Django's own converter has taken it for the connection's time zone."""
        if connection.vendor != "sqlite" or value is None:
            return value
        if settings.USE_TZ and value.tzinfo is timezone.utc:
            return value
        return from_utc(value)


class JSONTextField(models.TextField):  # type: ignore[type-arg]
    """JSON kept as text that no database parses; read as what it means. Text given to a lookup is taken as it is."""

    def deconstruct(self) -> Any:
        """Names the field for migrations."""
        name, _, args, kwargs = super().deconstruct()
        return name, "gristmill.models.JSONTextField", args, kwargs

    def get_prep_value(self, value: Any) -> Any:
        """Writes JSON."""
        if value is None or isinstance(value, str):
            return value
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> Any:
        """Reads JSON."""
        return None if value is None else json.loads(value)


class State(models.TextChoices):
    """Where a job is."""

    SCHEDULED = "scheduled"
    READY = "ready"
    RUNNING = "running"
    SUCCESSFUL = "successful"
    FAILED = "failed"
    CANCELLED = "cancelled"
    POISONED = "poisoned"


STATUS_OF_STATE = {
    State.SCHEDULED.value: TaskResultStatus.READY,
    State.READY.value: TaskResultStatus.READY,
    State.RUNNING.value: TaskResultStatus.RUNNING,
    State.SUCCESSFUL.value: TaskResultStatus.SUCCESSFUL,
    State.FAILED.value: TaskResultStatus.FAILED,
    State.CANCELLED.value: TaskResultStatus.FAILED,
    State.POISONED.value: TaskResultStatus.FAILED,
}


class JobQuerySet(models.QuerySet["Job"]):
    """Jobs by state. Each of these reads one table only."""

    def scheduled(self) -> Self:
        """Jobs whose date has not come."""
        return self.filter(state=State.SCHEDULED)

    def ready(self) -> Self:
        """Jobs that wait for a worker."""
        return self.filter(state=State.READY)

    def running(self) -> Self:
        """Jobs that a worker runs."""
        return self.filter(state=State.RUNNING)

    def successful(self) -> Self:
        """Jobs whose task returned."""
        return self.filter(state=State.SUCCESSFUL)

    def failed(self) -> Self:
        """Jobs that ended without success: failed, cancelled or poisoned."""
        return self.filter(state__in=[State.FAILED, State.CANCELLED, State.POISONED])

    def finished(self) -> Self:
        """Jobs that have ended, one way or another."""
        return self.filter(state__in=[State.SUCCESSFUL, State.FAILED, State.CANCELLED, State.POISONED])


class Job(models.Model):
    """One enqueued call of a task. Read only."""

    id = models.UUIDField(primary_key=True)
    backend = models.TextField()
    queue_name = models.TextField()
    # The module path of the task's function.
    task_name = models.TextField()
    priority = models.SmallIntegerField()
    state = models.TextField(choices=State.choices)
    # Why it failed.
    reason = models.TextField(null=True)
    args = JSONTextField()
    kwargs = JSONTextField()
    options = JSONTextField(null=True)
    enqueued_at = MomentField()
    # The date that was asked for.
    run_after = MomentField(null=True)
    # The date that holds now: a retry moves it.
    due_at = MomentField(null=True)
    # Orders jobs of one priority; passing it has no consequence.
    deadline = MomentField()
    # How often it was claimed, ever.
    token = models.BigIntegerField()
    # Grows with every retry by hand.
    generation = models.IntegerField()
    failures = models.IntegerField()
    crashes = models.IntegerField()
    losses = models.IntegerField()
    postpones = models.IntegerField()
    interruptions = models.IntegerField()
    # When its first attempt started.
    started_at = MomentField(null=True)
    # When its last attempt was claimed.
    claimed_at = MomentField(null=True)
    finished_at = MomentField(null=True)
    worker_id = models.UUIDField(null=True)
    # What the task returned.
    result = JSONTextField(db_column="return_value", null=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "gristmill_jobs"
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.task_name} {self.id.hex} ({self.state})"

    def save_base(self, *args: Any, raw: bool = False, **kwargs: Any) -> None:
        """Refuses to save; a fixture's copy is passed over, because jobs are only a view of the rows beside them."""
        if not raw:
            raise TypeError("jobs are read only; enqueue a task to make one")

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuses to delete."""
        raise TypeError("jobs are read only; workers prune finished ones")

    @property
    def status(self) -> TaskResultStatus:
        """Django's word for the state."""
        return STATUS_OF_STATE[self.state]

    @property
    def attempts(self) -> AttemptQuerySet:
        """Its ended attempts, oldest first, those of earlier generations included."""
        return Attempt.objects.using(self._state.db).filter(job_id=self.id).order_by("token")


class AttemptQuerySet(models.QuerySet["Attempt"]):
    """Attempts that have ended."""

    def counted(self) -> Self:
        """Attempts that Django's `attempts` and `worker_ids` count: not those given back or postponed."""
        return self.exclude(outcome__in=["handed back", "postponed"])


class Attempt(models.Model):
    """One ended run of a job. Read only; workers append them."""

    pk = models.CompositePrimaryKey("job_id", "token")
    job_id = models.UUIDField()
    token = models.BigIntegerField()
    generation = models.IntegerField()
    worker_id = models.UUIDField()
    runner_pid = models.IntegerField(null=True)
    claimed_at = MomentField()
    started_at = MomentField(null=True)
    ended_at = MomentField()
    outcome = models.TextField()
    reason = models.TextField(null=True)
    return_value = JSONTextField(null=True)
    exception_class_path = models.TextField(null=True)
    traceback = models.TextField(null=True)

    objects = AttemptQuerySet.as_manager()

    class Meta:
        db_table = "gristmill_attempt"
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"attempt {self.token} of {self.job_id.hex}: {self.outcome}"


class Worker(models.Model):
    """One boot of a worker. Read only."""

    id = models.UUIDField(primary_key=True)
    label = models.TextField()
    host = models.TextField()
    pid = models.IntegerField()
    version = models.TextField()
    backend = models.TextField()
    # What it serves: {"include": [...] or null, "exclude": [...]}.
    queues = JSONTextField()
    # The names of the tasks that it knows.
    tasks = JSONTextField()
    processes = models.IntegerField()
    started_at = MomentField()
    heartbeat_at = MomentField()
    heartbeat_seconds = models.FloatField()
    # How long after its last heartbeat it counts as alive.
    lease_seconds = models.FloatField()
    idle = models.BooleanField(default=False)
    suspect_at = MomentField(null=True)
    lost_at = MomentField(null=True)
    stopped_at = MomentField(null=True)
    exit_status = models.IntegerField(null=True)
    last_error = models.TextField(null=True)

    class Meta:
        db_table = "gristmill_worker"
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.label} (process {self.pid} on {self.host})"


class JobRow(models.Model):
    """What was asked: the table behind `Job`."""

    id = models.UUIDField(primary_key=True)
    backend = models.TextField()
    queue_name = models.TextField()
    task_name = models.TextField()
    priority = models.SmallIntegerField()
    run_after = MomentField(null=True)
    enqueued_at = MomentField()
    args = models.TextField()
    kwargs = models.TextField()
    options = models.TextField(null=True)

    class Meta:
        db_table = "gristmill_job"
        default_permissions = ()


class Place(models.Model):
    """The columns that every place of a job has."""

    id = models.UUIDField(primary_key=True)
    backend = models.TextField()
    queue_name = models.TextField()
    task_name = models.TextField()
    priority = models.SmallIntegerField()
    run_after = MomentField(null=True)
    deadline = MomentField()
    token = models.BigIntegerField()
    generation = models.IntegerField()
    failures = models.IntegerField()
    crashes = models.IntegerField()
    losses = models.IntegerField()
    postpones = models.IntegerField()
    interruptions = models.IntegerField()
    started_at = MomentField(null=True)

    class Meta:
        abstract = True
        default_permissions = ()


class ReadyRow(Place):
    """A job that is due."""

    class Meta(Place.Meta):
        db_table = "gristmill_ready"


class ScheduledRow(Place):
    """A job that is due later."""

    run_after = MomentField()

    class Meta(Place.Meta):
        db_table = "gristmill_scheduled"


class RunningRow(Place):
    """A job's open attempt."""

    worker_id = models.UUIDField()
    claimed_at = MomentField()

    class Meta(Place.Meta):
        db_table = "gristmill_running"


class ResultRow(Place):
    """A job that has ended."""

    finished_at = MomentField()
    state = models.TextField()
    reason = models.TextField(null=True)

    class Meta(Place.Meta):
        db_table = "gristmill_result"
