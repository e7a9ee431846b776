"""Enqueueing: one query, in the caller's own transaction, or an error that says what to do."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, connections, transaction
from django.test import TestCase
from django.test.utils import CaptureQueriesContext, override_settings
from django.utils import timezone as django_timezone

from gristmill import backend as backend_module
from gristmill.compat import InvalidTask, TaskResultStatus, task_backends, task_enqueued
from gristmill.database import statements, wake
from gristmill.exceptions import OutsideTransaction, TablesMissing
from gristmill.models import Job, JobRow, ReadyRow, ScheduledRow, Worker
from tests import rows
from tests.app.models import Order
from tests.app.tasks import add, send, with_context


@pytest.mark.django_db
@pytest.mark.parametrize(
    "task",
    [
        add,
        with_context,
        add.using(run_after=timedelta(minutes=5)),
        add.using(run_after=django_timezone.now() + timedelta(days=1)),
        add.using(run_after=django_timezone.now() - timedelta(days=1)),
    ],
    ids=["plain", "takes context", "delayed", "dated", "dated in the past"],
)
def test_an_enqueue_is_one_query(task, django_assert_num_queries):
    with django_assert_num_queries(1):
        task.enqueue(1)


@pytest.mark.django_db(transaction=True)
def test_an_enqueue_in_autocommit_is_one_query_too(django_assert_num_queries):
    with django_assert_num_queries(1):
        add.enqueue(1)


@pytest.mark.django_db
def test_what_was_asked_is_stored_as_it_was_asked():
    result = send.using(priority=-7).enqueue("ä@example.org", subject={"of": [1, None]})

    job = Job.objects.get(pk=result.id)
    assert (job.backend, job.queue_name, job.task_name, job.priority) == ("default", "mail", "tests.app.tasks.send", -7)
    assert (job.args, job.kwargs, job.options) == (["ä@example.org"], {"subject": {"of": [1, None]}}, None)
    assert (job.state, job.status) == ("ready", TaskResultStatus.READY)
    assert (job.token, job.generation, job.failures, job.crashes, job.losses) == (0, 1, 0, 0, 0)
    assert JobRow.objects.get().args == '["ä@example.org"]'


@pytest.mark.django_db
def test_a_task_that_takes_context_says_so_on_the_job():
    result = with_context.enqueue()

    assert Job.objects.get(pk=result.id).options == {"takes_context": True}


@pytest.mark.django_db
def test_the_default_deadline_is_a_week_after_the_job_is_due():
    date = django_timezone.now() + timedelta(days=3)

    now = Job.objects.get(pk=add.enqueue(1).id)
    dated = Job.objects.get(pk=add.using(run_after=date).enqueue(1).id)

    assert abs(now.deadline - now.enqueued_at - timedelta(days=7)) < timedelta(milliseconds=2)
    assert abs(dated.deadline - date - timedelta(days=7)) < timedelta(milliseconds=2)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("run_after", "place"),
    [
        (timedelta(hours=1), ScheduledRow),
        (timedelta(0), ReadyRow),
        (timedelta(hours=-1), ReadyRow),
        (datetime(2999, 1, 1, tzinfo=timezone.utc), ScheduledRow),
        (datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=5))), ReadyRow),
    ],
)
def test_a_job_is_placed_by_its_date(run_after, place):
    result = add.using(run_after=run_after).enqueue(1)

    assert [row.id.hex for row in place.objects.all()] == [result.id]
    assert ScheduledRow.objects.count() + ReadyRow.objects.count() == 1


@pytest.mark.django_db
def test_a_delay_counts_from_the_enqueue():
    task = add.using(run_after=timedelta(hours=2))

    result = task.enqueue(1)

    assert abs(result.task.run_after - result.enqueued_at - timedelta(hours=2)) < timedelta(seconds=5)
    assert Job.objects.get(pk=result.id).run_after == result.task.run_after
    assert task.run_after == timedelta(hours=2)


@pytest.mark.django_db
@pytest.mark.parametrize("delay", [None, timedelta(minutes=10)])
def test_frozen_time_is_the_time_of_the_enqueue(frozen, delay):
    result = add.using(run_after=delay).enqueue(1)

    job = Job.objects.get(pk=result.id)
    assert result.enqueued_at == job.enqueued_at == frozen
    assert job.run_after == (frozen + delay if delay else None)
    assert job.state == ("scheduled" if delay else "ready")


@pytest.mark.django_db
def test_outside_a_test_environment_the_databases_clock_counts(frozen, monkeypatch):
    monkeypatch.setattr(backend_module.GristmillBackend, "uses_django_clock", lambda self: False)

    result = add.enqueue(1)
    later = add.using(run_after=timedelta(hours=1)).enqueue(1)

    assert abs(result.enqueued_at - datetime.now(timezone.utc)) < timedelta(minutes=5)
    assert timedelta(minutes=59) < later.task.run_after - result.enqueued_at < timedelta(minutes=61)
    assert Job.objects.get(pk=result.id).enqueued_at == result.enqueued_at
    assert Job.objects.get(pk=later.id).run_after == later.task.run_after


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("clock", ["django", "database"])
def test_without_time_zones_moments_are_local(settings, clock, monkeypatch):
    settings.USE_TZ = False
    monkeypatch.setattr(backend_module.GristmillBackend, "uses_django_clock", lambda self: clock == "django")
    date = datetime(2998, 7, 1, 12, 0)

    result = add.using(run_after=date).enqueue(1)
    delayed = add.using(run_after=timedelta(hours=1)).enqueue(1)

    job = Job.objects.get(pk=result.id)
    assert job.run_after == date
    assert job.enqueued_at == result.enqueued_at
    assert abs(django_timezone.now() - job.enqueued_at) < timedelta(minutes=1)
    assert task_backends["default"].get_result(result.id) == result
    assert task_backends["default"].get_result(delayed.id) == delayed
    if connection.vendor == "sqlite":
        # Noon in Zurich in summer.
        assert JobRow.objects.filter(pk=result.id).extra(where=["run_after = '2998-07-01 10:00:00.000000'"]).exists()


@pytest.mark.django_db
def test_a_naive_date_is_refused():
    with pytest.raises(InvalidTask, match=r"^run_after must be an aware datetime\.$"):
        add.using(run_after=datetime(2026, 1, 1))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        ([{1, 2}], TypeError, r"^args\[0\]: set is not JSON"),
        ([float("nan")], ValueError, r"^args\[0\]: nan is not JSON"),
        (["\0"], ValueError, r"^args\[0\]: text with a NUL"),
    ],
)
def test_arguments_that_are_not_json_are_refused_before_anything_is_written(args, error, message):
    with pytest.raises(error, match=message):
        add.enqueue(*args)
    with pytest.raises(error, match=message.replace(r"args\[0\]", r"kwargs\.right")):
        add.enqueue(1, right=args[0])

    assert not JobRow.objects.exists()


@pytest.mark.django_db
def test_the_signal_is_sent_once_with_the_backends_class():
    received = []

    def receive(sender, task_result, **kwargs):
        received.append((sender, task_result))

    task_enqueued.connect(receive)
    try:
        result = add.enqueue(1)
    finally:
        task_enqueued.disconnect(receive)

    assert received == [(backend_module.GristmillBackend, result)]


@pytest.mark.django_db
def test_the_alias_is_stored_on_the_job():
    result = add.using(backend="any_queue", queue_name="whatever").enqueue(1)

    assert Job.objects.get(pk=result.id).backend == "any_queue"
    assert task_backends["any_queue"].get_result(result.id) == result


# -- transactions -----------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_job_is_seen_by_others_only_after_the_commit(elsewhere):
    with transaction.atomic():
        result = add.enqueue(1)
        if connection.vendor == "postgresql":
            # On SQLite nobody could look in: the database is locked until the commit.
            assert elsewhere(lambda: Job.objects.count()) == 0

    assert elsewhere(lambda: Job.objects.get().id.hex) == result.id


@pytest.mark.django_db(transaction=True)
def test_a_rollback_leaves_no_job(elsewhere):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        add.enqueue(1)
        add.using(run_after=timedelta(days=1)).enqueue(1)
        Order.objects.create(name="first")
        1 / 0  # noqa: B018

    assert elsewhere(lambda: (JobRow.objects.count(), Job.objects.count(), Order.objects.count())) == (0, 0, 0)


@pytest.mark.django_db(transaction=True)
def test_a_rolled_back_savepoint_takes_only_its_own_jobs(elsewhere):
    with transaction.atomic():
        kept = add.enqueue(1)
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            add.enqueue(2)
            1 / 0  # noqa: B018
        after = add.enqueue(3)

    assert elsewhere(lambda: sorted(job.id.hex for job in Job.objects.all())) == [kept.id, after.id]


class InATestCase(TestCase):
    """Django's TestCase, whose transaction never commits."""

    @classmethod
    def setUpTestData(cls):
        cls.early = add.enqueue(1)

    def test_jobs_can_be_enqueued_and_read(self):
        result = add.enqueue(2)

        assert add.get_result(result.id) == result
        assert add.get_result(self.early.id).status == TaskResultStatus.READY
        assert Job.objects.ready().count() == 2

    def test_jobs_of_other_tests_are_gone(self):
        assert Job.objects.count() == 1

    def test_the_tests_own_commit_hooks_stay_alone(self):
        with self.captureOnCommitCallbacks() as callbacks:
            add.enqueue(1)

        assert callbacks == []

    async def test_jobs_can_be_enqueued_from_a_coroutine(self):
        result = await add.aenqueue(2)

        assert await add.aget_result(result.id) == result


