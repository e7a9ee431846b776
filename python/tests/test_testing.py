"""`run_jobs()` inside tests: what it runs, when, and what it leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any
from unittest import mock

import pytest
from django.db import connection, transaction
from django.test import SimpleTestCase, TestCase, TransactionTestCase
from django.utils import timezone as django_timezone

from gristmill.compat import TaskResultStatus
from gristmill.exceptions import TransactionLeftOpen
from gristmill.inprocess import host, inline
from gristmill.models import Attempt, Job, RunningRow, Worker
from gristmill.tasks import registry
from gristmill.testing import TooManyJobs, clock, enqueued, run_jobs
from tests.app import tasks, worked
from tests.app.models import Order
from tests.app.worked import ran


@pytest.fixture(autouse=True)
def _nothing_ran() -> Iterator[None]:
    ran.clear()
    yield
    ran.clear()


def state_of(result: Any) -> str:
    return Job.objects.get(pk=result.id).state


class Both:
    """What holds in a TestCase and in a TransactionTestCase alike."""

    def test_a_job_runs_and_its_result_is_written(self) -> None:
        result = worked.note.enqueue("tea")
        done = run_jobs()
        result.refresh()
        assert ran == ["tea"]
        assert (result.status, result.return_value) == (TaskResultStatus.SUCCESSFUL, "tea")
        assert result.started_at is not None and result.finished_at is not None
        assert [one.id for one in done.results] == [result.id]
        assert (len(done), done.successful, done.failed) == (1, 1, 0)

    def test_without_jobs_nothing_happens_and_no_worker_is_left(self) -> None:
        done = run_jobs()
        assert len(done) == 0 and done.results == []
        assert not Worker.objects.exists()

    def test_a_job_that_raises_fails_with_its_traceback_and_keeps_what_it_wrote(self) -> None:
        result = worked.fail.enqueue("no tea")
        assert run_jobs(raise_errors=False).failed == 1
        result.refresh()
        assert result.status == TaskResultStatus.FAILED
        assert result.errors[0].exception_class is worked.Sad
        assert "raise Sad(what)" in result.errors[0].traceback
        assert Order.objects.filter(name="before").exists()

    def test_raise_errors_raises_what_the_task_raised_and_leaves_the_others(self) -> None:
        worked.fail.enqueue("no tea")
        other = worked.note.enqueue("later")
        with pytest.raises(worked.Sad, match="no tea") as caught:
            run_jobs(raise_errors=True)
        assert caught.traceback[-1].name == "fail"
        assert state_of(other) == "ready"
        assert not RunningRow.objects.exists()
        assert run_jobs().successful == 1

    def test_jobs_that_jobs_enqueue_run_too(self) -> None:
        worked.twice.enqueue("tea")
        assert run_jobs().successful == 3
        assert ran == ["tea 1", "tea 2"]

    def test_the_greater_priority_runs_first_then_the_order_of_enqueueing(self) -> None:
        for what, priority in (("a", 0), ("b", 5), ("c", -5), ("d", 5)):
            worked.note.using(priority=priority).enqueue(what)
        run_jobs()
        assert ran == ["b", "d", "a", "c"]

    def test_what_is_due_later_waits_until_time_is_moved(self) -> None:
        with clock(datetime(2031, 5, 1, tzinfo=timezone.utc)) as now:
            worked.note.using(run_after=now.now + timedelta(hours=1)).enqueue("later")
            assert len(run_jobs()) == 0
            now.advance(timedelta(minutes=59))
            assert len(run_jobs()) == 0
            now.advance(timedelta(minutes=1))
            assert len(run_jobs()) == 1
            result = Job.objects.get()
            assert (result.started_at, result.finished_at) == (now.now, now.now)
        assert django_timezone.now().year < 2031

    def test_only_the_jobs_asked_for_run(self) -> None:
        note = worked.note.enqueue("default")
        mail = worked.note.using(queue_name="mail").enqueue("mail")
        place = worked.place.enqueue("tea")
        run_jobs(queue_names=["mail"])
        assert (state_of(note), state_of(mail), state_of(place)) == ("ready", "successful", "ready")
        run_jobs(task=worked.place)
        assert (state_of(note), state_of(place)) == ("ready", "successful")
        run_jobs(task=worked.note.module_path, backend="any_queue")
        assert state_of(note) == "ready"

    def test_every_alias_of_the_database_is_served(self) -> None:
        worked.note.using(backend="any_queue", queue_name="odd").enqueue("odd")
        assert run_jobs().successful == 1

    def test_a_job_of_an_unknown_task_stays_and_is_named(self) -> None:
        result = worked.note.enqueue("tea")
        with mock.patch.object(registry, "tasks", {"default": {"tests.app.tasks.add": tasks.add}}):
            done = run_jobs()
        assert done.unknown == (worked.note.module_path,)
        assert repr(done) == "Ran(nothing; unknown: tests.app.worked.note)"
        assert state_of(result) == "ready"

    def test_a_job_that_enqueues_itself_for_ever_is_stopped_with_its_name(self) -> None:
        worked.again.enqueue(0)
        with pytest.raises(TooManyJobs, match=r"max_jobs=7 attempts .* 7 of them were of tests\.app\.worked\.again"):
            run_jobs(max_jobs=7)
        assert ran == list(range(7))
        assert not RunningRow.objects.exists()

    def test_as_many_jobs_as_the_bound_are_no_error(self) -> None:
        for number in range(3):
            worked.note.enqueue(number)
        assert len(run_jobs(max_jobs=3)) == 3

    def test_a_database_error_ends_the_job_alone(self) -> None:
        result = worked.collide.enqueue()
        other = worked.place.enqueue("tea")
        run_jobs(raise_errors=False)
        assert (state_of(result), state_of(other)) == ("failed", "successful")
        assert Order.objects.filter(name="tea").exists()

    def test_an_atomic_block_that_is_never_left_is_undone(self) -> None:
        left = worked.leave_open.enqueue()
        other = worked.place.enqueue("tea")
        depth = len(connection.savepoint_ids)
        run_jobs(raise_errors=False)
        assert (state_of(left), state_of(other)) == ("failed", "successful")
        assert len(connection.savepoint_ids) == depth
        assert not Order.objects.filter(name="never committed").exists()

    def test_what_a_handler_raises_to_end_the_process_is_recorded_and_the_run_goes_on(self) -> None:
        jobs = [worked.leave.enqueue("interrupt"), worked.leave.enqueue("exit")]
        worked.note.enqueue("after")
        assert run_jobs(raise_errors=False).failed == 2
        classes = [worked.leave.get_result(job.id).errors[0].exception_class for job in jobs]
        assert classes == [KeyboardInterrupt, SystemExit]
        assert ran == ["after"]

    def test_ctrl_c_ends_the_run_and_leaves_no_job_running(self) -> None:
        result = worked.press_ctrl_c.enqueue()
        other = worked.note.enqueue("after")
        before = signal.getsignal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            run_jobs()
        assert (state_of(result), state_of(other)) == ("failed", "ready")
        assert signal.getsignal(signal.SIGINT) is before

    def test_ctrl_c_between_two_steps_leaves_the_next_job_where_it_was(self) -> None:
        result = worked.note.enqueue("never")
        run, pressed = inline.BorrowedConnection.run, []

        def press_and_run(borrowed: inline.BorrowedConnection, statements: list[str], binds: list[Any]) -> Any:
            if not pressed:
                pressed.append(os.kill(os.getpid(), signal.SIGINT))
            return run(borrowed, statements, binds)

        with mock.patch.object(inline.BorrowedConnection, "run", press_and_run), pytest.raises(KeyboardInterrupt):
            run_jobs()
        assert state_of(result) == "ready"
        assert not Attempt.objects.exists()

    def test_whatever_goes_wrong_in_here_leaves_no_job_running(self) -> None:
        result = worked.note.enqueue("tea")
        with mock.patch.object(inline, "call", side_effect=MemoryError), pytest.raises(MemoryError):
            run_jobs()
        assert state_of(result) == "ready"
        assert run_jobs().successful == 1

    def test_a_result_that_is_not_json_fails_the_job(self) -> None:
        result = worked.unsayable.enqueue()
        with pytest.raises(TypeError, match="set is not JSON"):
            run_jobs(raise_errors=True)
        assert Job.objects.get(pk=result.id).reason == "bad result"

    def test_an_async_task_runs(self) -> None:
        worked.wait.enqueue("tea")
        run_jobs()
        assert ran == ["tea"]

    def test_the_worker_signs_off(self) -> None:
        worked.note.enqueue("tea")
        run_jobs()
        worker = Worker.objects.get()
        assert worker.stopped_at is not None
        assert worker.label == f"run_jobs() in process {os.getpid()}"
        assert Attempt.objects.get().worker_id == worker.id

    def test_none_of_it_counts_as_a_query(self) -> None:
        worked.note.enqueue("tea")
        with self.assertNumQueries(0):  # type: ignore[attr-defined]
            run_jobs()

    def test_what_waits_can_be_listed(self) -> None:
        first = worked.note.enqueue("tea")
        second = worked.fail.using(run_after=django_timezone.now() + timedelta(days=1)).enqueue()
        assert [one.id for one in enqueued()] == [first.id, second.id]
        assert [one.id for one in enqueued(worked.fail)] == [second.id]
        run_jobs()
        assert [one.id for one in enqueued()] == [second.id]

    def test_a_host_that_died_in_between_is_started_anew(self) -> None:
        worked.note.enqueue("before")
        run_jobs()
        ((idle,),) = [host._idle]
        os.kill(idle.process.pid, signal.SIGKILL)
        idle.process.wait()
        worked.note.enqueue("after")
        run_jobs()
        assert ran == ["before", "after"]

    def test_a_host_that_dies_in_the_middle_is_told_and_its_job_goes_back(self) -> None:
        worked.note.enqueue("before")
        run_jobs()
        ((idle,),) = [host._idle]
        result = worked.kill.enqueue(idle.process.pid)
        with pytest.raises(host.HostGone, match="signal 9"):
            run_jobs()
        assert state_of(result) == "ready"

    def test_a_handler_may_run_jobs_itself(self) -> None:
        worked.run_inside.enqueue()
        run_jobs()
        assert ran == ["inside", "outside"]


class InTestCase(Both, TestCase):
    """In the transaction that Django undoes after each test."""

    def test_callbacks_after_a_commit_run_only_where_the_test_captures_them(self) -> None:
        worked.later.enqueue("committed")
        run_jobs()
        assert ran == []
        worked.later.enqueue("committed")
        with self.captureOnCommitCallbacks(execute=True):
            run_jobs()
        assert ran == ["committed"]

    def test_a_caught_database_error_is_told_as_django_tells_it(self) -> None:
        result = worked.shrug_off_a_collision.enqueue()
        run_jobs(raise_errors=False)
        assert ran == ["caught"]
        assert "TransactionManagementError" in worked.shrug_off_a_collision.get_result(result.id).errors[0].traceback
        assert not Order.objects.exists()

    def test_undoing_a_block_undoes_what_ran_in_it(self) -> None:
        with transaction.atomic():
            worked.place.enqueue("tea")
            run_jobs()
            assert Order.objects.exists()
            transaction.set_rollback(True)
        assert not (Order.objects.exists() or Job.objects.exists() or Attempt.objects.exists())
        assert not Worker.objects.exists()

    def test_in_a_broken_transaction_django_says_what_it_always_says(self) -> None:
        with transaction.atomic():
            transaction.set_rollback(True)
            with pytest.raises(transaction.TransactionManagementError):
                run_jobs()


class InTransactionTestCase(Both, TransactionTestCase):
    """With commits, as a worker's jobs have."""

    def test_callbacks_after_a_commit_run_at_once(self) -> None:
        worked.later.enqueue("committed")
        run_jobs()
        assert ran == ["committed"]

    def test_a_caught_database_error_is_a_worker_s_own_affair(self) -> None:
        worked.shrug_off_a_collision.enqueue()
        assert run_jobs().successful == 1
        assert Order.objects.count() == 1

    def test_a_task_that_turns_autocommit_off_has_failed_and_the_test_goes_on_with_it(self) -> None:
        worked.turn_autocommit_off.enqueue()
        with pytest.raises(TransactionLeftOpen, match="on database 'default', or autocommit off"):
            run_jobs()
        assert connection.get_autocommit()
        assert not Order.objects.exists()

    def test_inside_a_block_it_runs_in_that_block(self) -> None:
        with transaction.atomic():
            worked.place.enqueue("tea")
            run_jobs()
            transaction.set_rollback(True)
        assert not (Order.objects.exists() or Job.objects.exists())


