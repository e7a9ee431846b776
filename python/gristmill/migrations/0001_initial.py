"""Gristmill's tables. The SQL is the engine's own; the models beside it are what Django sees of them."""

from typing import Any

from django.db import migrations, models

import gristmill.models
from gristmill.database.schema import RunStatements

TABLES = [
    "depth", "pulse", "tick", "schedule", "queue", "action", "progress", "cancel_request", "propagation", "edge",
    "gate", "unique_key", "notice", "worker", "result", "attempt", "running", "waiting", "scheduled", "ready", "job",
    "schema",
]  # fmt: skip
DROP = ["drop view gristmill_jobs", *(f"drop table gristmill_{table}" for table in TABLES)]
FUNCTIONS = [
    "drop function gristmill_keep_version()",
    "drop function gristmill_take_back_key(uuid, text, text, timestamptz)",
    "drop function gristmill_is_awaited(uuid)",
]
ROUTINES = {
    "postgres": [
        "drop function gristmill_enqueue_one, gristmill_conflict, gristmill_lock_holder, gristmill_is_nowhere"
    ],
    "sqlite": ["drop view gristmill_enqueue"],
}


def kept_back(table: str, **options: Any) -> dict[str, Any]:
    """The options of a model that is not for use."""
    return {**options, "db_table": table, "default_permissions": ()}


def composite(*names: str) -> tuple[str, models.CompositePrimaryKey]:
    """A primary key of several columns."""
    key = models.CompositePrimaryKey(*names, blank=True, editable=False, primary_key=True, serialize=False)
    return "pk", key


def texts(*names: str) -> list[tuple[str, Any]]:
    """Columns of text."""
    return [(name, models.TextField()) for name in names]


def page(name: str, **options: Any) -> migrations.CreateModel:
    """A page of the admin."""
    more = {"proxy": True, "indexes": [], "constraints": []}
    return migrations.CreateModel(name=name, fields=[], bases=("gristmill.job",), options={**more, **options})


