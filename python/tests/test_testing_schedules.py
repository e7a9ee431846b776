"""`run_jobs(schedules=True)`: schedules by Django's clock, in the test's own transaction."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from django.test.utils import override_settings

import gristmill
from gristmill import operations, schedule
from gristmill.models import Job, Schedule, Tick
from gristmill.schedules import declared
from gristmill.testing import Clock, clock, run_jobs

pytestmark = pytest.mark.django_db

START = datetime(2020, 1, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)
ran: dict[str, list[datetime | None]] = {}


@gristmill.task(schedulable=True)
def note(name: str, when: datetime | None = None) -> None:
    ran.setdefault(name, []).append(when)


@pytest.fixture(autouse=True)
def _nothing_ran(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    ran.clear()
    monkeypatch.setattr(declared, "_schedules", {})
    with override_settings(TIME_ZONE="UTC"):
        yield


@pytest.fixture
def now() -> Iterator[Clock]:
    with clock(START) as stopped:
        yield stopped


def noon(**options: Any) -> None:
    """A schedule whose jobs note their instants under its name."""
    name = options.pop("name", "plain")
    rule = options.pop("cron", "0 12 * * *")
    schedule(rule, name=name, args=[name], datetime_kwarg="when", **options)(note)


def four() -> None:
    """Plain, beginning with the one before, catching up with all, and both."""
    noon(name="plain")
    noon(name="creation", run_on_creation=True)
    noon(name="all", catch_up="all")
    noon(name="both", catch_up="all", run_on_creation=True)


def counts() -> list[int]:
    return [len(ran.get(name, [])) for name in ("plain", "creation", "all", "both")]


def dates(name: str) -> list[str]:
    """The days of the instants that its jobs were given, in order; all at noon, as aware datetimes."""
    found = sorted(ran[name])  # type: ignore[type-var]
    assert all(when.tzinfo is not None and (when.hour, when.minute, when.second) == (12, 0, 0) for when in found)
    return [f"{when:%m-%d}" for when in found]


def test_what_is_made_up_for_is_as_the_schedule_says(now: Clock) -> None:
    four()
    run_jobs(schedules=True)
    assert counts() == [0, 1, 0, 1]
    run_jobs(schedules=True)
    assert counts() == [0, 1, 0, 1]
    now.move_to(START + DAY)
    run_jobs(schedules=True)
    assert counts() == [1, 2, 1, 2]
    now.move_to(START + 4 * DAY)
    run_jobs(schedules=True)
    assert counts() == [2, 3, 4, 5]
    assert dates("plain") == ["01-01", "01-04"]
    assert dates("creation") == ["12-31", "01-01", "01-04"]
    assert dates("all") == ["01-01", "01-02", "01-03", "01-04"]
    assert dates("both") == ["12-31", "01-01", "01-02", "01-03", "01-04"]
    assert Tick.objects.left_out().filter(schedule="plain").count() == 2


def test_without_being_asked_no_schedule_makes_a_job(now: Clock) -> None:
    noon(run_on_creation=True)
    assert len(run_jobs()) == 0
    assert not Schedule.objects.exists()


def test_a_schedule_goes_by_the_clocks_of_its_zone(now: Clock) -> None:
    noon(timezone="Europe/Zurich")
    run_jobs(schedules=True)
    assert Schedule.objects.get().next_at == START + timedelta(hours=11)
    now.advance(timedelta(hours=11, minutes=1))
    run_jobs(schedules=True)
    assert ran["plain"] == [START + timedelta(hours=11)]


def test_one_that_runs_by_hand_only_never_ticks(now: Clock) -> None:
    noon(cron="manual")
    run_jobs(schedules=True)
    now.advance(400 * DAY)
    assert len(run_jobs(schedules=True)) == 0
    operations.run_schedule("plain")
    run_jobs()
    assert ran["plain"] == [None]
    assert Schedule.objects.get().next_at is None


def test_what_is_gone_from_the_code_is_shown_as_removed_and_makes_no_more_jobs(
    now: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    noon()
    run_jobs(schedules=True)
    now.advance(DAY)
    run_jobs(schedules=True)
    monkeypatch.setattr(declared, "_schedules", {})
    now.advance(DAY)
    run_jobs(schedules=True)
    assert (Schedule.objects.get().state, len(ran["plain"])) == ("removed", 1)
    # Back again, nothing is owed for the time that it was away.
    noon()
    now.advance(timedelta(hours=1))
    run_jobs(schedules=True)
    assert (Schedule.objects.get().state, len(ran["plain"])) == ("active", 1)


def test_a_paused_schedule_owes_nothing(now: Clock) -> None:
    noon(catch_up="all")
    run_jobs(schedules=True)
    operations.pause_schedule("plain", reason="the press is broken")
    now.advance(3 * DAY)
    assert len(run_jobs(schedules=True)) == 0
    operations.resume_schedule("plain")
    now.advance(DAY)
    run_jobs(schedules=True)
    assert dates("plain") == ["01-04"]


def test_one_that_people_made_ticks_too(now: Clock) -> None:
    operations.define_schedule("mine", note, "0 12 * * *", args=["mine"], datetime_kwarg="when")
    run_jobs(schedules=True)
    now.advance(DAY)
    run_jobs(schedules=True)
    assert dates("mine") == ["01-01"]


def test_only_the_schedules_of_the_queues_that_are_served_tick(now: Clock) -> None:
    noon(queue_name="mail", run_on_creation=True)
    assert len(run_jobs(schedules=True, queue_names=["default"])) == 0
    assert run_jobs(schedules=True, queue_names=["default", "mail"]).successful == 1
    assert Job.objects.get().queue_name == "default"


def test_an_interval_counts_from_1970_whenever_it_was_made(now: Clock) -> None:
    now.advance(timedelta(seconds=90))
    schedule(every=60, name="minutes", args=["minutes"], datetime_kwarg="when")(note)
    run_jobs(schedules=True)
    now.advance(timedelta(seconds=31))
    run_jobs(schedules=True)
    assert ran["minutes"] == [START + timedelta(seconds=120)]


def test_a_tick_is_left_out_while_the_job_of_an_earlier_one_has_not_ended(now: Clock) -> None:
    schedule("0 12 * * *", name="held", args=["held"], overlap="skip")(note.using(hold=True))
    run_jobs(schedules=True)
    for _ in range(2):
        now.advance(DAY)
        run_jobs(schedules=True)
    assert [tick.skipped for tick in Tick.objects.order_by("nominal")] == [None, "overlapping"]