class OnTwoDatabases(TestCase):
    """Aliases of TASKS with queues on different databases."""

    databases = {"default", "other"}

    def test_both_queues_are_emptied_whoever_fills_them(self) -> None:
        worked.note.using(backend="elsewhere").enqueue("elsewhere")
        worked.twice_elsewhere.enqueue("tea")
        assert run_jobs().successful == 4
        assert ran == ["elsewhere", "tea 1", "tea 2"] or ran == ["tea 1", "tea 2", "elsewhere"]

    def test_the_bound_is_for_all_of_them_together(self) -> None:
        worked.to_and_fro.enqueue(0)
        with pytest.raises(TooManyJobs, match="max_jobs=7 attempts"):
            run_jobs(max_jobs=7)
        assert ran == list(range(7))


class WithoutDatabases(SimpleTestCase):
    """Where Django forbids the database."""

    def test_django_says_so(self) -> None:
        with pytest.raises(AssertionError, match=r"Database .* not allowed"):
            run_jobs()


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(TypeError, match="a list of names"):
        run_jobs(queue_names="mail")
    with pytest.raises(ValueError, match="at least 1"):
        run_jobs(max_jobs=0)


@pytest.mark.django_db
def test_in_a_pytest_function_with_its_clock_stopped(frozen: datetime) -> None:
    result = worked.note.enqueue("tea")
    run_jobs()
    result.refresh()
    assert (result.enqueued_at, result.finished_at) == (frozen, frozen)


