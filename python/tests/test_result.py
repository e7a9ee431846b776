"""Reading results back: equal to what was enqueued, and truthful about every attempt."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from gristmill import exceptions
from gristmill.compat import TaskResultDoesNotExist, TaskResultMismatch, TaskResultStatus
from gristmill.models import Attempt, Job, JobRow, ReadyRow, ResultRow
from tests import rows
from tests.app.tasks import add, add_async, send, with_context

pytestmark = pytest.mark.django_db

DELAYS = (None, timedelta(days=1), None, None, None)


@pytest.mark.parametrize(
    "task",
    [
        add,
        add_async,
        with_context,
        send.using(priority=-100),
        add.using(queue_name="mail"),
        add.using(run_after=timezone.now() + timedelta(days=1, microseconds=7)),
        add.using(run_after=timedelta(seconds=90)),
    ],
)
def test_what_is_read_equals_what_was_enqueued(task, backend):
    result = task.enqueue({"a": [1, 2.5, None, "ü"]}, right=(1, 2))

    assert backend.get_result(result.id) == result


def test_arguments_are_shown_as_they_will_be_read(backend):
    given = {7: (b"bytes", None)}
    result = add.enqueue(given)
    given[7] = "changed"

    assert result.args == backend.get_result(result.id).args == [{"7": ["bytes", None]}]


def test_reading_a_new_job_is_one_query(backend, django_assert_num_queries):
    result = add.enqueue(1)

    with django_assert_num_queries(1):
        backend.get_result(result.id)


def test_reading_a_success_at_the_first_attempt_is_one_query(backend, django_assert_num_queries):
    result = add.enqueue(1)
    rows.succeed(result.id, {"answer": 42})

    with django_assert_num_queries(1):
        found = backend.get_result(result.id)

    assert found.status == TaskResultStatus.SUCCESSFUL
    assert found.return_value == {"answer": 42}
    assert (found.errors, found.attempts) == ([], 1)
    assert found.enqueued_at < found.started_at == found.last_attempted_at < found.finished_at


def test_a_running_job_counts_its_open_attempt(backend):
    worker_id = uuid.uuid4()
    result = add.enqueue(1)
    running = rows.claim(result.id, worker_id)

    found = backend.get_result(result.id)

    assert found.status == TaskResultStatus.RUNNING
    assert (found.worker_ids, found.errors) == ([worker_id.hex], [])
    assert found.started_at == found.last_attempted_at == running.claimed_at
    assert found.finished_at is None


def test_a_failure_tells_class_and_traceback(backend):
    result = add.enqueue(1)
    rows.fail(result.id, traceback="Traceback …\nValueError: no\n")

    found = backend.get_result(result.id)

    assert found.status == TaskResultStatus.FAILED
    assert [(error.exception_class, error.traceback) for error in found.errors] == [
        (ValueError, "Traceback …\nValueError: no\n")
    ]
    with pytest.raises(ValueError, match="Task failed"):
        _ = found.return_value


@pytest.mark.parametrize(
    ("outcome", "reason", "error"),
    [
        ("crashed", "signal 9 (SIGKILL)", exceptions.RunnerCrashed),
        ("lost", None, exceptions.WorkerLost),
        ("interrupted", None, exceptions.Interrupted),
    ],
)
def test_an_attempt_that_nobody_could_report_has_an_error_too(backend, outcome, reason, error):
    result = add.enqueue(1)
    running = rows.claim(result.id)
    rows.end(running, outcome, reason=reason)
    rows.ready_again(running)

    found = backend.get_result(result.id)

    assert found.status == TaskResultStatus.READY
    assert found.worker_ids == [running.worker_id.hex]
    assert [entry.exception_class for entry in found.errors] == [error]
    assert (reason or outcome) in found.errors[0].traceback
    assert found.started_at == found.last_attempted_at == running.claimed_at
    assert found.finished_at is None


@pytest.mark.parametrize("outcome", ["interrupted", "conflict"])
def test_a_run_that_was_cut_short_is_forgotten_once_the_job_runs_again(backend, outcome):
    result = add.enqueue(1)
    cut_short = rows.claim(result.id)
    rows.end(cut_short, outcome)
    rows.ready_again(cut_short)
    assert [backend.get_result(result.id).attempts, Attempt.objects.counted().count()] == [1, 1]

    again = rows.claim(result.id)
    assert backend.get_result(result.id).worker_ids == [again.worker_id.hex]
    rows.end(again, "successful", return_value="7")
    rows.finish(again, "successful")
    found = backend.get_result(result.id)

    assert (found.attempts, found.errors, found.worker_ids) == (1, [], [again.worker_id.hex])
    assert [attempt.outcome for attempt in Attempt.objects.order_by("token")] == [outcome, "successful"]
    assert Attempt.objects.counted().get().outcome == "successful"


def test_a_job_handed_back_was_never_attempted(backend):
    result = add.enqueue(1)
    running = rows.claim(result.id)
    rows.end(running, "handed back")
    rows.ready_again(running)

    found = backend.get_result(result.id)

    assert (found.worker_ids, found.errors, found.attempts) == ([], [], 0)


def test_every_attempt_has_its_worker_in_order(backend):
    result = add.enqueue(1)
    workers = [uuid.uuid4() for _ in range(4)]
    for worker, outcome in zip(workers, ["crashed", "handed back", "lost"], strict=False):
        running = rows.claim(result.id, worker)
        rows.end(running, outcome)
        rows.ready_again(running)
    running = rows.claim(result.id, workers[3])
    rows.end(running, "successful", return_value="7")
    rows.finish(running, "successful")

    found = backend.get_result(result.id)

    assert found.worker_ids == [worker.hex for worker in (workers[0], workers[2], workers[3])]
    assert [error.exception_class for error in found.errors] == [exceptions.RunnerCrashed, exceptions.WorkerLost]
    assert (found.status, found.return_value) == (TaskResultStatus.SUCCESSFUL, 7)
    assert found.last_attempted_at == running.claimed_at > found.started_at


def test_a_retry_by_hand_begins_a_new_count(backend):
    result = add.enqueue(1)
    rows.fail(result.id)
    place = ResultRow.objects.get()
    place.generation += 1
    ready = rows.ready_again(place)
    place.delete()

    assert ready.generation == 2
    assert backend.get_result(result.id).attempts == 0
    rows.succeed(result.id, 3)
    found = backend.get_result(result.id)
    assert (found.attempts, found.errors, found.return_value) == (1, [], 3)


@pytest.mark.parametrize("state", ["cancelled", "poisoned"])
def test_every_other_end_is_failed_to_django(backend, state):
    result = add.enqueue(1)
    running = rows.claim(result.id)
    rows.end(running, "crashed", reason="signal 11 (SIGSEGV)")
    rows.finish(running, state, "crashed")

    found = backend.get_result(result.id)

    assert found.status == TaskResultStatus.FAILED
    assert found.is_finished


@pytest.mark.parametrize("result_id", ["123", "", "not an id", "0" * 32, str(uuid.UUID(int=5)), 7, None])
def test_an_unknown_or_malformed_id_does_not_exist(backend, result_id):
    with pytest.raises(TaskResultDoesNotExist):
        backend.get_result(result_id)


def test_an_id_may_have_hyphens(backend):
    result = add.enqueue(1)

    assert backend.get_result(str(uuid.UUID(result.id))) == result


def test_the_result_of_another_task_is_a_mismatch():
    result = add.enqueue(1)

    with pytest.raises(TaskResultMismatch):
        send.get_result(result.id)


def test_refresh_brings_the_news():
    result = add.enqueue(1)
    rows.succeed(result.id, 9)

    assert result.status == TaskResultStatus.READY
    result.refresh()

    assert (result.status, result.return_value, result.attempts) == (TaskResultStatus.SUCCESSFUL, 9, 1)


def test_a_job_of_an_unknown_task_can_be_read_but_not_called(backend):
    result = add.enqueue(1)
    for model in (JobRow, ReadyRow):
        model.objects.update(task_name="os.system")

    found = backend.get_result(result.id)

    assert found.task.module_path == "os.system"
    assert found.task.name == "system"
    assert found.args == [1]
    with pytest.raises(exceptions.UnknownTask, match=r"^task os\.system is not registered here"):
        found.task.call("true")


@pytest.mark.parametrize("name", ["antigravity.fly", "gristmill", "", "..", "tests.app.tasks.__class__", "a b.c\0"])
def test_a_stored_name_is_never_imported(backend, name, monkeypatch):
    import builtins

    result = add.enqueue(1)
    for model in (JobRow, ReadyRow):
        model.objects.update(task_name=name.replace("\0", ""))
    backend.get_result(result.id)
    imported = []
    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", lambda name, *rest: imported.append(name) or real(name, *rest))

    backend.get_result(result.id)

    assert not [module for module in imported if name and module == name.rpartition(".")[0]]


def test_a_job_whose_queue_has_left_the_settings_stays_readable(backend, settings):
    result = send.enqueue("a@example.org")
    settings.TASKS = {"default": {"BACKEND": "gristmill.backend.GristmillBackend", "QUEUES": ["default"]}}

    from gristmill.compat import task_backends

    assert task_backends["default"].get_result(result.id).task.queue_name == "mail"


def test_an_unknown_task_shows_what_was_asked_of_it(backend):
    result = add.using(priority=3, queue_name="mail").enqueue(1)
    for model in (JobRow, ReadyRow):
        model.objects.update(task_name="shop.tasks.gone")

    task = backend.get_result(result.id).task

    assert (task.priority, task.queue_name, task.backend) == (3, "mail", "default")
    assert (task.run_after, task.takes_context) == (None, False)


def test_jobs_cannot_be_changed_through_the_model():
    job = Job.objects.get(pk=add.enqueue(1).id)

    with pytest.raises(TypeError, match="read only"):
        job.save()


def test_jobs_can_be_filtered_by_state():
    ready, later, running, done, failed = (add.using(run_after=delay).enqueue(1) for delay in DELAYS)
    rows.claim(running.id)
    rows.succeed(done.id)
    rows.fail(failed.id)

    found = {
        name: [job.id.hex for job in getattr(Job.objects, name)()]
        for name in ("ready", "scheduled", "running", "successful", "failed")
    }

    assert found == {
        "ready": [ready.id],
        "scheduled": [later.id],
        "running": [running.id],
        "successful": [done.id],
        "failed": [failed.id],
    }
    assert {job.id.hex for job in Job.objects.finished()} == {done.id, failed.id}
    assert [attempt.outcome for attempt in Job.objects.get(pk=failed.id).attempts] == ["failed"]
