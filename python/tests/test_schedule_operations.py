"""What people do to schedules: define and remove them, run them now, pause and resume them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest
from django.db import transaction
from django.utils import timezone as django_timezone

import gristmill
from gristmill import Unique, operations
from gristmill.compat import InvalidTask, TaskResultStatus, task_backends
from gristmill.exceptions import UnknownSchedule, UnknownTask
from gristmill.models import Job, JobRow, Schedule, Tick, WaitingRow
from gristmill.schedules.announcing import announced
from gristmill.schedules.declared import Declared
from gristmill.schedules.rules import checked_rule
from gristmill.verbs import schedules as in_scheduling
from tests.app.tasks import add

pytestmark = pytest.mark.django_db


@gristmill.task(schedulable=True)
def report(year=2026, *, when=None):
    return year


def of_code(task=report, name="nightly", **options):
    """A schedule that a worker has announced."""
    rule = checked_rule(task, **{"cron": "0 2 * * *", **options})
    said = announced(task_backends[task.backend], Declared(name, task, rule))
    now = django_timezone.now()
    return Schedule.objects.create(
        backend=task.backend, name=name, origin="code", queue_name=said["queue_name"], task_name=said["task_name"],
        definition=json.dumps(said["definition"]), job=json.dumps(said["job"]), created_at=now, defined_at=now,
        high_water=now, next_at=now + timedelta(hours=1),
    )  # fmt: skip


def test_a_schedule_is_made_in_the_database_and_changed_there():
    assert operations.define_schedule("mine", report, "0 8 * * *", kwargs={"year": 2025}) == "created"
    mine = Schedule.objects.get()
    assert (mine.name, mine.origin, mine.task_name) == ("mine", "database", "tests.test_schedule_operations.report")
    assert (mine.rule["cron"], mine.rule["kwargs"], mine.template["priority"]) == ("0 8 * * *", '{"year":2025}', 0)
    assert (mine.high_water, mine.state) == (None, "active")

    assert operations.define_schedule("mine", mine.task_name, every=60, queue_name="mail") == "changed"
    mine.refresh_from_db()
    assert (mine.rule["every"], mine.rule["cron"], mine.queue_name) == (60.0, None, "mail")


def test_only_a_task_whose_author_allows_it_can_be_scheduled():
    with pytest.raises(
        ValueError, match=r"add: schedule 'mine': the task is not schedulable; its author allows it with"
    ):
        operations.define_schedule("mine", add, "0 8 * * *")
    with pytest.raises(UnknownTask, match=r"no task is registered here under the name 'shop.gone'"):
        operations.define_schedule("mine", "shop.gone", "0 8 * * *")
    with pytest.raises(
        InvalidTask, match="report: schedule 'mine': a task whose jobs are unique cannot be schedulable"
    ):
        operations.define_schedule("mine", report.using(unique=True), "0 8 * * *")
    assert not Schedule.objects.exists()


def test_what_is_wrong_with_a_definition_is_said_as_in_code():
    where = "tests.test_schedule_operations.report: schedule 'mine': "
    with pytest.raises(ValueError, match=f"^{where}cron: hour: 25 is not between 0 and 23, in '0 25"):
        operations.define_schedule("mine", report, "0 25 * * *")
    with pytest.raises(TypeError, match=r"args\[0\]: set is not JSON"):
        operations.define_schedule("mine", report, "0 8 * * *", args=[set()])


def test_a_name_of_code_is_not_for_people():
    of_code()

    with pytest.raises(
        ValueError, match="a schedule of that name belongs to the code of backend 'default'; take another"
    ):
        operations.define_schedule("nightly", report, "0 8 * * *")
    with pytest.raises(ValueError, match="'nightly' belongs to the code of backend 'default'; remove it there"):
        operations.remove_schedule("nightly")
    assert Schedule.objects.get().origin == "code"


def test_what_was_made_in_the_database_can_be_removed_and_its_ticks_stay():
    operations.define_schedule("mine", report, "0 8 * * *")
    operations.run_schedule("mine")

    assert operations.remove_schedule("mine") is True
    assert operations.remove_schedule("mine") is False
    assert (Schedule.objects.count(), Tick.objects.count()) == (0, 1)


def test_run_now_makes_a_tick_by_hand_with_its_job():
    schedule = of_code(kwargs={"year": 2025}, datetime_kwarg="when")

    result = operations.run_schedule("nightly")

    assert (result.status, result.kwargs) == (TaskResultStatus.READY, {"year": 2025})
    tick = schedule.ticks.get()
    assert (tick.job_id.hex, tick.by_hand, tick.skipped) == (result.id, True, None)
    assert (tick.nominal == tick.found_at, tick.lateness) == (True, timedelta())
    about = {"name": "nightly", "nominal": None, "datetime_kwarg": "when"}
    assert json.loads(JobRow.objects.get().options) == {"schedule": about}
    # What the rule owes is another matter.
    schedule.refresh_from_db()
    assert schedule.high_water < tick.nominal


def test_its_job_is_as_the_task_wants_it():
    of_code(report.using(priority=9, queue_name="mail", max_attempts=3, hold=True, deadline=60))

    job = Job.objects.get(pk=operations.run_schedule("nightly").id)

    assert (job.queue_name, job.priority, job.state) == ("mail", 9, "held")
    assert abs(job.deadline - job.enqueued_at - timedelta(seconds=60)) < timedelta(seconds=20)
    assert job.options["max_attempts"] == 3
    assert WaitingRow.objects.count() == 1


def test_two_runs_at_one_moment_are_two_ticks(frozen):
    of_code()

    operations.run_schedule("nightly")
    operations.run_schedule("nightly")

    assert [tick.nominal - frozen for tick in Tick.objects.order_by("nominal")] == [
        timedelta(),
        timedelta(microseconds=1),
    ]


def test_a_moment_that_stays_taken_is_given_up(frozen, monkeypatch):
    of_code()
    monkeypatch.setattr(in_scheduling, "TRIES", 1)
    operations.run_schedule("nightly")

    with pytest.raises(RuntimeError, match="'nightly' was run by hand 1 times at this very moment; ask again"):
        operations.run_schedule("nightly")
    assert (Tick.objects.count(), JobRow.objects.count()) == (1, 1)


def test_where_another_job_has_its_key_that_one_is_given():
    of_code(report.using(unique=Unique(until="finished")))

    first, second = operations.run_schedule("nightly"), operations.run_schedule("nightly")

    assert (second.id, second.existing) == (first.id, True)
    assert Tick.objects.count() == 1


def test_a_run_that_is_rolled_back_never_was():
    of_code()

    with pytest.raises(ZeroDivisionError), transaction.atomic():
        operations.run_schedule("nightly")
        raise ZeroDivisionError

    assert (Tick.objects.count(), JobRow.objects.count()) == (0, 0)


def test_what_is_not_there_cannot_be_run():
    with pytest.raises(
        UnknownSchedule, match="backend 'default' has no schedule 'nightly'; those of the code are known"
    ):
        operations.run_schedule("nightly")
    schedule = of_code()
    Schedule.objects.update(removed_at=schedule.created_at)
    with pytest.raises(UnknownSchedule):
        operations.run_schedule("nightly")


def test_what_cannot_be_read_cannot_be_run():
    of_code()
    Schedule.objects.update(definition="{", problem="its definition is no JSON")

    with pytest.raises(ValueError, match="'nightly' cannot be read: its definition is no JSON"):
        operations.run_schedule("nightly")
    assert Schedule.objects.get().rule == {}


def test_a_pause_has_a_reason_and_ends():
    schedule = of_code()

    operations.pause_schedule("nightly", reason="the printer is out of paper")
    operations.pause_schedule("nightly", reason="still")
    schedule.refresh_from_db()
    assert (schedule.state, schedule.paused_reason) == ("paused", "still")
    assert (Schedule.objects.active().count(), Schedule.objects.paused().count()) == (0, 1)
    operations.run_schedule("nightly")

    before = schedule.high_water
    assert operations.resume_schedule("nightly") is True
    assert operations.resume_schedule("nightly") is False
    schedule.refresh_from_db()
    assert (schedule.state, schedule.paused_reason) == ("active", None)
    # Nothing is owed for the time of the pause.
    assert schedule.high_water > before


def test_a_pause_without_a_reason_or_a_schedule_is_refused():
    with pytest.raises(ValueError, match="a pause needs a reason"):
        operations.pause_schedule("nightly", reason="")
    with pytest.raises(UnknownSchedule, match="no schedule 'nightly'"):
        operations.pause_schedule("nightly", reason="x")


def test_schedules_belong_to_an_alias():
    of_code(report.using(backend="any_queue"))

    with pytest.raises(UnknownSchedule):
        operations.run_schedule("nightly")
    assert operations.run_schedule("nightly", backend="any_queue").backend == "any_queue"


def test_query_sets_tell_what_is_overdue_and_what_was_left_out():
    schedule = of_code()
    now = schedule.next_at
    assert Schedule.objects.overdue(now + timedelta(seconds=30)).count() == 0
    assert Schedule.objects.overdue(now + timedelta(seconds=90)).count() == 1
    moment = datetime(2026, 1, 1, tzinfo=timezone.utc)
    Tick.objects.create(backend="default", schedule="nightly", nominal=moment, found_at=moment, skipped="late")
    operations.run_schedule("nightly")
    assert (schedule.ticks.with_a_job().count(), schedule.ticks.left_out().count()) == (1, 1)
    assert str(schedule.ticks.last()) == "nightly at 2026-01-01 00:00:00+00:00"
    assert str(schedule) == "nightly (tests.test_schedule_operations.report)"


def test_django_empties_schedules_between_tests_too():
    assert Schedule._meta.managed and Tick._meta.managed


def test_a_schedule_whose_task_has_changed_is_not_run_by_hand():
    schedule = of_code(kwargs={"year": 2025}, datetime_kwarg="when")
    rule = json.loads(schedule.definition)
    for stale in ({"kwargs": '{"month":5}'}, {"args": "[1,2]"}, {"datetime_kwarg": "at"}):
        Schedule.objects.update(definition=json.dumps({**rule, **stale}))
        with pytest.raises(
            TypeError, match=r"^schedule 'nightly': tests\.test_schedule_operations\.report\(year=2026, "
        ):
            operations.run_schedule("nightly")
    assert not JobRow.objects.exists()

    Schedule.objects.update(definition=json.dumps(rule))
    assert operations.run_schedule("nightly").kwargs == {"year": 2025}
