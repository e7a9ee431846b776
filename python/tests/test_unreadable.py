"""One row that nobody can read is that job's trouble, and keeps no list and no question from being answered."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import call_command

from gristmill import operations
from gristmill.compat import TaskResultStatus
from gristmill.explain import explain
from gristmill.models import Attempt, Job, JobRow, ProgressRow, Worker
from gristmill.models.fields import Unreadable
from gristmill.results.result import result_of
from tests import rows
from tests.app.tasks import add

pytestmark = pytest.mark.django_db(databases=["default", "other"])

DEEP = "[" * 100_000
# What no JSON is, and what is of another kind than its column takes.
STORED = [
    ("args", "no JSON"),
    ("args", DEEP),
    ("args", '{"a": 1}'),
    ("args", "7"),
    ("kwargs", '{"a": '),
    ("kwargs", "[1]"),
    ("options", "{"),
    ("options", "7"),
    ("options", '{"max_memory_mb": 1e400}'),
    ("options", '{"takes_context": "perhaps"}'),
]


def store(job_id, column, text):
    assert JobRow.objects.filter(pk=job_id).update(**{column: text}) == 1


def asked(*command):
    output = io.StringIO()
    call_command("gristmill", *command, stdout=output)
    return output.getvalue()


@pytest.mark.parametrize(("column", "text"), STORED)
def test_a_job_that_nobody_can_read_is_listed_told_and_cancelled_like_any_other(column, text, backend):
    good, bad = add.enqueue(1), add.enqueue(2)
    store(bad.id, column, text)

    jobs = {job.id.hex: job for job in Job.objects.order_by("pk")}
    assert jobs[good.id].args == [1]
    assert dict(Job.objects.values_list("pk", column))[jobs[good.id].pk] == getattr(jobs[good.id], column)
    found = backend.get_result(bad.id)
    assert (type(found.args), type(found.kwargs)) == (list, dict)
    assert found == result_of(jobs[bad.id])
    assert explain(bad).state == "ready"
    assert json.loads(asked("status", "--json"))["queues"]
    for command in ("explain", "graph"):
        assert asked(command, bad.id)
    assert operations.cancel([good, bad]).done == {"cancelled": 2}


def test_what_is_no_json_is_shown_as_it_is_stored():
    bad = add.enqueue(2)
    store(bad.id, "args", "no JSON")

    args = Job.objects.get(pk=bad.id).args

    assert args == "no JSON"
    assert isinstance(args, Unreadable)


@pytest.mark.parametrize("text", ["{", DEEP, "NaN x"])
def test_a_result_that_nobody_can_read_keeps_nobody_from_reading_the_others(text, backend):
    good, bad = add.enqueue(1), add.enqueue(2)
    for job in (good, bad):
        rows.succeed(job.id, 3)
    Attempt.objects.filter(job_id=bad.id).update(return_value=text)

    assert [job.result for job in Job.objects.order_by("pk")] == [3, text]
    assert [attempt.return_value for attempt in Attempt.objects.order_by("job_id")] == [3, text]
    assert backend.get_result(bad.id).return_value == text
    assert explain(bad).state == "successful"


def test_a_success_whose_attempt_someone_has_deleted_can_still_be_read(backend):
    job = add.enqueue(1)
    rows.succeed(job.id, 3)
    Attempt.objects.all().delete()

    found = backend.get_result(job.id)

    assert (found.status, found.return_value, found.worker_ids) == (TaskResultStatus.SUCCESSFUL, None, [])


def test_progress_and_workers_that_nobody_can_read_keep_no_question_from_being_answered():
    rows.worker()
    odd = rows.worker()
    Worker.objects.filter(pk=odd.pk).update(queues="all of them", tasks="{")
    running = rows.claim(add.enqueue(1).id, odd.id)
    ProgressRow.objects.create(job_id=running.id, token=1, done=1, metadata="{", updated_at=running.claimed_at)

    assert len(json.loads(asked("status", "--json"))["workers"]) == 2
    assert Job.objects.get(pk=running.id).progress.metadata == {}
    assert explain(running.id).state == "running"
    assert explain(add.enqueue(1)).state == "ready"
