"""Nothing of ours is done in a block that is marked for rollback: whoever asks is told, as by Django's own ORM."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction
from django.db.transaction import TransactionManagementError

import gristmill
from gristmill import Graph, chain, operations
from gristmill.database.statements import run
from gristmill.models import Job, JobRow, Queue, Schedule
from gristmill.testing import run_jobs
from gristmill.verbs.pruning import Rule, prune
from tests import rows
from tests.app.tasks import add

pytestmark = pytest.mark.django_db(transaction=True)

AGE = timedelta(days=1)
# What is there, by state; asked of the database itself, as Django asks it nothing more.
LOOK = "select state, count(*) from gristmill_jobs group by state order by state"

unique_add = add.using(unique=True)


@gristmill.task(schedulable=True)
def report() -> None: ...


class Before:
    """What was there: a job in each place that an operation takes one from."""

    def __init__(self) -> None:
        self.ready, self.held, self.failed, self.running = (str(add.enqueue(number).id) for number in range(4))
        self.unique = unique_add.enqueue(5)
        operations.hold(self.held)
        rows.fail(self.failed)
        rows.claim(self.running)
        operations.define_schedule("mine", report, every=60)
        operations.define_schedule("paused", report, every=60)
        operations.pause_schedule("paused", reason="x")
        operations.pause_queue("mail", reason="x")


def graph() -> Graph:
    made = Graph()
    made.add(add, 1, after=made.add(add, 2))
    return made


OPERATIONS: dict[str, Callable[[Before], Any]] = {
    "enqueue": lambda before: add.enqueue(1),
    "aenqueue": lambda before: async_to_sync(add.aenqueue)(1),
    "enqueue, unique": lambda before: unique_add.enqueue(6),
    "enqueue, the key is another's": lambda before: unique_add.enqueue(5),
    "enqueue after": lambda before: add.using(after=before.failed).enqueue(1),
    "enqueue_many": lambda before: add.enqueue_many([(1,), (2,)]),
    "enqueue_many, unique": lambda before: unique_add.enqueue_many([(5,), (7,)]),
    "chain": lambda before: chain(add.with_args(1), add.with_args(2)).enqueue(),
    "graph": lambda before: graph().enqueue(),
    "cancel": lambda before: operations.cancel(before.ready),
    "cancel, running": lambda before: operations.cancel(before.running),
    "hold": lambda before: operations.hold(before.ready),
    "release": lambda before: operations.release(before.held),
    "retry": lambda before: operations.retry(before.failed),
    "add_preconditions": lambda before: operations.add_preconditions(before.ready, before.running),
    "cancel of a query set": lambda before: Job.objects.all().cancel(),
    "hold of a query set": lambda before: Job.objects.all().hold(),
    "release of a query set": lambda before: Job.objects.all().release(),
    "retry of a query set": lambda before: Job.objects.all().retry(),
    "acancel of a query set": lambda before: async_to_sync(Job.objects.all().acancel)(),
    "pause_queue": lambda before: operations.pause_queue("default", reason="x"),
    "resume_queue": lambda before: operations.resume_queue("mail"),
    "define_schedule": lambda before: operations.define_schedule("other", report, every=60),
    "remove_schedule": lambda before: operations.remove_schedule("mine"),
    "pause_schedule": lambda before: operations.pause_schedule("mine", reason="x"),
    "resume_schedule": lambda before: operations.resume_schedule("paused"),
    "run_schedule": lambda before: operations.run_schedule("mine"),
    "prune": lambda before: list(prune(connection, Rule(AGE, AGE))),
    "prune of failures": lambda before: list(prune(connection, Rule(2 * AGE, AGE))),
    "run_jobs": lambda before: run_jobs(),
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_an_operation_in_a_block_that_is_marked_for_rollback_raises_and_does_nothing(
    operation: Callable[[Before], Any],
) -> None:
    before = Before()
    was = run(connection, [LOOK], [])
    with transaction.atomic():
        transaction.set_rollback(True)

        with pytest.raises(TransactionManagementError):
            operation(before)

        assert run(connection, [LOOK], []) == was
        # The block is still the caller's to end as they meant to.
        assert connection.needs_rollback

    assert JobRow.objects.count() == 5
    assert list(Queue.objects.values_list("queue_name", flat=True)) == ["mail"]
    assert [schedule.state for schedule in Schedule.objects.order_by("name")] == ["active", "paused"]


def test_after_the_block_everything_can_be_done_again() -> None:
    before = Before()
    with transaction.atomic(), pytest.raises(TransactionManagementError):
        transaction.set_rollback(True)
        operations.cancel(before.ready)

    assert operations.cancel(before.ready).done == {"cancelled": 1}


def test_an_inner_block_that_has_failed_marks_the_outer_one() -> None:
    before = Before()
    with transaction.atomic():
        with pytest.raises(ZeroDivisionError), transaction.atomic(savepoint=False):
            1 / 0  # noqa: B018
        with pytest.raises(TransactionManagementError):
            operations.hold(before.ready)
    assert Job.objects.get(pk=before.ready).state == "ready"
