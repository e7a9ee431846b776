"""Jobs, for reading, and what can be done to one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from asgiref.sync import sync_to_async
from django.db import models
from django.utils.functional import cached_property

from gristmill.compat import TaskResultStatus
from gristmill.models import doors
from gristmill.models.attempts import Attempt, AttemptQuerySet
from gristmill.models.fields import IsAmong, JSONTextField, MomentField, read_object
from gristmill.models.querysets import OPERATIONS, STATUS_OF_STATE, JobQuerySet, State
from gristmill.models.rows import EdgeRow, ProgressRow
from gristmill.models.workers import Action

if TYPE_CHECKING:
    from gristmill.inspect.explaining.answer import Explanation
    from gristmill.models.managers import JobManager
    from gristmill.operations import Answer
    from gristmill.results.result import JobResult
    from gristmill.results.waiting import Timeout
    from gristmill.tasks.preconditions import After


@dataclass(frozen=True)
class Progress:
    """What a job's handler said of itself last."""

    done: float | None
    total: float | None
    message: str | None
    metadata: dict[str, Any]
    updated_at: datetime

    @property
    def fraction(self) -> float | None:
        """How much of it is done, from 0 to 1; None where the total is not known."""
        if self.done is None or not self.total or self.total < 0:
            return None
        return min(max(self.done / self.total, 0.0), 1.0)


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
    # A list, an object and an object or None; text where someone has stored what is no JSON.
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

    if TYPE_CHECKING:
        objects: ClassVar[JobManager]
    else:
        objects = JobQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "gristmill_jobs"
        default_permissions = ("view",)
        permissions = (
            ("retry_job", "Can retry jobs"),
            ("cancel_job", "Can cancel jobs"),
            ("hold_job", "Can hold and release jobs"),
            ("run_job", "Can run scheduled jobs now"),
            ("move_job", "Can change the priority and the queue of jobs"),
            ("enqueue_job", "Can run jobs again with other arguments"),
            ("reveal_job", "Can see redacted arguments of jobs"),
        )

    def __str__(self) -> str:
        return f"{self.task_name} {self.id.hex} ({self.state})"

    def save_base(self, *args: Any, **kwargs: Any) -> None:
        """Refuses to save."""
        raise TypeError("jobs are read only; enqueue a task to make one")

    def _save_table(self, *args: Any, **kwargs: Any) -> bool:
        """Passes a fixture's copy over: jobs are only a view of the rows beside them."""
        return False

    def delete(self, using: str | None = None, keep_parents: bool = False) -> tuple[int, dict[str, int]]:
        """
        Deletes it with its attempts, if it has ended, and returns (1, {"gristmill.Job": 1}), as Django does.

        Raises ProtectedError, with the reason, while it has not ended or a job waits for it that has not.
        """
        count = doors.delete(self, using)
        return count, {self._meta.label: count}

    @property
    def status(self) -> TaskResultStatus:
        """Django's word for the state."""
        return STATUS_OF_STATE[self.state]

    @property
    def is_done(self) -> bool:
        """Whether it has succeeded."""
        return self.state == State.SUCCESSFUL

    @property
    def is_error(self) -> bool:
        """Whether it has failed, was cancelled or poisoned, or is stranded because a job it needs has."""
        return self.state in (State.FAILED, State.CANCELLED, State.POISONED, State.STRANDED)

    @property
    def is_processing(self) -> bool:
        """Whether it runs, or will run unless someone or something keeps it back."""
        return not self.is_done and not self.is_error

    @property
    def attempts(self) -> AttemptQuerySet:
        """Its ended attempts, oldest first, those of earlier generations included."""
        return Attempt.objects.using(self._state.db).filter(job_id=self.id).order_by("token")

    @property
    def actions(self) -> models.QuerySet[Action]:
        """What people did to it, oldest first."""
        return Action.objects.using(self._state.db).filter(job_id=self.id).order_by("acted_at", "id")

    @property
    def preconditions(self) -> JobQuerySet:
        """The jobs that it waits for, or has waited for, in order of their ids; those that were pruned are gone."""
        return self._others("precondition_id", dependent_id=self.id)

    @property
    def dependents(self) -> JobQuerySet:
        """The jobs that wait for it, or have waited, in order of their ids."""
        return self._others("dependent_id", precondition_id=self.id)

    def _others(self, end: str, **of_this: Any) -> JobQuerySet:
        edges = EdgeRow.objects.using(self._state.db).filter(**of_this).values(end)
        return Job.objects.using(self._state.db).filter(IsAmong(models.F("pk"), models.Subquery(edges))).order_by("pk")

    @cached_property
    def progress(self) -> Progress | None:
        """What its handler said of itself last, asked for once; None where it said nothing."""
        row = ProgressRow.objects.using(self._state.db).filter(pk=self.id).first()
        if row is None:
            return None
        return Progress(row.done, row.total, row.message, read_object(row.metadata), row.updated_at)

    def explain(self) -> Explanation:
        """Says why it does not run, or what became of it; see `gristmill.explain`."""
        return doors.explain(self)

    def refresh_from_db(self, using: str | None = None, *args: Any, **kwargs: Any) -> None:
        """Reads it again where it was read, and its progress when it is next asked for."""
        self.__dict__.pop("progress", None)
        # Django would ask the router, which may send it to a replica.
        super().refresh_from_db(using or self._state.db, *args, **kwargs)

    def wait(self, timeout: Timeout = None) -> Job:
        """
        Waits until it has ended, one way or another, reads it again and returns it.

        As a result's `wait`: raises TimeoutError after so many seconds (or a timedelta), and WaitInTransaction where a
        transaction is open on its database, unless it has ended.
        """
        doors.wait(self, timeout)
        self.refresh_from_db()
        return self

    async def await_(self, timeout: Timeout = None) -> Job:
        """See `wait`."""
        await doors.await_(self, timeout)
        await self.arefresh_from_db()
        return self

    def cancel(self, *, actor: str = "") -> Answer:
        """See `gristmill.operations.cancel`. This object stays as it was read; `refresh_from_db()` shows the change."""
        return doors.cancel(self, actor)

    def hold(self, reason: str | None = None, *, actor: str = "") -> Answer:
        """See `gristmill.operations.hold`."""
        return doors.hold(self, reason, actor)

    def release(self, *, actor: str = "") -> Answer:
        """See `gristmill.operations.release`."""
        return doors.release(self, actor)

    def retry(self, *, actor: str = "") -> Answer:
        """See `gristmill.operations.retry`."""
        return doors.retry(self, actor)

    def run_now(self, *, actor: str = "") -> Answer:
        """See `gristmill.operations.run_now`."""
        return doors.run_now(self, actor)

    def change(self, *, priority: int | None = None, queue_name: str | None = None, actor: str = "") -> Answer:
        """See `gristmill.operations.change`."""
        return doors.change(self, priority, queue_name, actor)

    def enqueue_again(
        self, *, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, actor: str = ""
    ) -> JobResult[..., Any]:
        """See `gristmill.operations.enqueue_again`."""
        return doors.enqueue_again(self, args, kwargs, actor)

    def add_preconditions(self, after: After, *, actor: str = "") -> Answer:
        """See `gristmill.operations.add_preconditions`."""
        return doors.add_preconditions(self, after, actor)

    async def acancel(self, *, actor: str = "") -> Answer:
        """See `cancel`."""
        return await sync_to_async(self.cancel)(actor=actor)

    async def ahold(self, reason: str | None = None, *, actor: str = "") -> Answer:
        """See `hold`."""
        return await sync_to_async(self.hold)(reason, actor=actor)

    async def arelease(self, *, actor: str = "") -> Answer:
        """See `release`."""
        return await sync_to_async(self.release)(actor=actor)

    async def aretry(self, *, actor: str = "") -> Answer:
        """See `retry`."""
        return await sync_to_async(self.retry)(actor=actor)

    async def arun_now(self, *, actor: str = "") -> Answer:
        """See `run_now`."""
        return await sync_to_async(self.run_now)(actor=actor)

    async def achange(self, *, priority: int | None = None, queue_name: str | None = None, actor: str = "") -> Answer:
        """See `change`."""
        return await sync_to_async(self.change)(priority=priority, queue_name=queue_name, actor=actor)

    async def aenqueue_again(
        self, *, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, actor: str = ""
    ) -> JobResult[..., Any]:
        """See `enqueue_again`."""
        return await sync_to_async(self.enqueue_again)(args=args, kwargs=kwargs, actor=actor)

    async def aadd_preconditions(self, after: After, *, actor: str = "") -> Answer:
        """See `add_preconditions`."""
        return await sync_to_async(self.add_preconditions)(after, actor=actor)


for _name in (*OPERATIONS, "add_preconditions", "aadd_preconditions", "enqueue_again", "aenqueue_again"):
    getattr(Job, _name).alters_data = True
