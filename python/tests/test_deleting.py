"""`delete()` of chosen jobs: by the rules of pruning, with the answer that Django gives."""

from __future__ import annotations

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction
from django.db.models import ProtectedError, QuerySet
from django.db.transaction import TransactionManagementError

from gristmill import operations
from gristmill.doctor.examine import examine
from gristmill.models import (
    Action,
    Attempt,
    EdgeRow,
    GateRow,
    Job,
    JobRow,
    ReadyRow,
    ResultRow,
    UniqueKeyRow,
)
from gristmill.testing import run_jobs
from gristmill.verbs import batched
from tests import rows
from tests.app.tasks import add, send

pytestmark = pytest.mark.django_db

ONCE = add.using(unique=True)


def ended(task=add):
    """A job that has ended."""
    job = task.enqueue(1)
    rows.succeed(job.id)
    return job


def test_chosen_jobs_that_have_ended_are_deleted_with_all_about_them():
    chosen, other = ended(), ended(send)
    operations.retry(chosen)
    run_jobs()

    answer = Job.objects.filter(task_name=add.module_path).delete()

    assert answer == (1, {"gristmill.Job": 1})
    assert [job.id.hex for job in Job.objects.all()] == [other.id]
    assert (JobRow.objects.count(), Attempt.objects.count(), Action.objects.count()) == (1, 1, 0)


def test_what_has_not_ended_is_left():
    ready, running, held = add.enqueue(1), rows.claim(add.enqueue(2).id), add.using(hold=True).enqueue(3)
    done = ended()

    assert Job.objects.all().delete() == (1, {"gristmill.Job": 1})

    assert {job.id.hex for job in Job.objects.all()} == {ready.id, running.id.hex, held.id}
    assert Job.objects.filter(pk=done.id).delete() == (0, {"gristmill.Job": 0})


def test_what_a_job_waits_for_that_has_not_ended_is_left_and_goes_with_it():
    first = add.enqueue(1)
    second = add.using(after=first).enqueue(2)
    third = add.using(after=second, hold=True).enqueue(3)
    run_jobs()

    assert Job.objects.successful().delete() == (1, {"gristmill.Job": 1})
    assert {job.id.hex for job in Job.objects.all()} == {second.id, third.id}

    operations.cancel(third)
    run_jobs()
    assert Job.objects.all().delete() == (2, {"gristmill.Job": 2})
    assert (EdgeRow.objects.count(), GateRow.objects.count(), ResultRow.objects.count()) == (0, 0, 0)


def test_a_deleted_job_gives_up_its_key():
    first = ONCE.enqueue(1)
    rows.succeed(first.id)
    UniqueKeyRow.objects.update(until="pruned")

    Job.objects.all().delete()

    assert not ONCE.enqueue(1).existing


def test_one_job_is_deleted_and_then_gone():
    job = Job.objects.get(pk=ended().id)

    assert job.delete() == (1, {"gristmill.Job": 1})
    assert job.delete() == (0, {"gristmill.Job": 0})
    assert JobRow.objects.count() == 0


def test_one_job_that_has_not_ended_is_refused_in_words():
    job = Job.objects.get(pk=add.enqueue(1).id)

    with pytest.raises(ProtectedError, match=f"job {job.id.hex} is not deleted: it has not ended, it is ready"):
        job.delete()


def test_one_job_that_another_waits_for_is_refused_and_names_it():
    first = add.enqueue(1)
    second = add.using(after=first, hold=True).enqueue(2)
    run_jobs()

    with pytest.raises(ProtectedError, match="a job waits for it that has not ended") as refused:
        Job.objects.get(pk=first.id).delete()

    assert second.id in {job.id.hex for job in refused.value.protected_objects}


@pytest.mark.django_db(transaction=True)
def test_both_can_be_awaited():
    one, _, _ = ended(), ended(), ended()

    async def delete():
        job = await Job.objects.aget(pk=one.id)
        return await job.adelete(), await Job.objects.all().adelete()

    assert async_to_sync(delete)() == ((1, {"gristmill.Job": 1}), (2, {"gristmill.Job": 2}))


def test_thousands_are_deleted_batch_by_batch(monkeypatch):
    monkeypatch.setattr(batched, "BATCH", 2)
    monkeypatch.setattr(batched, "PAGE", 4)
    for _ in range(9):
        ended()

    assert Job.objects.all().delete() == (9, {"gristmill.Job": 9})
    assert JobRow.objects.count() == 0


def test_a_slice_is_refused_as_djangos_is():
    with pytest.raises(TypeError, match="Cannot use 'limit' or 'offset' with delete"):
        Job.objects.all()[:5].delete()


def test_a_manager_has_it_only_after_all_or_filter():
    assert not hasattr(Job.objects, "delete")
    assert QuerySet.delete.queryset_only and Job.objects.all().delete.queryset_only
    assert Job.delete.alters_data and Job.objects.all().delete.alters_data


@pytest.mark.django_db(transaction=True)
def test_it_is_part_of_the_transaction_that_is_open():
    ended()
    with transaction.atomic():
        assert Job.objects.all().delete()[0] == 1
        transaction.set_rollback(True)
    assert Job.objects.count() == 1
    with transaction.atomic():
        transaction.set_rollback(True)
        with pytest.raises(TransactionManagementError):
            Job.objects.get().delete()


@pytest.mark.only_on_postgres
@pytest.mark.django_db(transaction=True)
def test_a_job_that_someone_has_locked_is_left_and_not_waited_for(elsewhere):
    job = ended()
    with transaction.atomic():
        list(ResultRow.objects.select_for_update().filter(pk=job.id))
        assert elsewhere(lambda: Job.objects.all().delete()) == (0, {"gristmill.Job": 0})
        with pytest.raises(ProtectedError, match="another transaction is moving it; ask again"):
            raise elsewhere(lambda: refusal(job))
    assert Job.objects.all().delete()[0] == 1


def refusal(job):
    """What is raised for a job."""
    try:
        Job.objects.get(pk=job.id).delete()
    except ProtectedError as error:
        return error
    raise AssertionError("it was deleted")


def test_the_database_is_sound_afterwards():
    for _ in range(3):
        ended()
    left = add.enqueue(1)

    Job.objects.all().delete()

    assert ReadyRow.objects.get().pk.hex == left.id
    assert examine("default", pause=lambda seconds: None).findings == []
