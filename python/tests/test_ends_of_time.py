"""Dates and lengths of time have ends, the same wherever one enters: nothing beyond them is ever written."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone as django_timezone

import gristmill
from gristmill import Constant, Exponential, Graph, Linear, Postpone, Unique
from gristmill.compat import InvalidTask
from gristmill.models import Job, JobRow, Schedule
from gristmill.tasks.callback_timeout import callback_timeout_error
from gristmill.testing import clock, run_jobs
from gristmill.values import bounds
from tests.app.tasks import add

pytestmark = pytest.mark.django_db

UTC = timezone.utc
LATEST = bounds.LATEST.replace(tzinfo=UTC)
EARLIEST = bounds.EARLIEST.replace(tzinfo=UTC)
CENTURY = timedelta(seconds=bounds.LONGEST)
STEP = timedelta(microseconds=1)
#: As code has them: in a zone whose way to UTC leads out of the calendar, too.
NO_DATES = [
    datetime.max.replace(tzinfo=UTC),
    datetime.min.replace(tzinfo=UTC),
    datetime.max.replace(tzinfo=timezone(-timedelta(hours=12))),
    datetime.min.replace(tzinfo=timezone(timedelta(hours=12))),
    LATEST + STEP,
    EARLIEST - STEP,
    datetime(9999, 12, 27, tzinfo=UTC),
]
NO_LENGTHS = [timedelta.max, CENTURY + STEP, bounds.LONGEST + 1, 10**400, 1e300, float("inf"), float("nan")]
NO_TIMES = ["60", b"60", Decimal(60), True, date(2031, 5, 1), ..., [60], (1, 2)]


@gristmill.task
def keep(): ...


@pytest.mark.parametrize("wrong", [*NO_DATES, *NO_LENGTHS, timedelta.min, *NO_TIMES], ids=str)
def test_a_run_after_beyond_the_ends_of_time_is_refused_in_a_sentence(wrong):
    with pytest.raises(InvalidTask, match=r"^tests\.app\.tasks\.add: run_after must be .*; got .*$"):
        add.using(run_after=wrong)


@pytest.mark.parametrize("option", ["deadline", "expires"])
@pytest.mark.parametrize("wrong", [*NO_DATES, *NO_LENGTHS, timedelta.min, *NO_TIMES], ids=str)
def test_a_moment_of_an_option_beyond_the_ends_of_time_is_refused_in_a_sentence(option, wrong):
    with pytest.raises(InvalidTask, match=rf"^tests\.app\.tasks\.add: {option} must be .*; got .*$"):
        add.using(**{option: wrong})


@pytest.mark.parametrize("option", ["timeout", "retention", "postpone_delay"])
@pytest.mark.parametrize("wrong", [*NO_LENGTHS, timedelta.min, -1, *NO_TIMES], ids=str)
def test_a_length_of_an_option_beyond_the_ends_of_time_is_refused_in_a_sentence(option, wrong):
    with pytest.raises(InvalidTask, match=rf"^tests\.app\.tasks\.add: {option} must be .*; got .*$"):
        add.using(**{option: wrong})


@pytest.mark.parametrize("wrong", [*NO_LENGTHS, timedelta.min, *NO_TIMES], ids=str)
def test_whatever_else_takes_a_length_of_time_refuses_what_is_none(wrong):
    for make in (
        lambda: Exponential(base=wrong),
        lambda: Exponential(max=wrong),
        lambda: Linear(wrong),
        lambda: Constant(wrong),
        lambda: Unique(period=wrong),
        lambda: gristmill.schedule(every=wrong)(keep),
        lambda: gristmill.schedule(every=60, window=wrong)(keep),
        lambda: gristmill.schedule(every=60, jitter=wrong)(keep),
        lambda: add.enqueue(1).wait(wrong),
        lambda: Schedule.objects.overdue(django_timezone.now(), wrong),
    ):
        with pytest.raises((ValueError, InvalidTask), match=r" must be "):
            make()
    with clock() as now, pytest.raises(ValueError, match=r"^a clock advances by seconds or a timedelta, .*; got "):
        now.advance(wrong)
    assert "must be a timedelta or a number of seconds" in str(callback_timeout_error({"CALLBACK_TIMEOUT": wrong}))


@pytest.mark.parametrize("wrong", [*NO_DATES, datetime(2031, 1, 1), "now", None, date(2031, 5, 1)], ids=str)
def test_a_clock_and_a_postpone_take_dates_alone(wrong):
    with clock() as now, pytest.raises(ValueError, match=r"^the moment of a clock must be .*; got "):
        now.move_to(wrong)
    if wrong is not None:
        with pytest.raises(ValueError, match=r"^the moment of a clock must be .*; got "), clock(wrong):
            pass
        with pytest.raises((TypeError, ValueError), match=r"^Postpone's until "):
            Postpone(until=wrong)


@pytest.mark.parametrize("moment", [EARLIEST, LATEST], ids=str)
def test_the_last_dates_there_are_are_written_and_read(moment):
    graph = Graph()
    graph.add(add.using(run_after=moment), 1)
    ids = [
        add.using(run_after=moment, deadline=moment, expires=moment).enqueue(1).id,
        *add.using(run_after=moment).enqueue_many([(1,)]).ids,
        *graph.enqueue().ids,
    ]

    jobs = Job.objects.filter(pk__in=ids)
    # SQLite's milliseconds are half the truth.
    assert {abs(job.run_after - moment) < timedelta(milliseconds=2) for job in jobs} == {True}
    assert all(job.deadline for job in jobs)
    assert len([str(job) for job in Job.objects.all()]) == 3


def test_a_length_of_a_century_is_written_and_read():
    for length in (CENTURY, bounds.LONGEST, int(bounds.LONGEST)):
        result = add.using(run_after=length, expires=length, retention=length, timeout=length).enqueue(1)
        assert result.task.run_after - result.enqueued_at == CENTURY
        assert Job.objects.get(pk=result.id).state == "scheduled"


def test_seconds_will_do_wherever_a_length_of_time_is_taken():
    with clock(datetime(2031, 5, 1, 12, tzinfo=UTC)) as now:
        result = add.using(run_after=60).enqueue(1)
        assert result.task.run_after == now.now + timedelta(minutes=1)
        assert not run_jobs()
        assert now.advance(59.5) == datetime(2031, 5, 1, 12, 0, 59, 500_000, tzinfo=UTC)
        assert not run_jobs()
        now.advance(timedelta(seconds=0.5))
        assert run_jobs().successful == 1
    assert add.using(run_after=-5).run_after == timedelta(seconds=-5)


def test_a_clock_near_the_end_of_time_lets_nothing_through():
    with clock(LATEST) as now:
        add.enqueue(1)
        for enqueue in (
            lambda task: task.enqueue(1),
            lambda task: task.enqueue_many([(1,)]),
            lambda task: task.with_args(1).enqueue(),
            lambda task: gristmill.chain(task.with_args(1), add.with_args(1)).enqueue(),
        ):
            for task in (add.using(run_after=60), add.using(deadline=60), add.using(unique=Unique(period=60))):
                if task.options.unique is not gristmill.tasks.options.NOT_GIVEN and enqueue is not None:
                    continue
                with pytest.raises(ValueError, match="is no date between 0001-01-08 and 9999-12-24, in UTC"):
                    enqueue(task)
        with pytest.raises(ValueError, match="is no date between"):
            now.advance(STEP)
    assert JobRow.objects.count() == 1


@pytest.mark.parametrize("column", ["run_after", "enqueued_at", "deadline"])
@pytest.mark.parametrize("text", ["9999-12-24 00:00:01", "0001-01-07 23:59:59", "10000-01-01 00:00:00", "infinity"])
def test_the_tables_take_no_date_beyond_the_ends_of_time(column, text):
    moments = {"run_after": "2031-05-01 12:00:00", "enqueued_at": "2031-05-01 12:00:00", "deadline": None, column: text}
    zone = {name: value and f"{value}+00" for name, value in moments.items()}
    moments = moments if connection.vendor == "sqlite" or text == "infinity" else zone

    def insert(job_id):
        with connection.cursor() as cursor:
            cursor.execute(
                "insert into gristmill_job (id, backend, queue_name, task_name, priority, args, kwargs, run_after, "
                "enqueued_at, deadline) values (%s, 'default', 'default', 'a.b', 0, '[]', '{}', %s, %s, %s)",
                [job_id, moments["run_after"], moments["enqueued_at"], moments["deadline"]],
            )

    with pytest.raises(IntegrityError), transaction.atomic():
        insert(uuid4().hex)
    moments[column] = "9999-12-24 00:00:00"
    insert(uuid4().hex)
    assert len(list(JobRow.objects.all())) == 1
