"""Workers, queues, and what people did."""

from __future__ import annotations

from django.db import models

from gristmill.models.fields import JSONTextField, MomentField
from gristmill.models.loaded import Loaded


class Worker(Loaded):
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
    # What people want of it: "quiet" or "stop", and who since when.
    asked = models.TextField(null=True)
    asked_by = models.TextField(null=True)
    asked_at = MomentField(null=True)

    class Meta:
        db_table = "gristmill_worker"
        default_permissions = ("view",)
        permissions = (("stop_worker", "Can quiet and stop workers"),)

    def __str__(self) -> str:
        return f"{self.label} (process {self.pid} on {self.host})"


class Queue(Loaded):
    """A queue that someone has paused; a queue without a row runs. Read only; see `gristmill.operations`."""

    pk = models.CompositePrimaryKey("backend", "queue_name")
    backend = models.TextField()
    queue_name = models.TextField()
    paused_at = MomentField()
    reason = models.TextField()

    class Meta:
        db_table = "gristmill_queue"
        default_permissions = ("view",)
        permissions = (("pause_queue", "Can pause and resume queues"),)

    def __str__(self) -> str:
        return f"{self.queue_name} (paused)"


class Action(Loaded):
    """What someone did to a job: cancel, hold, release, retry, … Read only."""

    id = models.UUIDField(primary_key=True)
    job_id = models.UUIDField()
    verb = models.TextField()
    # Of the job when it was done.
    token = models.BigIntegerField()
    # A user, a command or a program, in words.
    actor = models.TextField()
    acted_at = MomentField()
    # The new job, where this one was enqueued again with other arguments; the job that was there, of the new one.
    other_id = models.UUIDField(null=True)

    class Meta:
        db_table = "gristmill_action"
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.verb} {self.job_id.hex} by {self.actor}"
