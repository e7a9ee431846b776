"""The tables behind `Job`. Here so that Django's test runner empties them; they are not for use."""

from __future__ import annotations

from django.db import models

from gristmill.models.fields import MomentField


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
    deadline = MomentField(null=True)
    unique_key = models.TextField(null=True)
    unique_until = models.TextField(null=True)
    # How it started out: behind a gate, kept back, and with jobs of the same enqueue that wait for it.
    waits = models.BooleanField(default=False)
    held = models.BooleanField(default=False)
    awaited = models.BooleanField(default=False)

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
    # Others wait for its end.
    awaited = models.BooleanField(default=False)

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


class WaitingRow(Place):
    """A job that is kept back: by its gate, or by someone."""

    # So many of its preconditions have failed that its gate cannot hold.
    stranded = models.BooleanField(default=False)
    held = models.BooleanField(default=False)
    held_reason = models.TextField(null=True)

    class Meta(Place.Meta):
        db_table = "gristmill_waiting"


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
    # Where it has a retention of its own.
    prune_at = MomentField(null=True)

    class Meta(Place.Meta):
        db_table = "gristmill_result"


class UniqueKeyRow(models.Model):
    """The one job that has this key."""

    key = models.TextField(primary_key=True)
    job_id = models.UUIDField()
    until = models.TextField()
    expires_at = MomentField(null=True)

    class Meta:
        db_table = "gristmill_unique_key"
        default_permissions = ()


class GateRow(models.Model):
    """What a job waits for: so many of its preconditions, all of them where `needed` is null."""

    job_id = models.UUIDField(primary_key=True)
    needed = models.IntegerField(null=True)
    on_failure = models.TextField()
    arming = models.IntegerField()
    armed_at = MomentField()
    settled = models.BooleanField(default=False)
    # Its edges of this arming, by their state.
    open = models.IntegerField()
    successful = models.IntegerField()
    failed = models.IntegerField()

    class Meta:
        db_table = "gristmill_gate"
        default_permissions = ()


class EdgeRow(models.Model):
    """One job waits for another."""

    pk = models.CompositePrimaryKey("precondition_id", "dependent_id")
    precondition_id = models.UUIDField()
    dependent_id = models.UUIDField()
    # "open", "successful" or "failed"; as it was when the precondition was forgotten.
    state = models.TextField(default="open")
    arming = models.IntegerField(default=1)

    class Meta:
        db_table = "gristmill_edge"
        default_permissions = ()


class ErrandRow(models.Model):
    """What workers still have to carry through the graph."""

    id = models.BigAutoField(primary_key=True)
    # "spread", "settle", "judge" or "hurry".
    kind = models.TextField()
    job_id = models.UUIDField()
    other_id = models.UUIDField(null=True)
    seen = models.UUIDField(null=True)
    checks = models.BooleanField(default=False)
    due_at = MomentField()

    class Meta:
        db_table = "gristmill_errand"
        default_permissions = ()


class ControlRow(models.Model):
    """A wish that a running job may end."""

    job_id = models.UUIDField(primary_key=True)
    token = models.BigIntegerField()
    asked_at = MomentField()

    class Meta:
        db_table = "gristmill_control"
        default_permissions = ()


class ProgressRow(models.Model):
    """What a handler said of itself."""

    job_id = models.UUIDField(primary_key=True)
    token = models.BigIntegerField()
    done = models.FloatField(null=True)
    total = models.FloatField(null=True)
    message = models.TextField(null=True)
    metadata = models.TextField(null=True)
    updated_at = MomentField()

    class Meta:
        db_table = "gristmill_progress"
        default_permissions = ()