class InATestCaseOfTwoDatabases(TestCase):
    """A TestCase that wraps both databases in a transaction."""

    databases = {"default", "other"}

    def test_either_queue_can_be_used(self):
        here, there = add.enqueue(1), add.using(backend="elsewhere").enqueue(2)

        assert Job.objects.using("default").get().id.hex == here.id
        assert Job.objects.using("other").get().id.hex == there.id
        assert task_backends["elsewhere"].get_result(there.id) == there


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_a_transaction_on_another_database_only_is_an_error():
    message = r"a transaction is open on database 'default', but the queue's tables are on 'other'"

    with transaction.atomic(), pytest.raises(OutsideTransaction, match=message):
        add.using(backend="elsewhere").enqueue(1)

    with transaction.atomic(), transaction.atomic(using="other"):
        add.using(backend="elsewhere").enqueue(2)
    add.using(backend="elsewhere").enqueue(3)
    assert Job.objects.using("other").count() == 2


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_that_error_can_be_switched_off(settings):
    options = {"DATABASE": "other", "OUTSIDE_TRANSACTION": "allow"}
    settings.TASKS = {**settings.TASKS, "elsewhere": {**settings.TASKS["elsewhere"], "OPTIONS": options}}

    with transaction.atomic():
        result = add.using(backend="elsewhere").enqueue(1)

    assert Job.objects.using("other").get().id.hex == result.id


