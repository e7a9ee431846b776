"""Attempts of jobs that have ended, for reading."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from django.db import models

from gristmill.models.fields import JSONTextField, MomentField
from gristmill.models.loaded import Loaded, add_attempt
from gristmill.models.primary import PrimaryQuerySet

if TYPE_CHECKING:
    from typing_extensions import Self

    from gristmill.models.managers import AttemptManager

#: How an attempt ends that Django's `attempts` and `worker_ids` do not count.
UNCOUNTED_OUTCOMES = ("expired", "handed back", "incompatible", "postponed")
#: And how one ends that they count only until the job is claimed again, since it was none of the handler's doing.
UNDONE_OUTCOMES = ("conflict", "interrupted")


class AttemptQuerySet(PrimaryQuerySet["Attempt"]):
    """Attempts that have ended."""

    def counted(self) -> Self:
        """
        Attempts that Django's `attempts` and `worker_ids` count.

        They are those that started, were not postponed, and were not cut short by a stop to be run again since.
        """
        later = self.model._default_manager.filter(job_id=models.OuterRef("job_id"), token__gt=models.OuterRef("token"))
        undone = models.Q(models.Exists(later), outcome__in=UNDONE_OUTCOMES)
        return self.exclude(outcome__in=UNCOUNTED_OUTCOMES).exclude(undone)


class Attempt(Loaded):
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

    if TYPE_CHECKING:
        objects: ClassVar[AttemptManager]
    else:
        objects = AttemptQuerySet.as_manager()

    class Meta:
        db_table = "gristmill_attempt"
        default_permissions = ("view",)

    def _load(self, using: str) -> None:
        add_attempt(self, using)

    def __str__(self) -> str:
        return f"attempt {self.token} of {self.job_id.hex}: {self.outcome}"
