"""Unique jobs: which calls count as the same, for how long, and what a second one does."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest
from django.db import connection, transaction
from django.utils import timezone as django_timezone

import gristmill
from gristmill import Unique, call, operations
from gristmill.compat import TaskResultStatus, task_enqueued
from gristmill.database.statements import carry_out
from gristmill.exceptions import UniqueContention
from gristmill.models import Job, JobRow, ReadyRow, ScheduledRow, UniqueKeyRow, WaitingRow
from gristmill.tasks.uniqueness import KeyMaker
from gristmill.testing import run_jobs
from tests import rows
from tests.app.tasks import add, send

pytestmark = pytest.mark.django_db

LATER = timedelta(hours=5)
SOONER = timedelta(hours=1)


@gristmill.task(unique=True)
def resize(photo_id, size="small", *, owner=None):
    return photo_id


def photo_only(photo_id, size="small", *, owner=None):
    return {"photo": photo_id}


def longest(old_args, old_kwargs, new_args, new_kwargs):
    return call(max(old_args[0], new_args[0]), size="merged")


@gristmill.task(unique=Unique(by=photo_only), name="tests.by function")
def by_function(photo_id, size="small", *, owner=None):
    return photo_id


@gristmill.task(unique=Unique(on_conflict="merge", merge=longest, by=lambda *a, **k: 1), name="tests.merging")
def merging(photo_id, size="small"):
    return photo_id


@gristmill.task(takes_context=True, unique=True, name="tests.contextual")
def contextual(context, photo_id):
    return photo_id


@gristmill.task(unique=Unique(by=["photo_id", "kind"]), name="tests.open")
def takes_anything(photo_id, **more):
    return photo_id


def state(result):
    return Job.objects.get(pk=result.id).state


# -- what counts as the same ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "first", "second"),
    [
        (resize, call(7), call(photo_id=7)),
        (resize, call(7), call(7, "small", owner=None)),
        (resize, call({"a": 1, "b": [2]}), call({"b": (2,), "a": 1})),
        (resize.using(unique=Unique(by="photo_id")), call(7, "large"), call(size="small", photo_id=7)),
        (by_function, call(7, "large"), call(7, owner=3)),
        (contextual, call(7), call(photo_id=7)),
        (takes_anything, call(7, kind="a", more=1), call(photo_id=7, kind="a")),
        (gristmill.remote("elsewhere.resize", unique=True), call(7, size=1), call(7, size=1)),
    ],
)
def test_the_same_call_is_one_job(task, first, second):
    made = task.enqueue(*first.args, **first.kwargs)
    met = task.enqueue(*second.args, **second.kwargs)

    assert (made.existing, met.existing) == (False, True)
    assert met.id == made.id
    assert JobRow.objects.count() == ReadyRow.objects.count() == UniqueKeyRow.objects.count() == 1


@pytest.mark.parametrize(
    ("task", "first", "second"),
    [
        (resize, call(7), call(8)),
        (resize, call(7), call("7")),
        (resize, call(7), call(7, owner=1)),
        (resize.using(unique=Unique(by=["photo_id", "size"])), call(7, "a"), call(7, "b")),
        (gristmill.remote("elsewhere.resize", unique=True), call(7), call(7, size=1)),
        (add.using(unique=False), call(7), call(7)),
    ],
)
def test_another_call_is_another_job(task, first, second):
    results = [task.enqueue(*each.args, **each.kwargs) for each in (first, second)]

    assert [result.existing for result in results] == [False, False]
    assert JobRow.objects.count() == 2


def test_two_tasks_never_share_a_key():
    add.using(unique=True).enqueue(7)

    assert not send.using(unique=True).enqueue(7).existing


def test_a_key_is_a_hash_of_the_canonical_text():
    key = KeyMaker(resize, Unique()).key((7,), {"owner": {"b": 1, "a": "ü"}})

    # printf '["tests.test_unique.resize",{"owner":{"a":"ü","b":1},"photo_id":7,"size":"small"}]' | sha256sum
    assert key == "ce09c064b3cfe926b8417741a1fa429ecb18b60c591dc9a2a6bdf68492c7ffa8"
    remote = KeyMaker(gristmill.remote("shop.resize"), Unique())
    assert remote.key((7,), {}) != remote.key((7,), {"size": 1})


def test_arguments_that_do_not_fit_are_refused_before_anything_is_written():
    with pytest.raises(
        TypeError, match=r"^tests\.test_unique\.resize\(photo_id, .*\): missing a required argument: 'photo_id'"
    ):
        resize.enqueue(size="large")
    with pytest.raises(TypeError, match=r"tests\.open: unique needs the argument 'kind', which this call does not"):
        takes_anything.enqueue(7)

    assert not JobRow.objects.exists()
    assert not UniqueKeyRow.objects.exists()


@gristmill.task(
    takes_context=True, name="tests.at the second", max_attempts=3, backoff=gristmill.Constant(600), unique=True
)
def at_the_second(context):
    if context.attempt == 1:
        raise OSError("not now")


@pytest.mark.parametrize("bulk", [False, True])
@pytest.mark.parametrize(
    ("until", "existing", "states"),
    [
        ("started", False, ["scheduled", "ready"]),
        ("each_start", True, ["ready"]),
        ("finished", True, ["scheduled"]),
    ],
)
def test_a_job_that_waits_for_its_retry_is_met_and_sent_as_its_until_says(until, existing, states, bulk):
    task = at_the_second.using(unique=Unique(until=until))
    first = task.enqueue()
    run_jobs(raise_errors=False)

    second = task.enqueue_many([()])[0] if bulk else task.enqueue()

    assert (second.existing, second.id == first.id) == (existing, existing)
    assert [state(result) for result in ([first] if existing else [first, second])] == states


@pytest.mark.parametrize(("run_after", "then"), [(timedelta(seconds=60), "sooner"), (timedelta(hours=1), "as it was")])
def test_a_job_that_waits_for_its_retry_comes_no_later_than_it_would_have(run_after, then):
    task = at_the_second.using(unique=Unique(until="each_start", on_conflict="replace"))
    task.enqueue()
    run_jobs(raise_errors=False)
    (before,) = ScheduledRow.objects.all()

    assert task.using(run_after=run_after).enqueue().existing

    (after,) = ScheduledRow.objects.all()
    assert (after.started_at, after.counts) == (before.started_at, '{"failures":1}')
    assert (after.run_after < before.run_after) == (then == "sooner")


# -- what is stored ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clock", ["django", "database"])
@pytest.mark.parametrize("bulk", [False, True])
def test_key_and_period_are_stored_with_the_job(bulk, clock, monkeypatch):
    monkeypatch.setattr(type(resize.get_backend()), "uses_django_clock", lambda self: clock == "django")
    task = resize.using(unique=Unique(until="pruned", period=timedelta(minutes=5)), run_after=SOONER)

    result = task.enqueue_many([(7,)])[0] if bulk else task.enqueue(7)

    job, key = JobRow.objects.get(), UniqueKeyRow.objects.get()
    assert (job.id.hex, job.unique_key, job.unique_until) == (result.id, key.key, "pruned")
    assert (key.job_id, key.until) == (job.id, "pruned")
    assert abs(key.expires_at - job.enqueued_at - timedelta(minutes=5)) < timedelta(seconds=30)
    assert abs(job.run_after - job.enqueued_at - SOONER) < timedelta(seconds=30)
    assert state(result) == "scheduled"


@pytest.mark.parametrize("bulk", [False, True])
@pytest.mark.parametrize("until", ["started", "finished"])
def test_a_key_that_is_taken_again_runs_out_when_it_would_have(until, bulk):
    task = resize.using(unique=Unique(until=until, period=timedelta(minutes=5)))
    result = task.enqueue_many([(7,)])[0] if bulk else task.enqueue(7)
    enqueued_at = JobRow.objects.get().enqueued_at
    if until == "started":
        running = rows.claim(result.id)
        UniqueKeyRow.objects.all().delete()
        carry_out(connection, "hand_back", [json.dumps([{"id": running.id.hex, "token": running.token}])])
    else:
        rows.fail(result.id)
        UniqueKeyRow.objects.all().delete()
        assert operations.retry(result).done == {"retried": 1}

    key = UniqueKeyRow.objects.get()
    assert key.job_id.hex == result.id
    assert abs(key.expires_at - enqueued_at - timedelta(minutes=5)) < timedelta(milliseconds=5)


def test_a_retry_after_its_period_needs_no_key():
    task = resize.using(unique=Unique(until="finished", period=60))
    first = task.enqueue(7)
    rows.fail(first.id)
    UniqueKeyRow.objects.all().delete()
    JobRow.objects.update(enqueued_at=django_timezone.now() - timedelta(minutes=2))
    second = task.enqueue(7)

    assert operations.retry(first).done == {"retried": 1}
    assert UniqueKeyRow.objects.get().job_id.hex == second.id


def test_a_period_that_is_over_gives_the_key_away():
    task = resize.using(unique=Unique(until="pruned", period=60))
    first = task.enqueue(7)
    UniqueKeyRow.objects.update(expires_at=django_timezone.now() - timedelta(seconds=1))

    second = task.enqueue(7)

    assert not second.existing
    assert UniqueKeyRow.objects.get().job_id.hex == second.id != first.id


# -- what a second enqueue does ---------------------------------------------------------------------------------


def test_keep_leaves_the_job_as_it_was():
    first = resize.using(run_after=SOONER, priority=3).enqueue(7)
    before = (JobRow.objects.values().get(), ScheduledRow.objects.values().get())

    second = resize.using(run_after=LATER, priority=9).enqueue(7)

    assert second == resize.get_result(first.id)
    assert (JobRow.objects.values().get(), ScheduledRow.objects.values().get()) == before


@pytest.mark.parametrize(
    ("run_after", "place"),
    [
        (None, ReadyRow),
        (timedelta(seconds=-5), ReadyRow),
        (SOONER, ScheduledRow),
        (datetime(2001, 1, 1, tzinfo=timezone.utc), ReadyRow),
    ],
)
def test_an_earlier_date_moves_a_kept_job_earlier(run_after, place):
    first = resize.using(run_after=LATER).enqueue(7)
    before = ScheduledRow.objects.get()

    second = resize.using(run_after=run_after).enqueue(7)

    moved = place.objects.get()
    assert second.id == first.id == moved.id.hex
    assert ScheduledRow.objects.count() + ReadyRow.objects.count() == 1
    assert moved.deadline < before.deadline
    assert moved.run_after is None or moved.run_after < before.run_after
    assert (moved.token, moved.generation, moved.priority) == (before.token, before.generation, before.priority)


def test_a_job_moved_earlier_keeps_the_deadline_that_was_asked_for():
    date = datetime(2040, 1, 1, tzinfo=timezone.utc)
    resize.using(run_after=LATER, deadline=date).enqueue(7)

    resize.enqueue(7)

    assert ReadyRow.objects.get().deadline == date


def test_a_job_that_waits_for_its_next_attempt_is_not_moved():
    task = resize.using(unique=Unique(until="finished"))
    running = rows.claim(task.enqueue(7).id)
    rows.end(running, "failed", reason="error")
    again = rows.ready_again(running)
    values = {field.attname: getattr(again, field.attname) for field in ReadyRow._meta.fields}
    again.delete()
    ScheduledRow.objects.create(**{**values, "run_after": django_timezone.now() + LATER})

    met = task.enqueue(7)

    assert met.existing
    assert ScheduledRow.objects.count() == 1


REPLACE = Unique(by="photo_id", on_conflict="replace")


@pytest.mark.parametrize("first_after", [None, SOONER])
@pytest.mark.parametrize("second_after", [None, LATER])
def test_replace_keeps_the_id_and_swaps_the_rest(first_after, second_after):
    task = resize.using(unique=REPLACE)
    first = task.using(run_after=first_after).enqueue(7, "old")

    changed = task.using(run_after=second_after, priority=9, timeout=5, deadline=60)
    second = changed.enqueue(7, "new", owner=1)

    job = Job.objects.get()
    assert (second.id, second.existing) == (first.id, True) == (job.id.hex, True)
    assert (job.args, job.kwargs, job.options, job.priority) == ([7, "new"], {"owner": 1}, {"timeout": 5.0}, 9)
    assert job.state == ("scheduled" if second_after else "ready")
    assert abs(job.deadline - job.enqueued_at - timedelta(minutes=1)) < timedelta(seconds=30)
    assert job.enqueued_at >= first.enqueued_at
    assert (second.args, second.kwargs) == ([7, "new"], {"owner": 1})
    assert (job.run_after is None) == (job.due_at is None) == (second_after is None)
    assert UniqueKeyRow.objects.get().job_id.hex == first.id


def test_a_replaced_job_that_is_held_stays_held():
    task = resize.using(unique=REPLACE)
    first = task.enqueue(7)
    ready = ReadyRow.objects.get()
    WaitingRow.objects.create(
        **{field.attname: getattr(ready, field.attname) for field in ReadyRow._meta.fields}, held=True, held_reason="no"
    )
    ready.delete()

    task.using(priority=4).enqueue(7, "new")

    assert state(first) == "held"
    assert (WaitingRow.objects.get().priority, WaitingRow.objects.get().held_reason) == (4, "no")


def test_a_job_that_has_started_is_not_replaced():
    task = resize.using(unique=Unique(by="photo_id", until="finished", on_conflict="replace"))
    rows.claim(task.enqueue(7, "old").id)

    met = task.enqueue(7, "new")

    assert (met.existing, met.status, met.args) == (True, TaskResultStatus.RUNNING, [7, "old"])


def test_merge_asks_the_tasks_own_function():
    first = merging.enqueue(3)

    second = merging.enqueue(9, "new")

    assert (second.id, second.args, second.kwargs) == (first.id, [9], {"size": "merged"})
    assert Job.objects.get().args == [9]


def test_a_merge_must_return_a_call(monkeypatch):
    merging.enqueue(3)
    monkeypatch.setattr("tests.test_unique.call", lambda *args, **kwargs: args)

    with pytest.raises(TypeError, match=r"^tests\.merging: merge must return gristmill\.call\(…\), not tuple"):
        merging.enqueue(4)


@pytest.mark.parametrize(("until", "state"), [("finished", "running"), ("pruned", "running"), ("pruned", "successful")])
def test_a_key_is_kept_in_the_states_it_was_asked_for(until, state):
    task = resize.using(unique=Unique(until=until))
    first = task.enqueue(7)
    running = rows.claim(first.id)
    if state == "successful":
        rows.end(running, "successful", return_value="1")
        rows.finish(running, "successful")

    met = task.enqueue(7)

    assert (met.id, met.existing, Job.objects.get().state) == (first.id, True, state)


def test_a_holder_that_is_never_found_where_it_should_be_is_an_error_and_no_loop(django_assert_max_num_queries):
    first = resize.enqueue(7)
    key = UniqueKeyRow.objects.get()
    # As if it moved each time that it is looked for.
    rows.claim(first.id)
    UniqueKeyRow.objects.all().delete()
    UniqueKeyRow.objects.bulk_create([key])

    with (
        django_assert_max_num_queries(40),
        pytest.raises(UniqueContention, match=r"^tests\.test_unique\.resize: in 5 "),
    ):
        resize.enqueue(7)


def test_a_first_unique_job_costs_few_queries(django_assert_num_queries):
    # With a savepoint and its release.
    with django_assert_num_queries(3):
        resize.enqueue(7)


@pytest.mark.django_db(transaction=True)
def test_outside_a_transaction_key_and_job_are_one_commit(monkeypatch):
    monkeypatch.setattr(task_enqueued, "send", lambda *args, **kwargs: None)
    monkeypatch.setattr("gristmill.backend.wake_after_commit", lambda connection: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        resize.enqueue(7)

    assert not UniqueKeyRow.objects.exists()
    assert not JobRow.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_rolled_back_enqueue_gives_its_key_back():
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        resize.enqueue(7)
        1 / 0  # noqa: B018

    assert not resize.enqueue(7).existing


def test_the_signal_is_sent_for_a_new_job_only():
    received = []

    def receive(sender, task_result, **kwargs):
        received.append(task_result.id)

    task_enqueued.connect(receive)
    try:
        first = resize.enqueue(7)
        resize.enqueue(7)
        enqueued = resize.enqueue_many([(7,), (8,), (8,)])
    finally:
        task_enqueued.disconnect(receive)

    assert received == [first.id, enqueued[1].id]


@pytest.mark.django_db(databases=["default", "other"])
def test_a_key_counts_within_its_database():
    here = resize.enqueue(7)
    there = resize.using(backend="elsewhere").enqueue(7)
    again = resize.using(backend="elsewhere").enqueue_many([(7,)])[0]
    same = resize.using(backend="any_queue").enqueue(7)

    assert (here.existing, there.existing, again.existing, same.existing) == (False, False, True, True)
    assert (again.id, same.id) == (there.id, here.id)
    assert UniqueKeyRow.objects.using("other").get().job_id.hex == there.id
    assert (again.backend, same.backend) == ("elsewhere", "default")


# -- bulk -------------------------------------------------------------------------------------------------------


def test_a_bulk_enqueue_honours_keys_row_by_row():
    before = resize.enqueue(1)

    enqueued = resize.enqueue_many([(3,), (1,), (2,), call(photo_id=3), (1, "small")])

    assert [result.existing for result in enqueued] == [False, True, False, True, True]
    assert enqueued.ids == [result.id for result in enqueued]
    assert enqueued.ids[1] == enqueued.ids[4] == before.id
    assert enqueued.ids[3] == enqueued.ids[0]
    assert enqueued[3].args == [3]
    assert [result.existing for result in enqueued[3:]] == [True, True]
    assert enqueued[-1].id == before.id
    assert JobRow.objects.count() == UniqueKeyRow.objects.count() == 3


def test_thousands_of_unique_jobs_are_inserted(django_assert_max_num_queries):
    # On PostgreSQL a statement for each thousand.
    with django_assert_max_num_queries(8 if connection.vendor == "postgresql" else 2_600):
        enqueued = resize.enqueue_many((number,) for number in range(2_500))

    assert not any(result.existing for result in enqueued)
    assert ReadyRow.objects.count() == UniqueKeyRow.objects.count() == 2_500
    assert {row.unique_key for row in JobRow.objects.all()} == set(UniqueKeyRow.objects.values_list("key", flat=True))


def test_a_bulk_enqueue_replaces_too():
    task = resize.using(unique=REPLACE)
    first = task.enqueue(7, "old")

    enqueued = task.enqueue_many([(7, "new"), (8, "new")])

    assert (enqueued[0].id, enqueued[0].args) == (first.id, [7, "new"])
    assert Job.objects.get(pk=first.id).args == [7, "new"]
