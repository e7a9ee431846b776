"""Jobs and their attempts, for reading."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from django.db import models

from gristmill.compat import TaskResultStatus
from gristmill.models.fields import JSONTextField, MomentField

if TYPE_CHECKING:
    from typing_extensions import Self


class State(models.TextChoices):
    """Where a job is."""

    SCHEDULED = "scheduled"
    HELD = "held"
    READY = "ready"
    RUNNING = "running"
    SUCCESSFUL = "successful"
    FAILED = "failed"
    CANCELLED = "cancelled"
    POISONED = "poisoned"


STATUS_OF_STATE = {
    State.SCHEDULED.value: TaskResultStatus.READY,
    State.HELD.value: TaskResultStatus.READY,
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

    def held(self) -> Self:
        """Jobs that someone keeps back."""
        return self.filter(state=State.HELD)

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
    # Why it failed, or is held.
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


#: How an attempt ends that Django's `attempts` and `worker_ids` do not count.
UNCOUNTED_OUTCOMES = ("expired", "handed back", "incompatible", "postponed")


class AttemptQuerySet(models.QuerySet["Attempt"]):
    """Attempts that have ended."""

    def counted(self) -> Self:
        """Attempts that Django's `attempts` and `worker_ids` count: those that started and were not postponed."""
        return self.exclude(outcome__in=UNCOUNTED_OUTCOMES)


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
    # What its handler printed and logged: the beginning and the end of it.
    output = models.TextField(null=True)

    objects = AttemptQuerySet.as_manager()

    class Meta:
        db_table = "gristmill_attempt"
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"attempt {self.token} of {self.job_id.hex}: {self.outcome}"
