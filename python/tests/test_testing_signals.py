"""`run_jobs()` and who listens to Django's signals: told once a job has ended, and never to its cost."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.test import TestCase, TransactionTestCase

from gristmill.compat import task_finished, task_started
from gristmill.models import Job
from gristmill.testing import run_jobs
from tests.app import worked
from tests.app.models import Order


@pytest.fixture(autouse=True)
def _nothing_ran() -> Iterator[None]:
    worked.ran.clear()
    yield
    worked.ran.clear()


@contextmanager
def listening(signal: Any, receiver: Callable[[Any], Any]) -> Iterator[None]:
    """Has a function hear what a signal tells of a job."""
    signal.connect(lambda task_result, **rest: receiver(task_result), weak=False, dispatch_uid="listening")
    try:
        yield
    finally:
        signal.disconnect(dispatch_uid="listening")


def heard() -> list[tuple[str | None, ...]]:
    """What receivers of `task_finished` hear in a run: the status, where the job is then, and the exception at hand."""
    told: list[tuple[str | None, ...]] = []

    def hear(result: Any) -> None:
        error = sys.exc_info()[1]
        # One that was superseded is nowhere.
        states = [job.state for job in Job.objects.filter(pk=result.id)]
        told.append((result.status.name, *(states or ["nowhere"]), None if error is None else str(error)))

    with listening(task_finished, hear):
        run_jobs(raise_errors=False)
    return told


class Both:
    """What holds in a TestCase and in a TransactionTestCase alike."""

    def test_who_is_told_that_a_job_has_ended_finds_it_ended(self) -> None:
        worked.note.enqueue("tea")
        worked.pay.enqueue("cash")
        assert heard() == [("SUCCESSFUL", "successful", None)] * 2

    def test_a_failure_is_told_once_when_no_retry_follows(self) -> None:
        worked.fail.using(max_attempts=3, backoff=worked.Constant(0)).enqueue("no tea")
        assert heard() == [("FAILED", "failed", "no tea")]

    def test_a_transactional_failure_is_told_once(self) -> None:
        worked.pay.enqueue("collide")
        assert [(status, state) for status, state, _ in heard()] == [("FAILED", "failed")]

    def test_a_job_that_has_postponed_itself_too_often_has_failed(self) -> None:
        worked.pay.using(max_postpones=0).enqueue("later")
        assert heard() == [("FAILED", "failed", None)]

    def test_nobody_is_told_of_an_end_that_was_not_accepted(self) -> None:
        worked.pay.enqueue("superseded")
        assert heard() == []

    @pytest.mark.skipif(sys.version_info < (3, 11), reason="keeps the exception apart from its traceback")
    def test_a_receiver_finds_the_traceback_of_the_task(self) -> None:
        found: list[str] = []

        def hear(result: Any) -> None:
            error = sys.exc_info()[1]
            assert error is not None and error.__traceback__ is not None
            found.append(error.__traceback__.tb_frame.f_code.co_name)

        worked.fail.enqueue()
        with listening(task_finished, hear):
            run_jobs(raise_errors=False)
        assert len(found) == 1 and found[0] != "concluded"

    def test_what_receivers_do_to_themselves_and_to_the_database_costs_no_job(self) -> None:
        def leave(result: Any) -> None:
            sys.exit("a receiver's")

        for signal in (task_started, task_finished):
            for trouble in (leave, collide):
                result = worked.place.enqueue("kept")
                with listening(signal, trouble):
                    assert run_jobs().successful == 1
                assert Job.objects.get(pk=result.id).state == "successful"
        assert Order.objects.filter(name="kept").count() == 4


def collide(result: Any) -> None:
    Order.objects.create(pk=7, name="first")
    Order(pk=7, name="second").save(force_insert=True)


class InTestCase(Both, TestCase):
    """In the transaction that Django undoes after each test."""


class InTransactionTestCase(Both, TransactionTestCase):
    """With commits, as a worker's jobs have."""