class Migration(migrations.Migration):
    initial = True

    operations = [
        RunStatements("0001_initial", drop={"postgres": [*DROP, *FUNCTIONS], "sqlite": DROP}),
        RunStatements("0001_routines", drop=ROUTINES),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name="Job",
                    fields=[
                        ("id", models.UUIDField(primary_key=True, serialize=False)),
                        *texts("backend", "queue_name", "task_name"),
                        ("priority", models.SmallIntegerField()),
                        (
                            "state",
                            models.TextField(
                                choices=[
                                    ("scheduled", "Scheduled"),
                                    ("waiting", "Waiting"),
                                    ("stranded", "Stranded"),
                                    ("held", "Held"),
                                    ("ready", "Ready"),
                                    ("running", "Running"),
                                    ("successful", "Successful"),
                                    ("failed", "Failed"),
                                    ("cancelled", "Cancelled"),
                                    ("poisoned", "Poisoned"),
                                ]
                            ),
                        ),
                        ("reason", models.TextField(null=True)),
                        ("args", gristmill.models.JSONTextField()),
                        ("kwargs", gristmill.models.JSONTextField()),
                        ("options", gristmill.models.JSONTextField(null=True)),
                        ("enqueued_at", gristmill.models.MomentField()),
                        ("run_after", gristmill.models.MomentField(null=True)),
                        ("due_at", gristmill.models.MomentField(null=True)),
                        ("deadline", gristmill.models.MomentField()),
                        ("token", models.BigIntegerField()),
                        ("generation", models.IntegerField()),
                        ("failures", models.IntegerField()),
                        ("crashes", models.IntegerField()),
                        ("losses", models.IntegerField()),
                        ("postpones", models.IntegerField()),
                        ("interruptions", models.IntegerField()),
                        ("started_at", gristmill.models.MomentField(null=True)),
                        ("claimed_at", gristmill.models.MomentField(null=True)),
                        ("finished_at", gristmill.models.MomentField(null=True)),
                        ("worker_id", models.UUIDField(null=True)),
                        ("result", gristmill.models.JSONTextField(db_column="return_value", null=True)),
                    ],
                    options={
                        "db_table": "gristmill_jobs",
                        "permissions": (
                            ("retry_job", "Can retry jobs"),
                            ("cancel_job", "Can cancel jobs"),
                            ("hold_job", "Can hold and release jobs"),
                            ("run_job", "Can run scheduled jobs now"),
                            ("move_job", "Can change the priority and the queue of jobs"),
                            ("enqueue_job", "Can run jobs again with other arguments"),
                            ("reveal_job", "Can see redacted arguments of jobs"),
                        ),
                        "managed": False,
                        "default_permissions": ("view",),
                    },
                ),
                migrations.CreateModel(
                    name="Attempt",
                    fields=[
                        composite("job_id", "token"),
                        ("job_id", models.UUIDField()),
                        ("token", models.BigIntegerField()),
                        ("generation", models.IntegerField()),
                        ("worker_id", models.UUIDField()),
                        ("runner_pid", models.IntegerField(null=True)),
                        ("claimed_at", gristmill.models.MomentField()),
                        ("started_at", gristmill.models.MomentField(null=True)),
                        ("ended_at", gristmill.models.MomentField()),
                        ("outcome", models.TextField()),
                        ("reason", models.TextField(null=True)),
                        ("return_value", gristmill.models.JSONTextField(null=True)),
                        ("exception_class_path", models.TextField(null=True)),
                        ("traceback", models.TextField(null=True)),
                        ("output", models.TextField(null=True)),
                    ],
                    options={
                        "db_table": "gristmill_attempt",
                        "default_permissions": ("view",),
                    },
                ),
                migrations.CreateModel(
                    name="JobRow",
                    fields=[
                        ("id", models.UUIDField(primary_key=True, serialize=False)),
                        *texts("backend", "queue_name", "task_name"),
                        ("priority", models.SmallIntegerField()),
                        ("run_after", gristmill.models.MomentField(null=True)),
                        ("enqueued_at", gristmill.models.MomentField()),
                        *texts("args", "kwargs"),
                        ("options", models.TextField(null=True)),
                        ("deadline", gristmill.models.MomentField(null=True)),
                        ("unique_key", models.TextField(null=True)),
                        ("unique_until", models.TextField(null=True)),
                        ("unique_period", models.FloatField(null=True)),
                        ("retention", models.FloatField(null=True)),
                    ],
                    options=kept_back("gristmill_job"),
                ),
                migrations.CreateModel(
                    name="ReadyRow",
                    fields=[
                        ("id", models.UUIDField(primary_key=True, serialize=False)),
                        *texts("backend", "queue_name", "task_name"),
                        ("priority", models.SmallIntegerField()),
                        ("run_after", gristmill.models.MomentField(null=True)),
                        ("deadline", gristmill.models.MomentField()),
                        ("token", models.BigIntegerField()),
                        ("generation", models.IntegerField()),
                        ("counts", models.TextField(null=True)),
                        ("started_at", gristmill.models.MomentField(null=True)),
                        ("awaited", models.BooleanField(default=False)),
                    ],
                    options={
                        "db_table": "gristmill_ready",
                        "abstract": False,
                        "default_permissions": (),
                    },
                ),
                migrations.CreateModel(
                    name="ResultRow",
                    fields=[
                        ("id", models.UUIDField(primary_key=True, serialize=False)),
                        *texts("backend", "queue_name", "task_name"),
                        ("priority", models.SmallIntegerField()),
                        ("run_after", gristmill.models.MomentField(null=True)),
                        ("deadline", gristmill.models.MomentField()),
                        ("token", models.BigIntegerField()),
                        ("generation", models.IntegerField()),
                        ("counts", models.TextField(null=True)),
                        ("started_at", gristmill.models.MomentField(null=True)),
                        ("awaited", models.BooleanField(default=False)),
                        ("finished_at", gristmill.models.MomentField()),
                        ("state", models.TextField()),
                        ("reason", models.TextField(null=True)),
                        ("prune_at", gristmill.models.MomentField(null=True)),
                        ("fingerprint", models.TextField(null=True)),
                    ],
                    options={
                        "db_table": "gristmill_result",
                        "abstract": False,
                        "default_permissions": (),
                    },
                ),
                migrations.CreateModel(
                    name="RunningRow",
                    fields=[
                        ("id", models.UUIDField(primary_key=True, serialize=False)),
                        *texts("backend", "queue_name", "task_name"),
                        ("priority", models.SmallIntegerField()),
                        ("run_after", gristmill.models.MomentField(null=True)),
                        ("deadline", gristmill.models.MomentField()),
                        ("token", models.BigIntegerField()),
                        ("generation", models.IntegerField()),
                        ("counts", models.TextField(null=True)),
                        ("started_at", gristmill.models.MomentField(null=True)),
                        ("awaited", models.BooleanField(default=False)),
                        ("worker_id", models.UUIDField()),
                        ("claimed_at", gristmill.models.MomentField()),
                    ],
                    options={
                        "db_table": "gristmill_running",
                        "abstract": False,
                        "default_permissions": (),
                    },
                ),
                migrations.CreateModel(
                    name="ScheduledRow",
                    fields=[
                        ("id", models.UUIDField(primary_key=True, serialize=False)),
                        *texts("backend", "queue_name", "task_name"),
                        ("priority", models.SmallIntegerField()),
                        ("deadline", gristmill.models.MomentField()),
                        ("token", models.BigIntegerField()),
                        ("generation", models.IntegerField()),
                        ("counts", models.TextField(null=True)),
                        ("started_at", gristmill.models.MomentField(null=True)),
                        ("awaited", models.BooleanField(default=False)),
                        ("run_after", gristmill.models.MomentField()),
                    ],
                    options={
                        "db_table": "gristmill_scheduled",
                        "abstract": False,
                        "default_permissions": (),
                    },
                ),
                migrations.CreateModel(
                    name="Worker",
                    fields=[
                        ("id", models.UUIDField(primary_key=True, serialize=False)),
                        *texts("label", "host"),
                        ("pid", models.IntegerField()),
                        *texts("version", "backend"),
                        ("queues", gristmill.models.JSONTextField()),
                        ("tasks", gristmill.models.JSONTextField()),
                        ("processes", models.IntegerField()),
                        ("started_at", gristmill.models.MomentField()),
                        ("heartbeat_at", gristmill.models.MomentField()),
                        ("heartbeat_seconds", models.FloatField()),
                        ("lease_seconds", models.FloatField()),
                        ("idle", models.BooleanField(default=False)),
                        ("suspect_at", gristmill.models.MomentField(null=True)),
                        ("lost_at", gristmill.models.MomentField(null=True)),
                        ("stopped_at", gristmill.models.MomentField(null=True)),
                        ("exit_status", models.IntegerField(null=True)),
                        ("last_error", models.TextField(null=True)),
                        ("asked", models.TextField(null=True)),
                        ("asked_by", models.TextField(null=True)),
                        ("asked_at", gristmill.models.MomentField(null=True)),
                    ],
                    options={
                        "db_table": "gristmill_worker",
                        "permissions": (("stop_worker", "Can quiet and stop workers"),),
                        "default_permissions": ("view",),
                    },
                ),
                migrations.CreateModel(
                    name="WaitingRow",
                    fields=[
                        ("id", models.UUIDField(primary_key=True, serialize=False)),
                        *texts("backend", "queue_name", "task_name"),
                        ("priority", models.SmallIntegerField()),
                        ("run_after", gristmill.models.MomentField(null=True)),
                        ("deadline", gristmill.models.MomentField()),
                        ("token", models.BigIntegerField()),
                        ("generation", models.IntegerField()),
                        ("counts", models.TextField(null=True)),
                        ("started_at", gristmill.models.MomentField(null=True)),
                        ("awaited", models.BooleanField(default=False)),
                        ("stranded", models.BooleanField(default=False)),
                        ("held", models.BooleanField(default=False)),
                        ("held_reason", models.TextField(null=True)),
                    ],
                    options={
                        "db_table": "gristmill_waiting",
                        "abstract": False,
                        "default_permissions": (),
                    },
                ),
                migrations.CreateModel(
                    name="UniqueKeyRow",
                    fields=[
                        ("key", models.TextField(primary_key=True, serialize=False)),
                        ("job_id", models.UUIDField()),
                        ("until", models.TextField()),
                        ("expires_at", gristmill.models.MomentField(null=True)),
                    ],
                    options=kept_back("gristmill_unique_key"),
                ),
                migrations.CreateModel(
                    name="GateRow",
                    fields=[
                        ("job_id", models.UUIDField(primary_key=True, serialize=False)),
                        ("needed", models.IntegerField(null=True)),
                        ("on_precondition_failure", models.TextField()),
                        ("epoch", models.IntegerField()),
                        ("armed_at", gristmill.models.MomentField()),
                        ("resolved", models.BooleanField(default=False)),
                        ("open", models.IntegerField()),
                        ("successful", models.IntegerField()),
                        ("failed", models.IntegerField()),
                    ],
                    options=kept_back("gristmill_gate"),
                ),
                migrations.CreateModel(
                    name="NoticeRow",
                    fields=[
                        composite("fingerprint", "hour"),
                        ("fingerprint", models.TextField()),
                        ("hour", gristmill.models.MomentField()),
                        ("job_id", models.UUIDField()),
                    ],
                    options=kept_back("gristmill_notice"),
                ),
                migrations.CreateModel(
                    name="EdgeRow",
                    fields=[
                        composite("precondition_id", "dependent_id"),
                        ("precondition_id", models.UUIDField()),
                        ("dependent_id", models.UUIDField()),
                        ("state", models.TextField(default="open")),
                        ("epoch", models.IntegerField(default=1)),
                    ],
                    options=kept_back("gristmill_edge"),
                ),
                migrations.CreateModel(
                    name="PropagationRow",
                    fields=[
                        ("id", models.BigAutoField(primary_key=True, serialize=False)),
                        ("kind", models.TextField()),
                        ("job_id", models.UUIDField()),
                        ("other_id", models.UUIDField(null=True)),
                        ("seen", models.UUIDField(null=True)),
                        ("checks", models.BooleanField(default=False)),
                        ("due_at", gristmill.models.MomentField()),
                    ],
                    options=kept_back("gristmill_propagation"),
                ),
                migrations.CreateModel(
                    name="CancelRequestRow",
                    fields=[
                        ("job_id", models.UUIDField(primary_key=True, serialize=False)),
                        ("token", models.BigIntegerField()),
                        ("asked_at", gristmill.models.MomentField()),
                    ],
                    options=kept_back("gristmill_cancel_request"),
                ),
                migrations.CreateModel(
                    name="ProgressRow",
                    fields=[
                        ("job_id", models.UUIDField(primary_key=True, serialize=False)),
                        ("token", models.BigIntegerField()),
                        ("done", models.FloatField(null=True)),
                        ("total", models.FloatField(null=True)),
                        ("message", models.TextField(null=True)),
                        ("metadata", models.TextField(null=True)),
                        ("updated_at", gristmill.models.MomentField()),
                    ],
                    options=kept_back("gristmill_progress"),
                ),
                migrations.CreateModel(
                    name="PulseRow",
                    fields=[
                        ("id", models.UUIDField(primary_key=True, serialize=False)),
                        ("level", models.SmallIntegerField()),
                        ("at", gristmill.models.MomentField()),
                        *texts("backend", "queue_name", "task_name", "outcome", "version"),
                        ("attempts", models.BigIntegerField()),
                        ("wait_seconds", models.FloatField()),
                        ("run_seconds", models.FloatField()),
                        ("waits", models.TextField(null=True)),
                        ("runs", models.TextField(null=True)),
                    ],
                    options=kept_back("gristmill_pulse"),
                ),
                migrations.CreateModel(
                    name="DepthRow",
                    fields=[
                        composite("level", "at", "backend", "queue_name"),
                        ("level", models.SmallIntegerField()),
                        ("at", gristmill.models.MomentField()),
                        *texts("backend", "queue_name"),
                        ("ready", models.IntegerField()),
                        ("scheduled", models.IntegerField()),
                        ("oldest_seconds", models.FloatField()),
                    ],
                    options=kept_back("gristmill_depth"),
                ),
                migrations.CreateModel(
                    name="Queue",
                    fields=[
                        composite("backend", "queue_name"),
                        *texts("backend", "queue_name"),
                        ("paused_at", gristmill.models.MomentField()),
                        ("reason", models.TextField()),
                    ],
                    options={
                        "db_table": "gristmill_queue",
                        "default_permissions": ("view",),
                        "permissions": (("pause_queue", "Can pause and resume queues"),),
                    },
                ),
                migrations.CreateModel(
                    name="Action",
                    fields=[
                        ("id", models.UUIDField(primary_key=True, serialize=False)),
                        ("job_id", models.UUIDField()),
                        ("verb", models.TextField()),
                        ("token", models.BigIntegerField()),
                        ("actor", models.TextField()),
                        ("acted_at", gristmill.models.MomentField()),
                        ("other_id", models.UUIDField(null=True)),
                    ],
                    options={
                        "db_table": "gristmill_action",
                        "default_permissions": ("view",),
                    },
                ),
                migrations.CreateModel(
                    name="Schedule",
                    fields=[
                        composite("backend", "name"),
                        *texts("backend", "name", "origin", "queue_name", "task_name", "definition", "job"),
                        ("created_at", gristmill.models.MomentField()),
                        ("defined_at", gristmill.models.MomentField()),
                        ("removed_at", gristmill.models.MomentField(null=True)),
                        ("paused_at", gristmill.models.MomentField(null=True)),
                        ("paused_reason", models.TextField(null=True)),
                        ("high_water", gristmill.models.MomentField(null=True)),
                        ("next_at", gristmill.models.MomentField(null=True)),
                        ("problem", models.TextField(null=True)),
                    ],
                    options={
                        "db_table": "gristmill_schedule",
                        "default_permissions": ("view",),
                        "permissions": (
                            ("run_schedule", "Can run schedules now"),
                            ("pause_schedule", "Can pause and resume schedules"),
                            ("define_schedule", "Can make, change and remove schedules"),
                        ),
                    },
                ),
                migrations.CreateModel(
                    name="Tick",
                    fields=[
                        composite("backend", "schedule", "nominal"),
                        *texts("backend", "schedule"),
                        ("nominal", gristmill.models.MomentField()),
                        ("by_hand", models.BooleanField(default=False)),
                        ("found_at", gristmill.models.MomentField()),
                        ("job_id", models.UUIDField(null=True)),
                        ("skipped", models.TextField(null=True)),
                    ],
                    options={
                        "db_table": "gristmill_tick",
                        "default_permissions": ("view",),
                    },
                ),
                page(
                    "Overview", verbose_name="overview", verbose_name_plural="overview", default_permissions=("view",)
                ),
                page("Failures", verbose_name="failure", default_permissions=()),
                page("Queues", verbose_name="queue", default_permissions=()),
                page("Schedules", verbose_name="schedule", default_permissions=()),
            ],
        ),
    ]
