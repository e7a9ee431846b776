"""The tables behind `Job`. Here so that Django's test runner empties them and fixtures have them; not for use."""

from __future__ import annotations

from django.db import models

from gristmill.models.fields import MomentField
from gristmill.models.loaded import Loaded, add_place, add_propagation


class JobRow(Loaded):
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
    # Seconds: from the enqueue until it keeps its key from nobody, and from its end until it is forgotten.
    unique_period = models.FloatField(null=True)
    retention = models.FloatField(null=True)

    class Meta:
        db_table = "gristmill_job"
        default_permissions = ()


class Place(Loaded):
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
    # What it has been through: a JSON object of what is not zero; None is nothing. The engine's to read and write.
    counts = models.TextField(null=True)
    started_at = MomentField(null=True)
    # Others wait for its end.
    awaited = models.BooleanField(default=False)

    class Meta:
        abstract = True
        default_permissions = ()

    def _load(self, using: str) -> None:
        add_place(self, using)


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
    # Of a failure: which others are of its cause.
    fingerprint = models.TextField(null=True)

    class Meta(Place.Meta):
        db_table = "gristmill_result"


class NoticeRow(Loaded):
    """Somebody was told in this hour of failures of one cause, of this job's."""

    pk = models.CompositePrimaryKey("fingerprint", "hour")
    fingerprint = models.TextField()
    hour = MomentField()
    job_id = models.UUIDField()

    class Meta:
        db_table = "gristmill_notice"
        default_permissions = ()


class UniqueKeyRow(Loaded):
    """The one job that has this key."""

    key = models.TextField(primary_key=True)
    job_id = models.UUIDField()
    until = models.TextField()
    expires_at = MomentField(null=True)

    class Meta:
        db_table = "gristmill_unique_key"
        default_permissions = ()


class GateRow(Loaded):
    """What a job waits for: so many of its preconditions, all of them where `needed` is null."""

    job_id = models.UUIDField(primary_key=True)
    needed = models.IntegerField(null=True)
    on_precondition_failure = models.TextField()
    epoch = models.IntegerField()
    armed_at = MomentField()
    resolved = models.BooleanField(default=False)
    # Its edges of its own epoch, by their state.
    open = models.IntegerField()
    successful = models.IntegerField()
    failed = models.IntegerField()

    class Meta:
        db_table = "gristmill_gate"
        default_permissions = ()


class EdgeRow(Loaded):
    """One job waits for another."""

    pk = models.CompositePrimaryKey("precondition_id", "dependent_id")
    precondition_id = models.UUIDField()
    dependent_id = models.UUIDField()
    # "open", "successful" or "failed"; as it was when the precondition was forgotten.
    state = models.TextField(default="open")
    epoch = models.IntegerField(default=1)

    class Meta:
        db_table = "gristmill_edge"
        default_permissions = ()


class PropagationRow(Loaded):
    """What workers still have to carry through the graph."""

    id = models.BigAutoField(primary_key=True)
    # "notify", "resolve", "evaluate" or "raise_deadline".
    kind = models.TextField()
    job_id = models.UUIDField()
    other_id = models.UUIDField(null=True)
    seen = models.UUIDField(null=True)
    checks = models.BooleanField(default=False)
    due_at = MomentField()

    class Meta:
        db_table = "gristmill_propagation"
        default_permissions = ()

    def _load(self, using: str) -> None:
        add_propagation(self, using)


class CancelRequestRow(Loaded):
    """Someone wants this running job to end."""

    job_id = models.UUIDField(primary_key=True)
    token = models.BigIntegerField()
    asked_at = MomentField()

    class Meta:
        db_table = "gristmill_cancel_request"
        default_permissions = ()


class ProgressRow(Loaded):
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


class PulseRow(Loaded):
    """What became of attempts of one lane in one minute, hour or day: how many, and how long they were due and ran."""

    id = models.UUIDField(primary_key=True)
    # 0: a minute as one worker appended it; 1: a minute of all workers; 2: an hour; 3: a day.
    level = models.SmallIntegerField()
    # Where that begins.
    at = MomentField()
    backend = models.TextField()
    queue_name = models.TextField()
    task_name = models.TextField()
    outcome = models.TextField()
    # Of the worker's code.
    version = models.TextField()
    attempts = models.BigIntegerField()
    wait_seconds = models.FloatField()
    run_seconds = models.FloatField()
    # How many fell into which bucket: JSON lists.
    waits = models.TextField(null=True)
    runs = models.TextField(null=True)

    class Meta:
        db_table = "gristmill_pulse"
        default_permissions = ()


class DepthRow(Loaded):
    """How many jobs of a queue were ready and scheduled at a minute's beginning, or at most in an hour or a day."""

    pk = models.CompositePrimaryKey("level", "at", "backend", "queue_name")
    level = models.SmallIntegerField()
    at = MomentField()
    backend = models.TextField()
    queue_name = models.TextField()
    ready = models.IntegerField()
    scheduled = models.IntegerField()
    # For how long the oldest one had been due.
    oldest_seconds = models.FloatField()

    class Meta:
        db_table = "gristmill_depth"
        default_permissions = ()
