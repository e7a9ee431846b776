"""`run_jobs()` with goals: jobs that wait for others run inside tests as a worker would run them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from django.db import connection
from django.test import TestCase, TransactionTestCase

from gristmill import at_least, chain, group, operations
from gristmill.exceptions import WaitInTransaction
from gristmill.models import EdgeRow, Job, JobRow, PropagationRow
from gristmill.testing import clock, run_jobs
from tests import rows
from tests.app import worked
from tests.app.models import Order
from tests.app.worked import gather, gather_and_keep, look_back, look_each_time, obey, ran, refused

pytestmark = pytest.mark.django_db

NOON = datetime(2031, 5, 1, 12, tzinfo=timezone.utc)


@pytest.fixture(autouse=True)
def _nothing_ran() -> Iterator[None]:
    ran.clear(), refused.clear()
    yield
    ran.clear(), refused.clear()


def states(*results: Any) -> list[str]:
    """Where jobs are."""
    found = {job.id.hex: job.state for job in Job.objects.filter(pk__in=[result.id for result in results])}
    return [found[result.id] for result in results]


class Both:
    """What holds in a TestCase and in a TransactionTestCase alike."""

    def test_a_chain_runs_in_its_order_whatever_the_priorities(self) -> None:
        steps = [obey.using(priority=priority).with_args(what) for what, priority in (("a", -9), ("b", 0), ("c", 9))]
        results = chain(*steps).enqueue()
        assert run_jobs().successful == 3
        assert ran == ["a", "b", "c"]
        assert states(*results) == ["successful"] * 3
        assert not PropagationRow.objects.exists()

    def test_what_follows_a_group_runs_once_all_have_ended_however_they_did(self) -> None:
        refused.add("b")
        results = group(obey.with_args(what) for what in "abc").then(look_back).enqueue()
        run_jobs(raise_errors=False)
        last = results.last
        last.refresh()
        assert [(status, value) for _, status, value in last.return_value] == [
            *(("SUCCESSFUL", "a"), ("FAILED", None), ("SUCCESSFUL", "c")),
        ]

    def test_a_diamond_meets_again(self) -> None:
        results = chain(obey.with_args("a"), group(obey.with_args("b"), obey.with_args("c")), look_back).enqueue()
        run_jobs()
        last = results.last
        last.refresh()
        assert [value for *_, value in last.return_value] == ["b", "c"]
        assert ran[0] == "a"

    def test_so_many_are_enough_and_too_many_failures_strand(self) -> None:
        refused.update("bc")
        after = [obey.enqueue(what) for what in "abc"]
        one = obey.using(after=after, after_mode="any").enqueue("one")
        two = obey.using(after=after, after_mode=at_least(2)).enqueue("two")
        every = obey.using(after=after, on_precondition_failure="proceed").enqueue("every")
        run_jobs(raise_errors=False)
        assert states(one, two, every) == ["successful", "stranded", "successful"]
        assert ran[-1] in ("one", "every") and "two" not in ran

    def test_what_has_succeeded_or_failed_before_the_enqueue_counts(self) -> None:
        refused.add("b")
        good, bad = obey.enqueue("a"), obey.enqueue("b")
        run_jobs(raise_errors=False)
        results = [obey.using(after=one).enqueue("c") for one in (good, bad)]
        run_jobs()
        assert states(*results) == ["successful", "stranded"]

    def test_failure_strands_all_that_follows_and_a_retry_heals_it(self) -> None:
        refused.add("a")
        first, second, third = chain(*(obey.with_args(what) for what in "abc")).enqueue()
        assert run_jobs(raise_errors=False).failed == 1
        assert states(first, second, third) == ["failed", "stranded", "stranded"]
        assert Job.objects.stranded().count() == 2
        refused.clear()
        assert operations.retry(first).done == {"retried": 1}
        assert run_jobs().successful == 3
        assert ran == ["a", "a", "b", "c"]

    def test_what_is_cancelled_strands_too(self) -> None:
        first, second = chain(obey.with_args("a"), obey.with_args("b")).enqueue()
        operations.cancel(first)
        assert len(run_jobs()) == 0
        assert states(first, second) == ["cancelled", "stranded"]

    def test_a_job_may_fail_with_what_it_waits_for_and_is_itself_retried(self) -> None:
        refused.add("a")
        first = obey.enqueue("a")
        second = obey.using(after=first, on_precondition_failure="fail").enqueue("b")
        third = obey.using(after=second).enqueue("c")
        assert len(run_jobs(raise_errors=False)) == 1
        assert states(first, second, third) == ["failed", "failed", "stranded"]
        assert Job.objects.get(pk=second.id).reason == "precondition failed"
        refused.clear()
        operations.retry(first)
        run_jobs()
        assert states(first, second, third) == ["successful", "failed", "stranded"]
        operations.retry(second)
        run_jobs()
        assert states(first, second, third) == ["successful"] * 3

    def test_a_held_job_goes_on_counting_and_runs_when_it_is_released(self) -> None:
        first = obey.enqueue("a")
        kept = obey.using(after=first, hold=True).enqueue("b")
        also = obey.using(after=first).enqueue("c")
        operations.hold(also, "not now")
        run_jobs()
        assert (ran, states(kept, also)) == (["a"], ["held", "held"])
        assert operations.release([kept, also]).done == {"released": 2}
        run_jobs()
        assert ran == ["a", "b", "c"]

    def test_what_is_released_before_its_turn_goes_on_waiting(self) -> None:
        first = obey.using(hold=True).enqueue("a")
        second = obey.using(after=first, hold=True).enqueue("b")
        operations.release(second)
        assert len(run_jobs()) == 0
        assert states(first, second) == ["held", "waiting"]
        operations.release(first)
        assert run_jobs().successful == 2

    def test_a_handler_goes_back_until_what_it_has_enqueued_is_there(self) -> None:
        result = gather.enqueue()
        done = run_jobs()
        result.refresh()
        assert (result.return_value, ran) == (3, ["gather", 1, 2, "gather"])
        assert (done.postponed, done.successful, done.attempts[0].state) == (1, 3, "waiting")

    def test_a_handler_that_waits_is_stranded_and_healed_like_any_other(self) -> None:
        refused.add(2)
        result = gather.enqueue()
        run_jobs(raise_errors=False)
        assert states(result) == ["stranded"]
        refused.clear()
        operations.retry(Job.objects.failed())
        run_jobs()
        result.refresh()
        assert result.return_value == 3

    def test_a_handler_that_waits_keeps_what_it_wrote_together_with_what_it_enqueued(self) -> None:
        result = gather_and_keep.enqueue()
        run_jobs()
        result.refresh()
        assert (result.return_value, Order.objects.filter(name="kept").count()) == (3, 2)

    def test_a_handler_that_waits_for_nothing_more_waits_for_what_is_open(self) -> None:
        after = [obey.using(priority=priority).enqueue(what) for what, priority in (("a", 9), ("b", -9))]
        result = look_each_time.using(after=after, after_mode="any").enqueue()
        alone = look_each_time.enqueue()
        run_jobs()
        assert (states(result, alone), ran) == (["successful"] * 2, ["a", *["look"] * 2, "b", "look"])

    def test_a_postponement_may_have_a_date_besides(self) -> None:
        with clock(NOON) as now:
            result = gather.enqueue(60)
            run_jobs()
            assert (ran, states(result)) == (["gather", 1, 2], ["scheduled"])
            now.advance(timedelta(seconds=60))
            run_jobs()
            assert states(result) == ["successful"]

    def test_a_date_behind_a_gate_comes_when_it_comes(self) -> None:
        with clock(NOON) as now:
            first = obey.enqueue("a")
            dated = obey.using(after=first, run_after=timedelta(hours=1)).enqueue("b")
            run_jobs()
            assert (ran, states(dated)) == (["a"], ["scheduled"])
            now.advance(timedelta(minutes=59))
            assert len(run_jobs()) == 0
            now.advance(timedelta(minutes=1))
            assert len(run_jobs()) == 1
            assert Job.objects.get(pk=dated.id).started_at == now.now

    def test_a_gate_behind_a_date_holds_when_it_holds(self) -> None:
        with clock(NOON) as now:
            first = obey.using(run_after=timedelta(hours=2)).enqueue("a")
            dated = obey.using(after=first, run_after=timedelta(hours=1)).enqueue("b")
            now.advance(timedelta(hours=1))
            assert len(run_jobs()) == 0
            assert states(first, dated) == ["scheduled", "waiting"]
            now.advance(timedelta(hours=1))
            run_jobs()
            assert ran == ["a", "b"]

    def test_a_job_whose_date_is_far_is_stranded_at_once(self) -> None:
        refused.add("a")
        with clock(NOON):
            dated = obey.using(after=obey.enqueue("a"), run_after=timedelta(days=1)).enqueue("b")
            run_jobs(raise_errors=False)
            assert states(dated) == ["stranded"]

    def test_a_job_that_has_not_started_waits_again_when_what_it_needs_is_retried(self) -> None:
        with clock(NOON) as now:
            first = obey.enqueue("a")
            every = obey.using(after=first, run_after=timedelta(hours=1)).enqueue("every")
            one = obey.using(after=first, run_after=timedelta(hours=1), after_mode="any").enqueue("one")
            run_jobs()
            assert states(every, one) == ["scheduled", "scheduled"]
            refused.add("a")
            operations.retry(first)
            run_jobs(raise_errors=False)
            assert states(first, every, one) == ["failed", "stranded", "scheduled"]
            now.advance(timedelta(hours=1))
            run_jobs()
            assert ran == ["a", "a", "one"]

    def test_what_an_urgent_job_waits_for_is_urgent_too(self) -> None:
        obey.using(deadline=timedelta(hours=2)).enqueue("c")
        first = obey.enqueue("a")
        second = obey.using(after=first).enqueue("b")
        last = obey.using(after=second, deadline=timedelta(hours=1)).enqueue("urgent")
        deadline = Job.objects.get(pk=last.id).deadline
        run_jobs()
        assert ran == ["a", "b", "urgent", "c"]
        assert set(Job.objects.filter(pk__in=[first.id, second.id]).values_list("deadline", flat=True)) == {deadline}

    def test_more_to_wait_for_may_be_added_and_a_circle_fails(self) -> None:
        first, second, third = (obey.using(hold=True).enqueue(what) for what in "abc")
        assert operations.add_preconditions(second, first).done == {"added": 1}
        assert operations.add_preconditions(third, second).done == {"added": 1}
        assert operations.add_preconditions(first, third).done == {"added": 1}
        operations.release([first, second, third])
        assert len(run_jobs()) == 0
        assert sorted(states(first, second, third)) == ["failed", "stranded", "stranded"]
        assert Job.objects.failed().get().reason == "cycle"

    def test_a_job_is_waited_for_until_it_has_ended(self) -> None:
        results = chain(obey.with_args("a"), obey.with_args("b")).enqueue()
        if connection.in_atomic_block:
            with pytest.raises(WaitInTransaction):
                results.last.wait(timeout=1)
        run_jobs()
        assert results.last.wait(timeout=1).return_value == "b"
        assert Job.objects.get(pk=results.ids[0]).wait(timeout=1).state == "successful"


class InTestCase(Both, TestCase):
    """In the transaction that Django undoes after each test."""


class InTransactionTestCase(Both, TransactionTestCase):
    """With commits, as a worker's jobs have."""


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

    assert run_jobs(raise_errors=False).failed == 1

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
