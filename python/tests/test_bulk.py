"""Bulk enqueue: the same rows as one by one, in a few statements, all or none."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.forms import model_to_dict

from gristmill import call
from gristmill.compat import InvalidTask, task_backends, task_enqueued
from gristmill.exceptions import OutsideTransaction
from gristmill.models import Job, JobRow, ReadyRow, ScheduledRow
from tests.app.tasks import add, send, with_context


@pytest.mark.django_db
@pytest.mark.parametrize(
    "task", [add, send.using(priority=-3), with_context, add.using(run_after=timedelta(hours=1)), add.using(priority=9)]
)
def test_a_bulk_enqueue_writes_what_single_ones_write(task, frozen):
    task.enqueue("ü", right=[1])
    task.enqueue_many([call("ü", right=[1])])

    first, second = (model_to_dict(job) for job in Job.objects.order_by("id"))
    assert first.pop("id") != second.pop("id")
    assert first == second


@pytest.mark.django_db
def test_thousands_of_jobs_take_a_few_statements(django_assert_max_num_queries):
    with django_assert_max_num_queries(5):
        enqueued = add.enqueue_many((number,) for number in range(2_000))

    assert len(enqueued) == len(set(enqueued.ids)) == ReadyRow.objects.count() == 2_000
    assert [job.args for job in Job.objects.order_by("id")[1_998:]] == [[1998], [1999]]


@pytest.mark.django_db
def test_results_come_in_order_and_equal_what_is_read():
    enqueued = add.using(run_after=timedelta(days=1)).enqueue_many([(1,), call(2, right=3), [4]])

    assert [result.args for result in enqueued] == [[1], [2], [4]]
    assert [task_backends["default"].get_result(result.id) for result in enqueued] == list(enqueued)
    assert [result.id for result in enqueued[1:]] == enqueued.ids[1:]
    assert ScheduledRow.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_a_call_that_cannot_be_enqueued_leaves_nothing():
    calls = [(number,) for number in range(1_500)] + [({1, 2},)]

    with pytest.raises(TypeError, match=r"^calls\[1500\]\.args\[0\]: set is not JSON"):
        add.enqueue_many(calls)

    assert not JobRow.objects.exists()
    assert not connection.in_atomic_block


@pytest.mark.django_db
def test_a_call_must_be_a_tuple():
    with pytest.raises(TypeError, match=r"^calls\[0\]: give a tuple of arguments, such as \(7,\)"):
        add.enqueue_many(["text"])


@pytest.mark.django_db
def test_no_calls_are_no_jobs():
    assert list(add.enqueue_many([])) == []
    assert not JobRow.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_it_is_part_of_the_callers_transaction():
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        add.enqueue_many([(1,), (2,)])
        1 / 0  # noqa: B018

    assert not JobRow.objects.exists()


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_a_transaction_on_another_database_only_is_an_error():
    with transaction.atomic(), pytest.raises(OutsideTransaction):
        add.using(backend="elsewhere").enqueue_many([(1,)])


@pytest.mark.django_db
def test_the_signal_is_sent_for_each_job():
    received = []

    def receive(sender, task_result, **kwargs):
        received.append(task_result.id)

    task_enqueued.connect(receive)
    try:
        enqueued = add.enqueue_many([(1,), (2,)])
    finally:
        task_enqueued.disconnect(receive)

    assert received == enqueued.ids


@pytest.mark.django_db
def test_a_task_is_validated_as_for_a_single_enqueue(settings):
    settings.TASKS = {"default": {"BACKEND": "gristmill.backend.GristmillBackend", "QUEUES": ["default"]}}

    with pytest.raises(InvalidTask, match="Queue 'mail' is not valid for backend"):
        send.enqueue_many([("a",)])
