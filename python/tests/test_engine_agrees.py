"""Python's enqueue and the engine's own write the same rows, column by column."""

from __future__ import annotations

import json
import uuid
from datetime import datetime, timedelta, timezone

import pytest
from django.db import connection

from gristmill import Exponential, Graph, Unique, at_least
from gristmill.compat import task_backends
from gristmill.database.statements import carry_out
from gristmill.enqueue.preparation import prepared_for
from gristmill.models import EdgeRow, GateRow, JobRow, PropagationRow, ReadyRow, ScheduledRow, UniqueKeyRow, WaitingRow
from gristmill.values.moments import utc_text
from tests.app.tasks import add, send, with_context

pytestmark = pytest.mark.django_db

TABLES = (JobRow, ReadyRow, ScheduledRow, UniqueKeyRow)
DATE = datetime(2030, 1, 2, 3, 4, 5, 678901, timezone.utc)


def every_row():
    """All columns of all rows that an enqueue writes, but for the job's own id and the moment of the statement."""
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
        "unique_period": prepared.unique.period if maker else None,
        "retention": prepared.retention,
        "held": prepared.held,
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
        add.using(unique=True, retention=90.5),
    ],
    ids=[
        *("plain", "priority", "context", "delayed", "dated", "due at once", "options", "deadline", "dated deadline"),
        *("unique", "unique until pruned", "retention"),
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

    carry_out(connection, "enqueue", [json.dumps([asked(task, args, kwargs, frozen)]), utc_text(frozen), None])

    engines = every_row()
    assert len(engines["JobRow"]) == 1
    assert engines == pythons


def inner(job_id):
    """An id as the engine gives it to this database."""
    return str(uuid.UUID(job_id)) if connection.vendor == "postgresql" else job_id


GOAL_TABLES = (JobRow, ReadyRow, WaitingRow, GateRow, EdgeRow, PropagationRow)


def rows_of(job_ids):
    """All columns of all rows about these jobs, by the jobs' place in the list; propagations without their own ids."""
    places = {job_id: number for number, job_id in enumerate(job_ids)}

    def told(value):
        return places.get(value.hex, value) if isinstance(value, uuid.UUID) else value

    found = {}
    for model in GOAL_TABLES:
        rows = [{name: told(value) for name, value in row.items()} for row in model.objects.values()]
        if model is PropagationRow:
            rows = [{**row, "id": None} for row in rows]
        found[model.__name__] = sorted(rows, key=repr)
    return found


@pytest.mark.parametrize(
    "options",
    [{}, {"after_mode": at_least(2), "on_precondition_failure": "fail"}, {"after_mode": "any", "hold": True}],
)
@pytest.mark.parametrize("shape", ["one", "graph"])
def test_jobs_that_wait_are_written_as_the_engine_writes_them(shape, options, frozen):
    there = [add.enqueue(0), add.enqueue(0)]
    task = add.using(**options)
    if shape == "one":
        ids = [task.using(after=there).enqueue("ü").id]
        wanted = [there]
    else:
        graph = Graph()
        first = graph.add(add, "ü")
        second = graph.add(task, "ü", after=first)
        graph.add(task, "ü", after=[first, second, *there])
        ids = list(graph.enqueue().ids)
        wanted = [[], ids[:1], [*ids[:2], *there]]
    names = [result.id for result in there]
    pythons = rows_of([*names, *ids])
    for model in GOAL_TABLES:
        model.objects.exclude(**{f"{model._meta.pk.name}__in": names if model in (JobRow, ReadyRow) else []}).delete()

    prepared = prepared_for(task_backends["default"], task)
    old = [inner(name) for name in names]
    jobs, gates = [], []
    for number, job_id in enumerate(ids):
        after = [inner(getattr(one, "id", one)) for one in wanted[number]]
        job = asked(task if after else add, ["ü"], {}, frozen)
        is_awaited = any(job_id in others for others in wanted)
        jobs.append({**job, "id": inner(job_id), "waits": bool(after), "awaited": is_awaited})
        if after:
            new = [one for one in after if one not in old]
            after = [one for one in after if one in old]
            gate = {"needed": prepared.needed, "on_precondition_failure": prepared.on_precondition_failure}
            gates.append({"jobs": [inner(job_id)], "after": after, "after_new": new, **gate})
    carry_out(connection, "enqueue", [json.dumps(jobs), utc_text(frozen), None])
    carry_out(connection, "enqueue_gates", [json.dumps(gates), utc_text(frozen)])

    assert rows_of([*names, *ids]) == pythons
