"""Cancel, hold, release, retry, pause and resume: from programs, on one job, many, or a whole filter."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connection, connections, transaction
from django.utils import timezone

from gristmill import operations
from gristmill.backend import GristmillBackend
from gristmill.exceptions import UnknownJob
from gristmill.models import (
    Action,
    CancelRequestRow,
    Job,
    ProgressRow,
    PropagationRow,
    Queue,
    ReadyRow,
    RunningRow,
    WaitingRow,
)
from gristmill.verbs import batched
from tests import rows
from tests.app.tasks import add, send

pytestmark = pytest.mark.django_db(databases=["default", "other"])


def state_of(job_id):
    return Job.objects.get(pk=job_id).state


def test_a_job_that_does_not_run_is_cancelled_at_once():
    ready, later = add.enqueue(1), add.using(run_after=timedelta(days=1)).enqueue(2)

    answer = operations.cancel([ready, later.id], actor="lea")

    assert answer.done == {"cancelled": 2}
    assert answer.outcomes == {ready.id: "cancelled", later.id: "cancelled"}
    assert (state_of(ready.id), state_of(later.id)) == ("cancelled", "cancelled")
    assert [(action.verb, action.actor) for action in Job.objects.get(pk=ready.id).actions] == [("cancel", "lea")]


def test_a_running_job_is_asked():
    running = rows.claim(add.enqueue(1).id)

    answer = operations.cancel(running.id)

    assert answer.done == {"asked": 1}
    assert CancelRequestRow.objects.get().token == running.token
    assert state_of(running.id) == "running"


def test_what_has_ended_is_refused_with_its_state():
    job = add.enqueue(1)
    rows.succeed(job.id)

    answer = operations.cancel(job)

    assert not answer
    assert answer.outcomes == {job.id: "refused: it has ended (successful)"}
    assert answer.refused == {"it has ended (successful)": 1}


def test_a_held_job_waits_until_it_is_released():
    job = Job.objects.get(pk=add.enqueue(1).id)

    assert job.hold("out of paper").done == {"held": 1}
    job.refresh_from_db()
    assert (job.state, job.reason) == ("held", "out of paper")
    assert job.release().done == {"released": 1}
    assert state_of(job.id) == "ready"


def test_a_running_job_cannot_be_held_and_one_that_is_not_held_not_released():
    running, ready = rows.claim(add.enqueue(1).id), add.enqueue(2)

    assert list(operations.hold(running.id).refused) == ["only what does not run yet can be held, and it is running"]
    assert list(operations.release(ready).refused) == ["it is not held but ready"]


def test_a_retry_begins_a_new_generation():
    job = add.enqueue(1)
    rows.fail(job.id)
    before = Job.objects.get(pk=job.id)

    assert operations.retry(job.id).done == {"retried": 1}

    after = Job.objects.get(pk=job.id)
    assert (after.state, after.generation, after.failures) == ("ready", before.generation + 1, 0)
    assert after.token >= before.token
    assert [attempt.outcome for attempt in after.attempts] == ["failed"]


def test_a_job_is_named_by_what_one_has_of_it():
    by_result, by_job, by_uuid, by_text = (add.enqueue(number) for number in range(4))

    answer = operations.cancel(
        iter([by_result, Job.objects.get(pk=by_job.id), uuid.UUID(by_uuid.id), str(uuid.UUID(by_text.id))])
    )

    assert answer.done == {"cancelled": 4}


def test_a_result_of_another_database_is_found_there():
    here, there = add.enqueue(1), add.using(backend="elsewhere").enqueue(2)

    assert operations.cancel([here, there]).done == {"cancelled": 2}
    assert Job.objects.using("other").get(pk=there.id).state == "cancelled"
    assert operations.retry(there.id, using="other").done == {"retried": 1}


def test_an_unknown_job_is_refused_and_a_word_that_is_no_id_an_error():
    unknown = uuid.uuid4()

    assert operations.cancel(unknown).outcomes == {unknown.hex: "refused: there is no such job"}
    with pytest.raises(ValueError, match="'abc' is not the id of a job"):
        operations.cancel("abc")


def test_a_job_that_is_being_moved_is_asked_again(monkeypatch):
    job = add.enqueue(1)
    asked = []
    real = batched.carry_out

    def busy(connection, verb, binds):
        asked.append(verb)
        return [] if len(asked) < 3 else real(connection, verb, binds)

    monkeypatch.setattr(batched, "carry_out", busy)
    monkeypatch.setattr(batched, "FIRST_PAUSE", 0)

    assert operations.cancel(job).done == {"cancelled": 1}
    assert len(asked) == 3


def test_a_job_that_stays_locked_is_given_up_after_a_bound(monkeypatch):
    job = add.enqueue(1)
    asked = []
    monkeypatch.setattr(batched, "carry_out", lambda *arguments: asked.append(1) or [])
    monkeypatch.setattr(batched, "FIRST_PAUSE", 0)

    assert operations.cancel(job).outcomes == {job.id: "refused: another transaction is moving it; ask again"}
    assert len(asked) == 1 + batched.ASKED_AGAIN


def test_a_packed_answer_is_unpacked():
    assert batched.unpacked([('[["a",1,"held"],["b",2,"held"]]',), ("[]",)]) == [
        ("a", 1, "held"),
        ("b", 2, "held"),
    ]
    assert batched.unpacked([("a", 1, "held")]) == [("a", 1, "held")]


def test_an_operation_is_part_of_the_callers_transaction():
    job = add.enqueue(1)

    with pytest.raises(RuntimeError), transaction.atomic():
        assert operations.cancel(job)
        raise RuntimeError

    assert state_of(job.id) == "ready"
    assert not Action.objects.exists()


class Deadlock(Exception):
    """What a driver says of it."""

    sqlstate = "40P01"


def deadlocks(monkeypatch, times):
    """Has that many statements be chosen to give way to another transaction; returns a list of all statements."""
    asked, carry_out = [], batched.carry_out

    def give_way(*arguments):
        asked.append(arguments)
        if len(asked) <= times:
            raise OperationalError("deadlock detected") from Deadlock()
        return carry_out(*arguments)

    monkeypatch.setattr(batched, "carry_out", give_way)
    monkeypatch.setattr(batched, "FIRST_PAUSE", 0)
    return asked


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_an_operation_that_loses_to_another_transaction_is_asked_again_within_a_bound(monkeypatch):
    job = add.enqueue(1)
    asked = deadlocks(monkeypatch, 2)
    assert operations.cancel(job).done == {"cancelled": 1}
    assert len(asked) == 3

    asked = deadlocks(monkeypatch, 100)
    with pytest.raises(OperationalError, match="deadlock detected"):
        operations.cancel(add.enqueue(2))
    assert len(asked) == 1 + batched.ASKED_AGAIN


def test_an_operation_within_a_transaction_of_the_callers_leaves_it_to_them(monkeypatch):
    job = add.enqueue(1)
    asked = deadlocks(monkeypatch, 1)
    with pytest.raises(OperationalError, match="deadlock detected"), transaction.atomic():
        operations.cancel(job)
    assert len(asked) == 1


def test_a_filter_is_carried_out_page_by_page(monkeypatch):
    monkeypatch.setattr(batched, "PAGE", 4)
    monkeypatch.setattr(batched, "BATCH", 3)
    add.enqueue_many((number,) for number in range(10))
    other, running = send.enqueue("a"), rows.claim(add.enqueue(1).id)

    answer = Job.objects.filter(task_name=add.module_path).cancel(actor="lea")

    assert answer.done == {"cancelled": 10, "asked": 1}
    assert state_of(other.id) == "ready"
    assert state_of(running.id) == "running"


def test_jobs_enqueued_after_a_filter_began_are_left_out(monkeypatch):
    monkeypatch.setattr(batched, "PAGE", 2)
    add.enqueue_many((number,) for number in range(4))
    real = batched.carry_out

    def and_one_more(*arguments):
        add.enqueue(99)
        return real(*arguments)

    monkeypatch.setattr(batched, "carry_out", and_one_more)

    assert Job.objects.all().cancel().done == {"cancelled": 4}


@pytest.mark.only_on_postgres
def test_a_filter_on_the_state_leaves_the_results_unread():
    jobs = Job.objects.filter(state__in=batched.STATES["cancel"], task_name=add.module_path).order_by("pk")

    with batched.reading_by_state("default"):
        plan = jobs.values_list("pk").explain()

    assert "gristmill_ready" in plan
    assert "gristmill_result" not in plan
    with connection.cursor() as cursor:
        cursor.execute("show constraint_exclusion")
        assert cursor.fetchall() == [("partition",)]


def test_a_job_whose_unique_key_another_has_is_refused_a_retry():
    task = add.using(unique=True)
    first = task.enqueue(1)
    operations.cancel(first)
    second = task.enqueue(1)

    assert second.id != first.id
    assert operations.retry([first, second]).outcomes == {
        first.id: "refused: another job has its unique key",
        second.id: "refused: it has not ended, it is ready",
    }
    operations.cancel(second)
    assert operations.retry(first).done == {"retried": 1}


def test_a_filter_retries_what_failed_and_only_if_asked_what_succeeded():
    failed, succeeded = add.enqueue(1), add.enqueue(2)
    rows.fail(failed.id)
    rows.succeed(succeeded.id)

    assert Job.objects.all().retry().outcomes == {failed.id: "retried"}
    assert state_of(succeeded.id) == "successful"
    assert Job.objects.all().retry(successful=True).outcomes == {succeeded.id: "retried"}


def test_a_filter_holds_and_releases():
    add.enqueue_many((number,) for number in range(3))

    assert Job.objects.filter(queue_name="default").hold("inventory").done == {"held": 3}
    assert set(Job.objects.held().values_list("reason", flat=True)) == {"inventory"}
    assert operations.release(Job.objects.held()).done == {"released": 3}
    assert Job.objects.ready().count() == 3


def test_a_slice_is_refused_and_the_manager_has_no_verbs():
    with pytest.raises(TypeError, match="cancel takes no slice of a query set"):
        Job.objects.all()[:3].cancel()
    assert not hasattr(Job.objects, "cancel")
    assert Job.cancel.alters_data


@pytest.mark.django_db(transaction=True)
def test_there_are_async_forms():
    first, second = add.enqueue(1), add.enqueue(2)

    async def work():
        job = await Job.objects.aget(pk=first.id)
        await job.ahold("later")
        await job.arelease()
        await job.acancel()
        await job.aretry()
        jobs = Job.objects.filter(pk=second.id)
        try:
            return [await jobs.ahold(), await jobs.arelease(), await jobs.acancel(), await jobs.aretry()]
        finally:
            await sync_to_async(connections.close_all)()

    answers = asyncio.run(work())

    assert [dict(answer.done) for answer in answers] == [{"held": 1}, {"released": 1}, {"cancelled": 1}, {"retried": 1}]
    assert [action.verb for action in Job.objects.get(pk=first.id).actions] == ["hold", "release", "cancel", "retry"]


def test_the_words_of_people_are_bounded_and_storable():
    job = add.enqueue(1)

    with pytest.raises(ValueError, match="actor has a NUL character"):
        operations.cancel(job, actor="a\0b")
    with pytest.raises(TypeError, match="reason must be text, not 7"):
        operations.hold(job, 7)
    operations.hold(job, "x" * 5_000)
    assert len(Job.objects.get(pk=job.id).reason) == batched.MOST_CHARACTERS


def test_outcomes_are_kept_for_so_many_jobs_and_then_counted(monkeypatch):
    monkeypatch.setattr(operations, "KEPT_OUTCOMES", 2)
    answer = operations.Answer()

    answer.add({"a": "held", "b": "refused: no", "c": "held"})
    answer.add({"d": "held"})

    assert (answer.done, answer.refused, answer.total) == ({"held": 3}, {"no": 1}, 3)
    assert answer.outcomes == {"a": "held", "b": "refused: no"}


def test_a_queue_is_paused_with_a_reason_and_resumed_once():
    operations.pause_queue("mail", reason="provider is down")
    operations.pause_queue("mail", reason="still down")

    queue = Queue.objects.get()
    assert (queue.backend, queue.queue_name, queue.reason) == ("default", "mail", "still down")
    assert operations.resume_queue("mail") is True
    assert operations.resume_queue("mail") is False
    with pytest.raises(ValueError, match="a pause needs a queue and a reason"):
        operations.pause_queue("mail", reason="")
    with pytest.raises(ValueError, match="backend 'not_ours' of TASKS is not Gristmill's"):
        operations.pause_queue("mail", reason="x", backend="not_ours")


def test_under_djangos_clock_a_release_goes_by_it(frozen):
    job = add.using(run_after=timedelta(days=1)).enqueue(1)
    operations.hold(job)

    assert operations.release(job).done == {"released": 1}
    assert state_of(job.id) == "scheduled"


@pytest.mark.only_on_postgres
@pytest.mark.django_db(transaction=True)
def test_an_idle_worker_is_woken_after_the_commit():
    worker = rows.worker(idle=True)
    job = add.enqueue(1)
    operations.hold(job)
    with connection.cursor() as cursor:
        cursor.execute("listen gristmill")

    with transaction.atomic():
        operations.release(job)

    assert [each.channel for each in connection.connection.notifies(timeout=5, stop_after=1)] == ["gristmill"]
    assert worker.idle


@pytest.mark.only_on_postgres
@pytest.mark.django_db(transaction=True)
def test_a_job_that_someone_has_locked_is_not_waited_for(elsewhere, monkeypatch):
    monkeypatch.setattr(batched, "FIRST_PAUSE", 0)
    job = add.enqueue(1)

    with transaction.atomic():
        ReadyRow.objects.select_for_update().get(pk=job.id)
        refused = elsewhere(lambda: operations.hold(job.id))

    assert refused.outcomes == {job.id: "refused: another transaction is moving it; ask again"}
    assert operations.hold(job.id).done == {"held": 1}


@pytest.mark.only_on_postgres
@pytest.mark.django_db(transaction=True)
def test_asking_a_running_job_to_end_keeps_nobody_from_ending_it(elsewhere):
    running = rows.claim(add.enqueue(1).id)

    with transaction.atomic():
        assert operations.cancel(running.id).done == {"asked": 1}
        deleted, _ = elsewhere(lambda: RunningRow.objects.filter(pk=running.id).delete())

    assert deleted == 1


@pytest.mark.django_db(transaction=True)
def test_by_the_databases_own_clock_it_works_as_well(monkeypatch):
    monkeypatch.setattr(GristmillBackend, "uses_django_clock", lambda self: False)
    job, later = add.enqueue(1), add.using(run_after=timedelta(days=1)).enqueue(2)

    done = [operation([job, later]).done for operation in (operations.hold, operations.release, operations.cancel)]

    assert done == [{"held": 2}, {"released": 2}, {"cancelled": 2}]
    operations.pause_queue("mail", reason="x")
    age = timezone.now() - Queue.objects.get().paused_at
    assert abs(age) < timedelta(minutes=1)


def test_what_a_handler_said_of_itself_is_read_once(django_assert_num_queries):
    job = Job.objects.get(pk=add.enqueue(1).id)
    assert job.progress is None
    job.refresh_from_db()
    ProgressRow.objects.create(
        job_id=job.id, token=1, done=3, total=4, message="three", metadata='{"page": 3}', updated_at=timezone.now()
    )

    with django_assert_num_queries(1):
        assert (job.progress.done, job.progress.total, job.progress.message) == (3, 4, "three")
        assert job.progress.metadata == {"page": 3}
        assert job.progress.fraction == 0.75


def test_progress_without_a_total_has_no_fraction():
    job = Job.objects.get(pk=add.enqueue(1).id)
    ProgressRow.objects.create(job_id=job.id, token=1, done=3, updated_at=timezone.now())

    assert (job.progress.fraction, job.progress.metadata) == (None, {})


def test_an_attempt_has_what_its_handler_printed():
    running = rows.claim(add.enqueue(1).id)
    rows.end(running, "failed", output="half way\n")
    rows.finish(running, "failed", "error")

    assert Job.objects.get(pk=running.id).attempts.get().output == "half way\n"


def test_a_job_is_given_more_to_wait_for():
    first, second = add.enqueue(1), add.enqueue(2)

    answer = operations.add_preconditions(second, first, actor="lea")

    assert answer.outcomes == {second.id: "added"}
    job = Job.objects.get(pk=second.id)
    assert (job.state, [one.id.hex for one in job.preconditions]) == ("waiting", [first.id])
    assert PropagationRow.objects.get().checks
    assert [action.actor for action in job.actions] == ["lea"]


def test_nothing_is_added_to_what_has_ended_or_of_what_is_unknown():
    done, ready = add.enqueue(1), Job.objects.get(pk=add.enqueue(2).id)
    rows.succeed(done.id)

    assert operations.add_preconditions(done, ready).refused == {
        "it waits for nothing any more, as it is successful": 1,
    }
    unknown = uuid.uuid4()
    (refusal,) = ready.add_preconditions(unknown).refused
    assert unknown.hex in refusal.replace("-", "")
    assert not ready.add_preconditions([])
    with pytest.raises(ValueError, match="must be a result, a Job"):
        ready.add_preconditions(7)
    with pytest.raises(UnknownJob, match="on database 'other'"):
        ready.add_preconditions(add.using(backend="elsewhere").enqueue(1))


@pytest.mark.parametrize("state", ["waiting", "stranded"])
def test_what_waits_for_others_can_be_held_and_cancelled(state):
    first = add.enqueue(1)
    held, cancelled = add.using(after=first).enqueue(2), add.using(after=first).enqueue(3)
    WaitingRow.objects.update(stranded=state == "stranded")

    assert operations.hold(held, reason="later").done == {"held": 1}
    assert operations.cancel(cancelled).done == {"cancelled": 1}
    assert (state_of(held.id), state_of(cancelled.id)) == ("held", "cancelled")
    assert operations.release(held)
    assert state_of(held.id) == state
