"""What a handler sees of the jobs that its own waited for, and how it asks to wait for more."""

from __future__ import annotations

import uuid

import pytest

from gristmill.models import EdgeRow, Job, JobRow
from gristmill.testing import run_jobs
from tests import rows
from tests.app import worked

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("task", [worked.look_back, worked.look_back_later])
def test_a_handler_sees_the_results_of_what_its_job_waited_for(task):
    first, second, pruned = worked.note.enqueue("a"), worked.note.enqueue("b"), worked.note.enqueue("c")
    rows.succeed(first.id, "'7'".replace("'", ""))
    rows.fail(second.id)
    result = task.enqueue()
    for one in (second, first, pruned):
        EdgeRow.objects.create(precondition_id=uuid.UUID(one.id), dependent_id=uuid.UUID(result.id))
    JobRow.objects.filter(pk=pruned.id).delete()

    run_jobs(task=task)

    result.refresh()
    assert result.return_value == [[first.id, "SUCCESSFUL", 7], [second.id, "FAILED", None]]


def test_they_are_read_once_and_only_if_asked_for(django_assert_num_queries):
    worked.ran.clear()
    worked.look_back.enqueue()
    run_jobs(task=worked.look_back)
    assert worked.ran == [[]]


def test_to_wait_for_a_job_that_is_not_there_fails_the_attempt():
    unknown = uuid.uuid4().hex
    result = worked.wait_for.enqueue(unknown)

    assert run_jobs().failed == 1

    result.refresh()
    assert result.errors[0].exception_class_path == "gristmill.exceptions.UnknownJob"
    assert unknown in result.errors[0].traceback


def test_a_job_may_wait_for_jobs_that_it_has_enqueued():
    first = worked.note.enqueue("a")
    result = worked.wait_for.enqueue(first.id)

    run_jobs(task=worked.wait_for)

    job = Job.objects.get(pk=result.id)
    assert job.state == "waiting"
    assert [one.id.hex for one in job.preconditions] == [first.id]


def test_a_job_that_a_job_enqueues_inherits_its_deadline():
    result = worked.hurry_on.using(deadline=60).enqueue("b")

    run_jobs(task=worked.hurry_on)

    jobs = {job.id.hex: job for job in Job.objects.all()}
    parent = jobs.pop(result.id)
    (child,) = jobs.values()
    assert child.deadline == parent.deadline
