"""Jobs, for reading, and what can be done to one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

from asgiref.sync import sync_to_async
from django.db import DEFAULT_DB_ALIAS, models
from django.utils.functional import cached_property

from gristmill.compat import TaskResultStatus
from gristmill.models.attempts import Attempt, AttemptQuerySet
from gristmill.models.fields import IsAmong, JSONTextField, MomentField
from gristmill.models.querysets import OPERATIONS, STATUS_OF_STATE, JobQuerySet, State
from gristmill.models.rows import EdgeRow, ProgressRow
from gristmill.models.workers import Action
from gristmill.waiting import wait_until_ended, wait_until_ended_async

if TYPE_CHECKING:
    from gristmill.explaining.answer import Explanation
    from gristmill.operations import Answer
    from gristmill.preconditions import After
    from gristmill.waiting import Timeout


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
        metadata = json.loads(row.metadata) if row.metadata else {}
        return Progress(row.done, row.total, row.message, metadata, row.updated_at)

    def explain(self) -> Explanation:
        """Says why it does not run, or what became of it; see `gristmill.explain`."""
        from gristmill.explain import explain

        return explain(self)

    def refresh_from_db(self, *args: Any, **kwargs: Any) -> None:
        """Reads it again, and its progress when it is next asked for."""
        self.__dict__.pop("progress", None)
        super().refresh_from_db(*args, **kwargs)

    def wait(self, timeout: Timeout = None) -> Job:
        """
        Waits until it has ended, one way or another, reads it again and returns it.

        As a result's `wait`: raises TimeoutError after so many seconds (or a timedelta), and WaitInTransaction where a
        transaction is open on its database, unless it has ended.
        """
        wait_until_ended(self._state.db or DEFAULT_DB_ALIAS, self.id, timeout)
        self.refresh_from_db()
        return self

    async def await_(self, timeout: Timeout = None) -> Job:
        """See `wait`."""
        await wait_until_ended_async(self._state.db or DEFAULT_DB_ALIAS, self.id, timeout)
        await self.arefresh_from_db()
        return self

    def cancel(self, *, actor: str = "") -> Answer:
        """See `gristmill.operations.cancel`. This object stays as it was read; `refresh_from_db()` shows the change."""
        from gristmill import operations

        return operations.cancel(self, actor=actor)

    def hold(self, reason: str | None = None, *, actor: str = "") -> Answer:
        """See `gristmill.operations.hold`."""
        from gristmill import operations

        return operations.hold(self, reason, actor=actor)

    def release(self, *, actor: str = "") -> Answer:
        """See `gristmill.operations.release`."""
        from gristmill import operations

        return operations.release(self, actor=actor)

    def retry(self, *, actor: str = "") -> Answer:
        """See `gristmill.operations.retry`."""
        from gristmill import operations

        return operations.retry(self, actor=actor)

    def add_preconditions(self, after: After, *, actor: str = "") -> Answer:
        """See `gristmill.operations.add_preconditions`."""
        from gristmill import operations

        return operations.add_preconditions(self, after, actor=actor)

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

    async def aadd_preconditions(self, after: After, *, actor: str = "") -> Answer:
        """See `add_preconditions`."""
        return await sync_to_async(self.add_preconditions)(after, actor=actor)


for _name in (*OPERATIONS, "add_preconditions", "aadd_preconditions"):
    getattr(Job, _name).alters_data = True
