"""Python's enqueue and the engine's own write the same rows, column by column."""

from __future__ import annotations

import json
import uuid
from datetime import datetime, timedelta, timezone

import pytest
from django.db import connection

from gristmill import Exponential, Unique
from gristmill.compat import task_backends
from gristmill.models import JobRow, ReadyRow, ScheduledRow, UniqueKeyRow
from gristmill.moments import utc_text
from gristmill.preparation import prepared_for
from gristmill.statements import carry_out
from tests.app.tasks import add, send, with_context

pytestmark = pytest.mark.django_db

TABLES = (JobRow, ReadyRow, ScheduledRow, UniqueKeyRow)
DATE = datetime(2030, 1, 2, 3, 4, 5, 678901, timezone.utc)


def every_row():
    """All columns of all rows that an enqueue writes, but for the job's own id."""
    return {model.__name__: [without_id(row) for row in model.objects.values()] for model in TABLES}


def without_id(row):
    return {name: value for name, value in row.items() if name not in ("id", "job_id")}


def asked(task, args, kwargs, now):
    """The job as the engine's verb takes it."""
    prepared = prepared_for(task_backends["default"], task)
    after = {
        name: None if given is None else utc_text(now + given if isinstance(given, timedelta) else given)
        for name, given in (("run_after", task.run_after), ("deadline", prepared.deadline))
    }
    maker = prepared.key_maker
    return {
        "id": str(uuid.uuid4()) if connection.vendor == "postgresql" else uuid.uuid4().hex,
        "backend": "default",
        "queue_name": task.queue_name,
        "task_name": prepared.task_name,
        "priority": task.priority,
        "args": json.dumps(args, ensure_ascii=False, separators=(",", ":")),
        "kwargs": json.dumps(kwargs, ensure_ascii=False, separators=(",", ":")),
        "options": prepared.options_json,
        **after,
        "unique_key": maker and maker.key(args, kwargs),
        "unique_until": prepared.unique.until,
    }


@pytest.mark.parametrize(
    "task",
    [
        add,
        send.using(priority=-100),
        with_context,
        add.using(run_after=timedelta(hours=1)),
        add.using(run_after=DATE),
        add.using(run_after=timedelta(0)),
        add.using(max_attempts=None, backoff=Exponential(1), expires=DATE, retry_on=[OSError], postpone_delay=1),
        add.using(deadline=90),
        add.using(deadline=DATE, run_after=timedelta(hours=1)),
        add.using(unique=True),
        add.using(unique=Unique(until="pruned"), run_after=DATE),
    ],
    ids=[
        *("plain", "priority", "context", "delayed", "dated", "due at once", "options", "deadline", "dated deadline"),
        *("unique", "unique until pruned"),
    ],
)
@pytest.mark.parametrize("bulk", [False, True], ids=["one", "bulk"])
def test_an_enqueue_writes_what_the_engines_own_enqueue_writes(task, bulk, frozen):
    args, kwargs = ["ü", {"b": [1, None]}], {}
    if bulk:
        task.enqueue_many([tuple(args)])
    else:
        task.enqueue(*args)
    pythons = every_row()
    for model in TABLES:
        model.objects.all().delete()

    carry_out(connection, "enqueue", [json.dumps([asked(task, args, kwargs, frozen)]), utc_text(frozen)])

    engines = every_row()
    assert len(engines["JobRow"]) == 1
    assert engines == pythons
