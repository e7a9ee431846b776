"""Gristmill's tables. The SQL is the engine's own; the models beside it are what Django sees of them."""

from django.db import migrations, models

import gristmill.models
from gristmill.schema import RunStatements

TABLES = [
    "queue", "action", "progress", "control", "unique_key", "worker", "result", "attempt", "running", "waiting",
    "scheduled", "ready", "job", "schema",
]  # fmt: skip
DROP = ["drop view gristmill_jobs", *(f"drop table gristmill_{table}" for table in TABLES)]
FUNCTIONS = ["drop function gristmill_place()", "drop function gristmill_take_back_key(uuid, text)"]


class Migration(migrations.Migration):
    initial = True

    operations = [
        RunStatements("0001_initial", drop={"postgres": [*DROP, *FUNCTIONS], "sqlite": DROP}),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name="Job",
                    fields=[
                        ("id", models.UUIDField(primary_key=True, serialize=False)),
                        ("backend", models.TextField()),
                        ("queue_name", models.TextField()),
                        ("task_name", models.TextField()),
                        ("priority", models.SmallIntegerField()),
                        (
                            "state",
                            models.TextField(
                                choices=[
                                    ("scheduled", "Scheduled"),
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
                        "managed": False,
                        "default_permissions": ("view",),
                    },
                ),
                migrations.CreateModel(
                    name="Attempt",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "job_id", "token", blank=True, editable=False, primary_key=True, serialize=False
                            ),
                        ),
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
                        ("backend", models.TextField()),
                        ("queue_name", models.TextField()),
                        ("task_name", models.TextField()),
                        ("priority", models.SmallIntegerField()),
                        ("run_after", gristmill.models.MomentField(null=True)),
                        ("enqueued_at", gristmill.models.MomentField()),
                        ("args", models.TextField()),
                        ("kwargs", models.TextField()),
                        ("options", models.TextField(null=True)),
                        ("deadline", gristmill.models.MomentField(null=True)),
                        ("unique_key", models.TextField(null=True)),
                        ("unique_until", models.TextField(null=True)),
                    ],
                    options={
                        "db_table": "gristmill_job",
                        "default_permissions": (),
                    },
                ),
                migrations.CreateModel(
                    name="ReadyRow",
                    fields=[
                        ("id", models.UUIDField(primary_key=True, serialize=False)),
                        ("backend", models.TextField()),
                        ("queue_name", models.TextField()),
                        ("task_name", models.TextField()),
                        ("priority", models.SmallIntegerField()),
                        ("run_after", gristmill.models.MomentField(null=True)),
                        ("deadline", gristmill.models.MomentField()),
                        ("token", models.BigIntegerField()),
                        ("generation", models.IntegerField()),
                        ("failures", models.IntegerField()),
                        ("crashes", models.IntegerField()),
                        ("losses", models.IntegerField()),
                        ("postpones", models.IntegerField()),
                        ("interruptions", models.IntegerField()),
                        ("started_at", gristmill.models.MomentField(null=True)),
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
                        ("backend", models.TextField()),
                        ("queue_name", models.TextField()),
                        ("task_name", models.TextField()),
                        ("priority", models.SmallIntegerField()),
                        ("run_after", gristmill.models.MomentField(null=True)),
                        ("deadline", gristmill.models.MomentField()),
                        ("token", models.BigIntegerField()),
                        ("generation", models.IntegerField()),
                        ("failures", models.IntegerField()),
                        ("crashes", models.IntegerField()),
                        ("losses", models.IntegerField()),
                        ("postpones", models.IntegerField()),
                        ("interruptions", models.IntegerField()),
                        ("started_at", gristmill.models.MomentField(null=True)),
                        ("finished_at", gristmill.models.MomentField()),
                        ("state", models.TextField()),
                        ("reason", models.TextField(null=True)),
                        ("prune_at", gristmill.models.MomentField(null=True)),
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
                        ("backend", models.TextField()),
                        ("queue_name", models.TextField()),
                        ("task_name", models.TextField()),
                        ("priority", models.SmallIntegerField()),
                        ("run_after", gristmill.models.MomentField(null=True)),
                        ("deadline", gristmill.models.MomentField()),
                        ("token", models.BigIntegerField()),
                        ("generation", models.IntegerField()),
                        ("failures", models.IntegerField()),
                        ("crashes", models.IntegerField()),
                        ("losses", models.IntegerField()),
                        ("postpones", models.IntegerField()),
                        ("interruptions", models.IntegerField()),
                        ("started_at", gristmill.models.MomentField(null=True)),
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
                        ("backend", models.TextField()),
                        ("queue_name", models.TextField()),
                        ("task_name", models.TextField()),
                        ("priority", models.SmallIntegerField()),
                        ("deadline", gristmill.models.MomentField()),
                        ("token", models.BigIntegerField()),
                        ("generation", models.IntegerField()),
                        ("failures", models.IntegerField()),
                        ("crashes", models.IntegerField()),
                        ("losses", models.IntegerField()),
                        ("postpones", models.IntegerField()),
                        ("interruptions", models.IntegerField()),
                        ("started_at", gristmill.models.MomentField(null=True)),
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
                        ("label", models.TextField()),
                        ("host", models.TextField()),
                        ("pid", models.IntegerField()),
                        ("version", models.TextField()),
                        ("backend", models.TextField()),
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
                    ],
                    options={
                        "db_table": "gristmill_worker",
                        "default_permissions": ("view",),
                    },
                ),
                migrations.CreateModel(
                    name="WaitingRow",
                    fields=[
                        ("id", models.UUIDField(primary_key=True, serialize=False)),
                        ("backend", models.TextField()),
                        ("queue_name", models.TextField()),
                        ("task_name", models.TextField()),
                        ("priority", models.SmallIntegerField()),
                        ("run_after", gristmill.models.MomentField(null=True)),
                        ("deadline", gristmill.models.MomentField()),
                        ("token", models.BigIntegerField()),
                        ("generation", models.IntegerField()),
                        ("failures", models.IntegerField()),
                        ("crashes", models.IntegerField()),
                        ("losses", models.IntegerField()),
                        ("postpones", models.IntegerField()),
                        ("interruptions", models.IntegerField()),
                        ("started_at", gristmill.models.MomentField(null=True)),
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
                    options={
                        "db_table": "gristmill_unique_key",
                        "default_permissions": (),
                    },
                ),
                migrations.CreateModel(
                    name="ControlRow",
                    fields=[
                        ("job_id", models.UUIDField(primary_key=True, serialize=False)),
                        ("token", models.BigIntegerField()),
                        ("asked_at", gristmill.models.MomentField()),
                    ],
                    options={
                        "db_table": "gristmill_control",
                        "default_permissions": (),
                    },
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
                    options={
                        "db_table": "gristmill_progress",
                        "default_permissions": (),
                    },
                ),
                migrations.CreateModel(
                    name="Queue",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "backend", "queue_name", blank=True, editable=False, primary_key=True, serialize=False
                            ),
                        ),
                        ("backend", models.TextField()),
                        ("queue_name", models.TextField()),
                        ("paused_at", gristmill.models.MomentField()),
                        ("reason", models.TextField()),
                    ],
                    options={
                        "db_table": "gristmill_queue",
                        "default_permissions": ("view",),
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
                    ],
                    options={
                        "db_table": "gristmill_action",
                        "default_permissions": ("view",),
                    },
                ),
            ],
        ),
    ]
