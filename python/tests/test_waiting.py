"""Waiting for a job's end: at once when it has ended, patiently when not, and never where it could not be seen."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction

from gristmill.compat import TaskResultDoesNotExist
from gristmill.exceptions import WaitInTransaction
from gristmill.models import Job
from gristmill.results import waiting
from tests import rows
from tests.app.tasks import add


@pytest.fixture
def paused(monkeypatch):
    """Notes the pauses instead of making them; after the third, calls what it is given."""
    pauses = []
    ends = []

    def sleep(seconds):
        pauses.append(seconds)
        if len(pauses) == 3:
            for end in ends:
                end()

    async def sleep_async(seconds):
        # In the thread that has the connection.
        from asgiref.sync import sync_to_async

        await sync_to_async(sleep)(seconds)

    monkeypatch.setattr(waiting.time, "sleep", sleep)
    monkeypatch.setattr(waiting.asyncio, "sleep", sleep_async)
    return pauses, ends.append


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("shape", ["result", "job", "async result", "async job"])
def test_a_wait_ends_with_the_job(shape, paused):
    pauses, at_the_third = paused
    result = add.enqueue(1)
    at_the_third(lambda: rows.succeed(result.id, "7"))
    waiter = Job.objects.get() if "job" in shape else result

    ended = async_to_sync(waiter.await_)() if "async" in shape else waiter.wait()

    assert ended is waiter
    assert (waiter.result if "job" in shape else waiter.return_value) == 7
    assert waiter.status.value == "SUCCESSFUL"
    assert len(pauses) == 3


@pytest.mark.django_db(transaction=True)
def test_pauses_grow_to_half_a_second(paused):
    add.enqueue(1)
    result = add.enqueue(2)
    generator = waiting.pauses()
    taken = [next(generator) for _ in range(30)]

    assert taken[0] < 0.007 and 0.37 < taken[-1] < 0.63
    with pytest.raises(TimeoutError, match=rf"job {result.id} has not ended within 0.02 s; it is ready"):
        result.wait(timedelta(milliseconds=20))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("timeout", [0, -1, 0.0])
def test_a_wait_of_no_time_looks_once(timeout, paused):
    result = add.enqueue(1)
    with pytest.raises(TimeoutError):
        result.wait(timeout)
    rows.fail(result.id)
    assert result.wait(timeout).status.value == "FAILED"
    assert paused[0] == []


@pytest.mark.django_db
def test_inside_a_transaction_nobody_waits_for_what_has_not_ended():
    result = add.enqueue(1)
    with pytest.raises(WaitInTransaction, match=r"a transaction is open on database 'default'.*run_jobs"):
        result.wait(timeout=60)
    with pytest.raises(WaitInTransaction):
        Job.objects.get().wait()

    rows.succeed(result.id)
    assert result.wait().status.value == "SUCCESSFUL"


@pytest.mark.django_db(transaction=True)
def test_without_autocommit_neither(paused):
    result = add.enqueue(1)
    transaction.set_autocommit(False)
    try:
        with pytest.raises(WaitInTransaction):
            result.wait()
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
    assert not connection.in_atomic_block


@pytest.mark.django_db(transaction=True)
def test_an_unknown_job_is_not_waited_for():
    result = add.enqueue(1)
    object.__setattr__(result, "id", uuid.uuid4().hex)
    with pytest.raises(TaskResultDoesNotExist):
        result.wait()


@pytest.mark.django_db
def test_a_result_that_has_ended_is_not_asked_for_again(django_assert_num_queries):
    result = add.enqueue(1)
    rows.succeed(result.id)
    result.refresh()
    with django_assert_num_queries(0):
        assert result.wait() is result


def test_a_backend_that_keeps_no_jobs_says_so():
    from gristmill.backends.dummy import DummyBackend

    backend = DummyBackend("not_ours", {})
    result = backend.enqueue(add, [1], {})
    with pytest.raises(NotImplementedError, match="'not_ours'"):
        result.wait()