def test_a_clock_stops_at_a_whole_millisecond_and_moves_when_told() -> None:
    with clock() as now:
        start = django_timezone.now()
        assert start.microsecond % 1000 == 0
        assert django_timezone.now() == start
        assert now.advance(timedelta(minutes=5)) == django_timezone.now() == start + timedelta(minutes=5)


@pytest.mark.django_db(transaction=True)
def test_a_fork_has_a_host_of_its_own_and_leaves_its_parents_alone() -> None:
    run_jobs()
    (idle,) = host._idle
    pipes = idle.input.fileno(), idle.output.fileno()
    child = os.fork()
    if not child:
        # Nothing of pytest's or the database's is to run in here. Held open, a pipe would keep the host alive.
        closed = 0
        for pipe in pipes:
            try:
                os.fstat(pipe)
            except OSError:
                closed += 1
        os._exit(0 if closed == 2 and not host._idle else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert idle.is_alive()
    worked.note.enqueue("tea")
    assert run_jobs().successful == 1
    assert host._idle == [idle]


def test_no_host_outlives_the_process_that_started_it() -> None:
    script = "from gristmill.inprocess.host import Host; print(Host().process.pid, flush=True); import os; os._exit(0)"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    deadline = time.monotonic() + 10
    while os.path.exists(f"/proc/{said.stdout.strip()}/exe"):
        assert time.monotonic() < deadline, "it still runs"
        time.sleep(0.01)
