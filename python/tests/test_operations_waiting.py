"""Run now and change: what is done to jobs that have not started."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections, transaction
from django.utils import timezone

from gristmill import operations
from gristmill.models import Job, JobRow, ReadyRow, ScheduledRow
from gristmill.tasks.uniqueness import Unique
from gristmill.testing import run_jobs
from gristmill.verbs import batched
from tests import goals, rows
from tests.app.tasks import add, send

pytestmark = pytest.mark.django_db(databases=["default", "other"])

TOMORROW = timedelta(days=1)


def lane_of(job_id):
    job, asked = Job.objects.get(pk=job_id), JobRow.objects.get(pk=job_id)
    assert (job.queue_name, job.priority) == (asked.queue_name, asked.priority)
    return job.queue_name, job.priority


def one_of_each_state():
    """A job of each state, by its state."""
    states = ("ready", "waiting", "stranded", "running", "successful", "failed", "cancelled")
    jobs = {state: add.enqueue(state) for state in states}
    jobs["scheduled"], jobs["held"] = add.using(run_after=TOMORROW).enqueue(2), add.using(hold=True).enqueue(3)
    rows.claim(jobs["running"].id)
    rows.succeed(jobs["successful"].id)
    rows.fail(jobs["failed"].id)
    goals.wait(jobs["waiting"], jobs["ready"])
    goals.wait(jobs["stranded"], jobs["failed"])
    operations.cancel(jobs["cancelled"])
    assert {state: Job.objects.get(pk=job.id).state for state, job in jobs.items()} == {state: state for state in jobs}
    return jobs


def test_a_scheduled_job_runs_now():
    later, other = add.using(run_after=TOMORROW).enqueue(1), add.using(run_after=TOMORROW).enqueue(2)

    answer = operations.run_now(later, actor="lea")

    assert answer.outcomes == {later.id: "readied"}
    job = Job.objects.get(pk=later.id)
    assert (job.state, Job.objects.get(pk=other.id).state) == ("ready", "scheduled")
    assert job.due_at <= timezone.now() < job.run_after
    assert [(action.verb, action.actor) for action in job.actions] == [("run now", "lea")]
    assert run_jobs().successful == 1


def test_a_job_that_waits_for_its_next_try_runs_now():
    job = add.enqueue(1)
    rows.failed_for_now(job.id)

    assert Job.objects.get(pk=job.id).run_now().done == {"readied": 1}
    assert (Job.objects.get(pk=job.id).state, Job.objects.get(pk=job.id).failures) == ("ready", 1)


def test_only_what_is_scheduled_is_run_now_and_the_others_are_told_why():
    jobs = one_of_each_state()

    answer = operations.run_now(jobs.values())

    assert answer.done == {"readied": 1}
    assert answer.outcomes == {
        job.id: "readied" if state == "scheduled" else f"refused: it is not scheduled but {state}"
        for state, job in jobs.items()
    }
    assert operations.run_now(jobs["scheduled"]).refused == {"it is not scheduled but ready": 1}


def test_what_has_not_started_gets_another_priority_and_queue():
    jobs = one_of_each_state()
    started = ("running", "successful", "failed", "cancelled")

    answer = operations.change(jobs.values(), priority=50, queue_name="mail", actor="lea")

    assert answer.done == {"changed": 5}
    for state, job in jobs.items():
        if state in started:
            assert answer.outcomes[job.id] == f"refused: only what has not started can be changed, and it is {state}"
            assert lane_of(job.id) == ("default", 0)
        else:
            assert lane_of(job.id) == ("mail", 50)
            assert Job.objects.get(pk=job.id).state == state
            assert Job.objects.get(pk=job.id).actions.last().verb == "change"


def test_one_of_the_two_may_be_left_as_it_is():
    job = Job.objects.get(pk=add.using(priority=3).enqueue(1).id)

    assert job.change(queue_name="mail").done == {"changed": 1}
    assert lane_of(job.id) == ("mail", 3)
    assert job.change(priority=-100).done == {"changed": 1}
    assert lane_of(job.id) == ("mail", -100)
    assert job.change(priority=-100, queue_name="mail").refused == {"it is like that already": 1}
    assert run_jobs(queue_names=["mail"]).successful == 1


def test_a_job_goes_only_to_a_queue_that_its_backend_has():
    here, anywhere = add.enqueue(1), add.using(backend="any_queue").enqueue(2)
    there = add.using(backend="elsewhere").enqueue(3)

    answer = operations.change([here, anywhere, there], queue_name="print")

    assert answer.outcomes == {
        here.id: "refused: its backend has no such queue",
        anywhere.id: "changed",
        there.id: "refused: its backend has no such queue",
    }
    assert operations.change([here, there], queue_name="mail").done == {"changed": 1}


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({}, "a change needs a priority, a queue_name, or both"),
        ({"priority": 101}, "priority must be a whole number from -100 to 100; got 101"),
        ({"priority": 1.5}, "priority must be a whole number from -100 to 100; got 1.5"),
        ({"queue_name": ""}, "queue_name must be the name of a queue; got ''"),
        ({"queue_name": "a\0b"}, "queue_name must be the name of a queue"),
        ({"queue_name": "print"}, "no backend of TASKS has a queue 'print'; the QUEUES are 'default', 'mail'"),
    ],
)
def test_what_no_task_could_have_is_refused_before_anything_is_done(settings, wrong, sentence):
    settings.TASKS = {name: entry for name, entry in settings.TASKS.items() if name == "default"}
    job = add.enqueue(1)

    with pytest.raises(ValueError, match=sentence):
        operations.change(job, **wrong)

    assert lane_of(job.id) == ("default", 0)


def test_a_unique_job_keeps_its_key_in_another_queue():
    task = add.using(unique=Unique(until="finished"))
    job = task.enqueue(1)

    operations.change(job, queue_name="mail")

    met = task.enqueue(1)
    assert (met.id, met.existing) == (job.id, True)


def test_a_filter_runs_now_and_changes():
    for number in range(3):
        add.using(run_after=TOMORROW).enqueue(number)
    send.using(run_after=TOMORROW).enqueue("lea")

    assert Job.objects.filter(queue_name="default").run_now().done == {"readied": 3}
    assert Job.objects.filter(queue_name="mail").change(priority=9).done == {"changed": 1}
    assert Job.objects.filter(queue_name="default").change(queue_name="mail", actor="lea").total == 3
    assert (ReadyRow.objects.filter(queue_name="mail").count(), ScheduledRow.objects.get().priority) == (3, 9)


def test_a_filter_on_its_own_queue_comes_to_its_end(monkeypatch):
    monkeypatch.setattr(batched, "PAGE", 2)
    monkeypatch.setattr(batched, "BATCH", 1)
    for number in range(5):
        add.enqueue(number)

    assert Job.objects.filter(queue_name="default").change(queue_name="mail").done == {"changed": 5}


@pytest.mark.django_db(transaction=True)
def test_there_are_async_forms_of_both():
    first = add.using(run_after=TOMORROW).enqueue(1)

    async def both():
        later = await Job.objects.aget(pk=first.id)
        jobs = Job.objects.filter(pk=first.id)
        try:
            answers = [await later.arun_now(), await later.achange(priority=7), await jobs.achange(queue_name="mail")]
            return [dict(answer.done) for answer in [*answers, await jobs.arun_now()]]
        finally:
            await sync_to_async(connections.close_all)()

    assert asyncio.run(both()) == [{"readied": 1}, {"changed": 1}, {"changed": 1}, {}]


@pytest.mark.only_on_postgres
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("operate", [operations.run_now, lambda job: operations.change(job, priority=1)])
def test_an_idle_worker_is_woken_by_either(operate):
    rows.worker(idle=True)
    job = add.using(run_after=TOMORROW).enqueue(1)
    with connection.cursor() as cursor:
        cursor.execute("listen gristmill")

    with transaction.atomic():
        assert operate(job)

    assert [each.channel for each in connection.connection.notifies(timeout=5, stop_after=1)] == ["gristmill"]


@pytest.mark.only_on_postgres
@pytest.mark.django_db(transaction=True)
def test_a_job_that_someone_has_locked_is_neither_run_nor_changed(elsewhere, monkeypatch):
    monkeypatch.setattr(batched, "FIRST_PAUSE", 0)
    job = add.using(run_after=TOMORROW).enqueue(1)

    with transaction.atomic():
        ScheduledRow.objects.select_for_update().get(pk=job.id)
        run = elsewhere(lambda: operations.run_now(job.id))
        changed = elsewhere(lambda: operations.change(job.id, priority=1))

    moving = {job.id: "refused: another transaction is moving it; ask again"}
    assert (run.outcomes, changed.outcomes) == (moving, moving)
