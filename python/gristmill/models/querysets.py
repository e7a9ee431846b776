"""Jobs by state, and what can be done to many at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async
from django.db import models

from gristmill.compat import TaskResultStatus
from gristmill.models import doors
from gristmill.models.primary import PrimaryQuerySet

if TYPE_CHECKING:
    from typing_extensions import Self

    from gristmill.models.jobs import Job  # noqa: F401
    from gristmill.operations import Answer


class State(models.TextChoices):
    """Where a job is."""

    SCHEDULED = "scheduled"
    WAITING = "waiting"
    STRANDED = "stranded"
    HELD = "held"
    READY = "ready"
    RUNNING = "running"
    SUCCESSFUL = "successful"
    FAILED = "failed"
    CANCELLED = "cancelled"
    POISONED = "poisoned"


STATUS_OF_STATE = {
    State.SCHEDULED.value: TaskResultStatus.READY,
    State.WAITING.value: TaskResultStatus.READY,
    State.STRANDED.value: TaskResultStatus.READY,
    State.HELD.value: TaskResultStatus.READY,
    State.READY.value: TaskResultStatus.READY,
    State.RUNNING.value: TaskResultStatus.RUNNING,
    State.SUCCESSFUL.value: TaskResultStatus.SUCCESSFUL,
    State.FAILED.value: TaskResultStatus.FAILED,
    State.CANCELLED.value: TaskResultStatus.FAILED,
    State.POISONED.value: TaskResultStatus.FAILED,
}


class JobQuerySet(PrimaryQuerySet["Job"]):
    """
    Jobs by state, each read from one table only; and what can be done to all jobs of a filter.

    `cancel`, `hold`, `release`, `retry`, `run_now`, `change` and `delete` read ids page by page and carry each thousand
    out by itself, in the transaction that is open, else in one of its own. They leave out jobs in states that they do
    not change, and jobs enqueued after they began.
    """

    def scheduled(self) -> Self:
        """Jobs whose date has not come."""
        return self.filter(state=State.SCHEDULED)

    def waiting(self) -> Self:
        """Jobs that wait for other jobs."""
        return self.filter(state=State.WAITING)

    def stranded(self) -> Self:
        """Jobs that need a job which failed, and do not go on without it; they go on when it is retried."""
        return self.filter(state=State.STRANDED)

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

    def cancel(self, *, actor: str = "") -> Answer:
        """Cancels those that do not run, and asks for those that do; see `gristmill.operations.cancel`."""
        return self._operate("cancel", actor)

    def hold(self, reason: str | None = None, *, actor: str = "") -> Answer:
        """Keeps back those that do not run yet; see `gristmill.operations.hold`."""
        return self._operate("hold", actor, reason)

    def release(self, *, actor: str = "") -> Answer:
        """Lets those go that are held; see `gristmill.operations.release`."""
        return self._operate("release", actor)

    def retry(self, *, actor: str = "", successful: bool = False) -> Answer:
        """
        Runs those again that failed, were cancelled or poisoned; see `gristmill.operations.retry`.

        Those that succeeded only if `successful` says so: a filter that is too wide would charge every card twice.
        """
        return (self if successful else self.failed())._operate("retry", actor)

    def run_now(self, *, actor: str = "") -> Answer:
        """Makes those due now that are scheduled; see `gristmill.operations.run_now`."""
        return self._operate("run_now", actor)

    def change(self, *, priority: int | None = None, queue_name: str | None = None, actor: str = "") -> Answer:
        """Gives those that have not started another priority or queue; see `gristmill.operations.change`."""
        return doors.change_many(self, priority, queue_name, actor)

    def delete(self) -> tuple[int, dict[str, int]]:
        """
        Deletes those that have ended, with their attempts; returns how many, as Django does.

        Those that have not ended are left, and so are those that a job waits for which has not: cancel what is not to
        run. `Job.delete` says why it refuses. No signal is sent.
        """
        if self.query.is_sliced:
            raise TypeError("Cannot use 'limit' or 'offset' with delete().")
        count = doors.delete_many(self)
        self._result_cache = None
        return count, {self.model._meta.label: count}

    async def acancel(self, *, actor: str = "") -> Answer:
        """See `cancel`."""
        return await sync_to_async(self.cancel)(actor=actor)

    async def ahold(self, reason: str | None = None, *, actor: str = "") -> Answer:
        """See `hold`."""
        return await sync_to_async(self.hold)(reason, actor=actor)

    async def arelease(self, *, actor: str = "") -> Answer:
        """See `release`."""
        return await sync_to_async(self.release)(actor=actor)

    async def aretry(self, *, actor: str = "", successful: bool = False) -> Answer:
        """See `retry`."""
        return await sync_to_async(self.retry)(actor=actor, successful=successful)

    async def arun_now(self, *, actor: str = "") -> Answer:
        """See `run_now`."""
        return await sync_to_async(self.run_now)(actor=actor)

    async def achange(self, *, priority: int | None = None, queue_name: str | None = None, actor: str = "") -> Answer:
        """See `change`."""
        return await sync_to_async(self.change)(priority=priority, queue_name=queue_name, actor=actor)

    def _operate(self, verb: str, actor: str, reason: str | None = None) -> Answer:
        return doors.operate(self, verb, actor, reason)


#: The methods that change jobs; a job has them too.
OPERATIONS = [
    each for verb in ("cancel", "change", "hold", "release", "retry", "run_now") for each in (verb, f"a{verb}")
]
for _name in (*OPERATIONS, "delete"):
    # As Django marks delete(): no template calls it, and `Job.objects` has it only after all() or filter().
    getattr(JobQuerySet, _name).alters_data = True
    getattr(JobQuerySet, _name).queryset_only = True