class Router:
    """Sends the queue to the database "other"."""

    def db_for_write(self, model, **hints):
        return "other" if model._meta.app_label == "gristmill" else None

    db_for_read = db_for_write


@pytest.mark.django_db(databases=["default", "other"])
@override_settings(DATABASE_ROUTERS=["tests.test_enqueue.Router"])
def test_a_router_may_choose_the_database():
    result = add.enqueue(1)

    assert JobRow.objects.using("other").get().id.hex == result.id
    assert task_backends["default"].get_result(result.id) == result


@pytest.mark.django_db(transaction=True)
def test_missing_tables_are_named_with_the_command_that_makes_them(monkeypatch):
    asked = statements._asked

    def elsewhere(*verb):
        ((statement, text, numbers),) = asked(*verb)
        return [(statement, text.replace("gristmill_enqueue", "gristmill_no"), numbers)]

    monkeypatch.setattr(statements, "_asked", elsewhere)

    with pytest.raises(TablesMissing, match=r"tables are missing on database 'default'; run manage\.py migrate$"):
        add.enqueue(1)


# -- waking -----------------------------------------------------------------------------------------------------


@pytest.fixture
def woken(monkeypatch):
    """Notes what was said to workers."""
    calls = []
    monkeypatch.setattr(wake, "_notify", lambda connection, statement: calls.append(statement))
    return calls


@pytest.mark.only_on_postgres
@pytest.mark.django_db(transaction=True)
def test_a_transaction_wakes_once_and_after_its_commit(woken):
    with transaction.atomic():
        for number in range(50):
            add.enqueue(number)
        with transaction.atomic():
            add.enqueue(50)
        assert woken == []

    assert len(woken) == 1


@pytest.mark.only_on_postgres
@pytest.mark.django_db(transaction=True)
def test_in_autocommit_only_an_idle_worker_is_woken(woken):
    add.enqueue(1)
    assert woken == []

    worker = rows.worker(idle=True)
    add.enqueue(2)
    assert woken == ["notify gristmill"]

    Worker.objects.filter(pk=worker.pk).update(heartbeat_at=django_timezone.now() - timedelta(seconds=61))
    add.enqueue(3)
    assert len(woken) == 1


@pytest.mark.only_on_postgres
@pytest.mark.django_db(transaction=True)
def test_a_rolled_back_savepoint_does_not_take_the_wake_up_of_the_rest(woken):
    with transaction.atomic():
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            add.enqueue(1)
            1 / 0  # noqa: B018
        add.enqueue(2)

    assert len(woken) == 1


@pytest.mark.only_on_postgres
@pytest.mark.django_db(transaction=True)
def test_a_rollback_wakes_nobody(woken):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        add.enqueue(1)
        1 / 0  # noqa: B018

    assert woken == []


@pytest.mark.only_on_postgres
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("idle", "count"), [(True, 1), (False, 0)])
def test_only_an_idle_worker_is_notified(idle, count):
    from tests import rows

    rows.worker(idle=idle)
    listener = connections["default"].copy()
    with listener.cursor() as cursor:
        cursor.execute("listen gristmill")
    try:
        add.enqueue(1)
        assert len(list(listener.connection.notifies(timeout=0.2, stop_after=1))) == count
    finally:
        listener.close()


@pytest.mark.only_on_postgres
@pytest.mark.django_db(transaction=True)
def test_no_notification_is_part_of_the_callers_transaction():
    from tests import rows

    rows.worker(idle=True)

    with CaptureQueriesContext(connection) as queries, transaction.atomic():
        add.enqueue(1)

    assert not any("notify" in query["sql"] for query in queries)


@pytest.mark.django_db(transaction=True)
def test_aenqueue_and_aget_result_do_the_same():
    async def journey():
        result = await add.aenqueue(1, right=2)
        return result, await add.aget_result(result.id)

    result, found = async_to_sync(journey)()

    assert found == result
    assert found.args == [1]
