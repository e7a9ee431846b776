"""A job enqueued again with other arguments: a new one, as the first was, and either told of the other."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from gristmill import Constant, operations
from gristmill.compat import InvalidTask
from gristmill.exceptions import UnknownJob
from gristmill.inspect.details.read import details_of
from gristmill.models import Job, JobRow
from gristmill.testing import run_jobs
from tests import rows
from tests.app import worked
from tests.app.tasks import add, send

pytestmark = pytest.mark.django_db(databases=["default", "other"])


def linked(job_id):
    """What stands beside a job, and of which other."""
    return [(action.verb, action.actor, action.other_id.hex) for action in Job.objects.get(pk=job_id).actions]


def test_it_is_a_new_job_and_either_names_the_other():
    former = add.enqueue(1)
    rows.fail(former.id)

    made = operations.enqueue_again(former, args=[5], kwargs={"right": 6}, actor="lea")

    assert (made.id != former.id, made.args, made.kwargs, made.existing) == (True, [5], {"right": 6}, False)
    assert linked(former.id) == [("enqueue again", "lea", made.id)]
    assert linked(made.id) == [("enqueue", "lea", former.id)]
    assert Job.objects.get(pk=former.id).state == "failed"
    assert run_jobs().results[0].return_value == 11


def test_what_is_not_said_stays_as_it_was():
    former = Job.objects.get(pk=add.enqueue(1, right=2).id)

    assert (former.enqueue_again(args=[7]).args, former.enqueue_again(args=[7]).kwargs) == ([7], {"right": 2})
    assert former.enqueue_again(kwargs={"right": 3}).args == [1]


def test_it_has_the_options_of_the_first_and_neither_its_date_nor_what_it_waited_for():
    options = {
        "timeout": 12.5, "max_attempts": 4, "backoff": Constant(3), "on_crash": "fail", "retention": 600.0,
        "expires": 60.0, "retry_on": ("builtins.OSError",), "redact": ("right",),
    }  # fmt: skip
    task = send.using(priority=9, run_after=timedelta(days=1), after=add.enqueue(1), **options)
    former = task.enqueue("lea")
    operations.change(former, priority=11)

    made = operations.enqueue_again(former, args=["ann"])

    before, after = (JobRow.objects.get(pk=job.id) for job in (former, made))
    assert (after.options, after.retention) == (before.options, before.retention)
    assert (after.queue_name, after.priority, after.run_after) == ("mail", 11, None)
    assert Job.objects.get(pk=made.id).state == "ready"


def test_options_that_were_usual_then_are_not_those_of_the_task_now():
    former = add.enqueue(1)

    # As if a task of the code of today had a limit that there was none of then.
    assert JobRow.objects.get(pk=former.id).options is None
    assert JobRow.objects.get(pk=operations.enqueue_again(former).id).options is None


def test_a_date_by_which_the_first_was_to_start_is_not_of_the_new_one():
    former = add.using(expires=timezone.now() + timedelta(seconds=1)).enqueue(1)

    assert JobRow.objects.get(pk=operations.enqueue_again(former).id).options is None


def test_arguments_that_do_not_fit_are_refused_and_nothing_is_made():
    former = add.enqueue(1)

    with pytest.raises(TypeError, match="too many positional arguments"):
        operations.enqueue_again(former, args=[1, 2, 3])
    with pytest.raises(TypeError, match="set is not JSON"):
        operations.enqueue_again(former, args=[{1}])
    with pytest.raises(ValueError, match="args must be a list"):
        operations.enqueue_again(former, args="ab")

    assert Job.objects.count() == 1
    assert linked(former.id) == []


def test_a_unique_job_that_is_met_is_told_and_nothing_is_linked():
    former = worked.once.enqueue("a")

    met, made = operations.enqueue_again(former), operations.enqueue_again(former, args=["b"])

    assert (met.id, met.existing) == (former.id, True)
    assert (made.existing, linked(made.id)) == (False, [("enqueue", "", former.id)])
    assert linked(former.id) == [("enqueue again", "", made.id)]


def test_a_job_that_is_not_there_is_named():
    with pytest.raises(UnknownJob, match="is not known on database 'default'"):
        operations.enqueue_again(uuid.uuid4())


def test_a_task_whose_code_is_elsewhere_is_enqueued_by_its_name():
    former = add.enqueue(1)
    JobRow.objects.filter(pk=former.id).update(task_name="mill.grind", options='{"timeout":5.0}')

    made = operations.enqueue_again(former, args=[1, 2, 3])

    row = JobRow.objects.get(pk=made.id)
    assert (row.task_name, row.args, row.options) == ("mill.grind", "[1,2,3]", '{"timeout":5.0}')


def test_a_queue_that_is_no_more_is_refused():
    former = add.enqueue(1)
    JobRow.objects.filter(pk=former.id).update(queue_name="gone")

    with pytest.raises(InvalidTask, match="gone"):
        operations.enqueue_again(former)


def test_what_is_stored_and_cannot_be_read_is_no_reason_to_guess():
    former = add.enqueue(1)
    JobRow.objects.filter(pk=former.id).update(args="no JSON")
    with pytest.raises(ValueError, match="cannot be read"):
        operations.enqueue_again(former)

    JobRow.objects.filter(pk=former.id).update(options="no JSON")
    with pytest.raises(ValueError, match="options that it was enqueued with cannot be read"):
        operations.enqueue_again(former, args=[1])


def test_one_on_another_database_stays_there():
    former = add.using(backend="elsewhere").enqueue(1)

    made = operations.enqueue_again(former, args=[2])

    assert Job.objects.using("other").get(pk=made.id).actions.get().other_id.hex == former.id
    assert Job.objects.count() == 0


def test_the_time_line_of_either_names_the_other():
    former = add.enqueue(1)
    made = operations.enqueue_again(former, args=[2], actor="lea")

    told = {
        job.id: [event.what for event in details_of(uuid.UUID(job.id), "default").events if event.kind == "acted"]
        for job in (former, made)
    }

    assert told == {
        former.id: [f"enqueued again as job {made.id} by lea"],
        made.id: [f"enqueued with other arguments than job {former.id} by lea"],
    }
