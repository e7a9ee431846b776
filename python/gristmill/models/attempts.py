"""Attempts of jobs that have ended, for reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

from gristmill.models.fields import JSONTextField, MomentField

if TYPE_CHECKING:
    from typing_extensions import Self

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
