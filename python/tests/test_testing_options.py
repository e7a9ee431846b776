"""`run_jobs()` keeps to what a task's options and an operator say, by the test's own clock."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from django.db import connection
from django.test import TestCase, TransactionTestCase
from django.utils import timezone as django_timezone

from gristmill import operations, remote
from gristmill.explain import explain
from gristmill.models import Attempt, Job, ProgressRow, RunningRow
from gristmill.testing import clock, enqueued, run_jobs
from tests.app import worked
from tests.app.models import Order
from tests.app.worked import ran

NOON = datetime(2031, 5, 1, 12, tzinfo=timezone.utc)


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()


def job_of(result: Any) -> Job:
    return Job.objects.get(pk=result.id)


class Both:
    """What holds in a TestCase and in a TransactionTestCase alike."""

    def test_a_job_is_retried_when_its_backoff_is_over_and_no_earlier(self) -> None:
        with clock(NOON) as now:
            result = worked.flaky.enqueue("x")
            assert run_jobs().retried == 1
            for wait in (10, 30, 90):
                due_at = job_of(result).due_at
                assert due_at == now.now + timedelta(seconds=wait)
                now.move_to(due_at - timedelta(seconds=1))
                assert len(run_jobs()) == 0
                now.move_to(due_at)
                assert len(run_jobs(raise_errors=False)) == 1
        result.refresh()
        assert job_of(result).state == "failed"
        assert [error.traceback.splitlines()[-1][-1] for error in result.errors] == ["1", "2", "3", "4"]

    def test_a_retry_without_delay_runs_at_once_and_knows_its_number(self) -> None:
        worked.third_time_lucky.enqueue()
        done = run_jobs()
        assert ran == [1, 2, 3]
        assert (done.retried, done.successful, len(done.results)) == (2, 1, 1)

    def test_past_attempts_are_looked_up_uncounted(self) -> None:
        worked.third_time_lucky.enqueue()
        with self.assertNumQueries(0):  # type: ignore[attr-defined]
            run_jobs()

    def test_raise_errors_leaves_a_job_alone_that_will_be_tried_again(self) -> None:
        worked.third_time_lucky.enqueue()
        assert run_jobs(raise_errors=True).successful == 1

    def test_a_tasks_own_backoff_function_is_asked(self) -> None:
        with clock(NOON):
            later, never = worked.ask.enqueue("later"), worked.ask.enqueue("never")
            run_jobs(raise_errors=False)
        assert job_of(later).due_at == NOON + timedelta(minutes=1)
        assert (job_of(never).state, job_of(never).reason) == ("failed", "given up")

    def test_a_job_postpones_itself_until_it_may_not_any_more(self) -> None:
        with clock(NOON) as now:
            result = worked.not_yet.enqueue("return")
            for _ in range(2):
                assert run_jobs().postponed == 1
                now.advance(timedelta(seconds=30))
            run_jobs(raise_errors=False)
        assert (job_of(result).state, job_of(result).reason) == ("failed", "postponed too often")

    def test_a_raised_postpone_names_its_delay(self) -> None:
        with clock(NOON):
            result = worked.not_yet.enqueue("raise")
            run_jobs()
        assert job_of(result).due_at == NOON + timedelta(minutes=1)
        assert Attempt.objects.get().reason == "too early"

    def test_a_unique_job_is_there_once_until_it_has_started(self) -> None:
        first, second = worked.once.enqueue("tea"), worked.once.enqueue("tea")
        assert second.id == first.id
        run_jobs()
        third = worked.once.enqueue("tea")
        assert third.id != first.id
        run_jobs()
        assert ran == ["tea", "tea"]

    def test_a_job_that_is_too_old_to_start_fails_unseen(self) -> None:
        with clock(NOON) as now:
            result = worked.fresh.enqueue("bread")
            now.advance(timedelta(minutes=2))
            done = run_jobs(raise_errors=False)
        assert ran == []
        assert (job_of(result).state, job_of(result).reason) == ("failed", "expired")
        assert [attempt.outcome for attempt in done.attempts] == ["expired"]

    def test_a_cancelled_job_does_not_run(self) -> None:
        result = worked.note.enqueue("tea")
        operations.cancel(result)
        assert len(run_jobs()) == 0
        assert job_of(result).state == "cancelled"

    def test_a_job_that_is_cancelled_while_it_runs_is_not_tried_again(self) -> None:
        result = worked.cancel_myself.enqueue()
        done = run_jobs()
        assert (done.cancelled, [attempt.outcome for attempt in done.attempts]) == (1, ["cancelled"])
        assert job_of(result).state == "cancelled"

    def test_a_held_job_waits_for_its_release(self) -> None:
        result = worked.note.enqueue("tea")
        operations.hold(result, "let me look")
        assert len(run_jobs()) == 0
        assert [one.id for one in enqueued()] == [result.id]
        operations.release(result)
        assert run_jobs().successful == 1

    def test_a_paused_queues_jobs_wait_and_others_run(self) -> None:
        worked.note.enqueue("paused")
        worked.note.using(queue_name="mail").enqueue("mail")
        operations.pause_queue("default", reason="the disk is full")
        run_jobs()
        assert ran == ["mail"]
        operations.resume_queue("default")
        run_jobs()
        assert ran == ["mail", "paused"]

    def test_a_job_can_be_retried_by_hand(self) -> None:
        result = worked.fail.enqueue()
        run_jobs(raise_errors=False)
        operations.retry(result)
        assert run_jobs(raise_errors=False).failed == 1
        assert job_of(result).generation == 2

    def test_arguments_that_do_not_fit_put_the_job_off(self) -> None:
        with clock(NOON):
            # Its code is said to live elsewhere, so nothing is held against it before it runs.
            result = remote("tests.app.worked.note").enqueue("too", "many")
            done = run_jobs(raise_errors=False)
        assert [attempt.outcome for attempt in done.attempts] == ["incompatible"]
        assert job_of(result).state == "scheduled"

    def test_a_job_that_no_code_fits_fails_after_an_hour_and_its_dependents_strand(self) -> None:
        with clock(NOON) as now:
            result = worked.note.enqueue("fits")
            waits = worked.note.using(after=[result]).enqueue("waits")
            with connection.cursor() as cursor:
                misfit = ['["too", "many"]', result.id.replace("-", "")]
                cursor.execute("update gristmill_job set args = %s where id = %s", misfit)
            run_jobs(raise_errors=False)
            assert "does not fit the code" in str(explain(result))
            tries = 1
            while job_of(result).state == "scheduled":
                due_at = job_of(result).due_at
                assert due_at is not None and tries < 100
                now.move_to(due_at)
                run_jobs(raise_errors=False)
                tries += 1
            assert tries >= 20 and due_at - NOON >= timedelta(hours=1)
        assert (job_of(result).state, job_of(result).reason) == ("failed", "incompatible")
        assert job_of(waits).state == "stranded"
        assert "incompatible" in str(explain(result))

    def test_what_a_handler_says_of_itself_is_kept(self) -> None:
        result = worked.report.enqueue()
        run_jobs(raise_errors=False)
        said = ProgressRow.objects.get(pk=result.id)
        assert (said.done, said.total, said.message) == (2, 2, "all")
        assert said.metadata == '{"colour":"blue"}'
        assert Attempt.objects.get().output.endswith(" a line\n")  # type: ignore[union-attr]

    def test_a_transactional_jobs_writes_are_there_with_its_end(self) -> None:
        result = worked.pay.enqueue("cash")
        run_jobs()
        result.refresh()
        assert result.return_value is True
        assert Order.objects.filter(name="cash").exists()

    def test_a_transactional_job_that_fails_has_written_nothing(self) -> None:
        for how in ("raise", "set", "collide"):
            result = worked.pay.enqueue(how)
            assert run_jobs(raise_errors=False).failed == 1
            assert job_of(result).state == "failed"
        assert not Order.objects.exists()
        assert ran == []
        paths = Attempt.objects.order_by("job_id").values_list("exception_class_path", flat=True)
        assert list(paths) == ["tests.app.worked.Sad", "builtins.TypeError", "gristmill.exceptions.TransactionBroken"]

    def test_a_transactional_job_that_postpones_itself_keeps_what_it_wrote(self) -> None:
        result = worked.pay.enqueue("later")
        run_jobs()
        assert job_of(result).state == "scheduled"
        assert Order.objects.filter(name="later").exists()

    def test_a_transactional_job_whose_end_is_not_accepted_has_written_nothing(self) -> None:
        worked.pay.enqueue("superseded")
        assert len(run_jobs().attempts) == 0
        assert not Order.objects.exists()

    def test_nothing_is_left_open(self) -> None:
        depth = len(connection.savepoint_ids)
        for how in ("cash", "raise", "collide", "later"):
            worked.pay.enqueue(how)
        run_jobs(raise_errors=False)
        assert len(connection.savepoint_ids) == depth
        assert not connection.needs_rollback
        assert not RunningRow.objects.exists()


class InTestCase(Both, TestCase):
    """In the transaction that Django undoes after each test."""

    def test_a_transactional_jobs_callbacks_wait_for_the_tests_capture(self) -> None:
        worked.pay.enqueue("cash")
        with self.captureOnCommitCallbacks(execute=True):
            run_jobs()
            assert ran == []
        assert ran == ["cash: committed"]


class InTransactionTestCase(Both, TransactionTestCase):
    """With commits, as a worker's jobs have."""

    def test_a_transactional_jobs_callbacks_run_after_its_commit(self) -> None:
        worked.pay.enqueue("cash")
        run_jobs()
        assert ran == ["cash: committed"]

    def test_a_callback_that_raises_changes_nothing_about_the_job(self) -> None:
        result = worked.careless.enqueue()
        with self.assertLogs("gristmill", "ERROR"):
            run_jobs()
        assert job_of(result).state == "successful"


@pytest.mark.django_db
def test_the_fixture_is_the_function(run_jobs: Any) -> None:
    worked.note.enqueue("tea")
    assert run_jobs().successful == 1


@pytest.mark.django_db
def test_by_the_real_clock_a_delay_is_a_delay() -> None:
    worked.note.using(run_after=timedelta(hours=1)).enqueue("later")
    assert len(run_jobs()) == 0
    with clock(django_timezone.now() + timedelta(hours=2)):
        assert len(run_jobs()) == 1
