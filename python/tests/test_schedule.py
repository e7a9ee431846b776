"""`schedule`: what it takes, what it refuses at once, and what workers are told of it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test.utils import override_settings

import gristmill
from gristmill import Unique, schedule
from gristmill.compat import InvalidTask, task_backends
from gristmill.schedules import declared as declarations
from gristmill.schedules.announcing import announcement
from gristmill.schedules.declared import declared
from gristmill.tasks import registry
from tests.app.tasks import add

PATH = "gristmill.backend.GristmillBackend"
REPORT = "tests.test_schedule.report"


@pytest.fixture(autouse=True)
def _no_schedules(monkeypatch):
    """Starts and ends without a schedule."""
    monkeypatch.setattr(declarations, "_schedules", {})


@gristmill.task
def report(year=2026, *, when=None):
    return year


@gristmill.task(takes_context=True, queue_name="mail", priority=7, max_attempts=3, deadline=3600, hold=True)
def mail(context, to, when):
    return to


def another(name):
    """A function of this module that goes by that name."""

    def function(year=2026, *, when=None):
        return year

    function.__qualname__ = name
    return function


def told(backend="default"):
    """What a worker of that alias announces, by name."""
    return {each["name"]: each for each in announcement(task_backends[backend])["schedules"]}


def test_it_gives_back_the_task_and_workers_announce_it():
    assert schedule("30 8 * * mon-fri")(report) is report

    assert told() == {
        "tests.test_schedule.report": {
            "name": "tests.test_schedule.report",
            "queue_name": "default",
            "task_name": "tests.test_schedule.report",
            "definition": {
                "cron": "30 8 * * mon-fri",
                "every": None,
                "timezone": "Europe/Zurich",
                "catch_up": "latest",
                "window": None,
                "cap": None,
                "overlap": "allow",
                "jitter": 0.0,
                "run_on_creation": False,
                "datetime_kwarg": None,
                "args": "[]",
                "kwargs": "{}",
            },
            "job": {
                "queue_name": "default",
                "priority": 0,
                "options": None,
                "deadline_after": None,
                "unique_key": None,
                "unique_until": None,
                "unique_period": None,
                "retention": None,
                "held": False,
            },
        }
    }


def test_every_option_is_announced_in_one_form():
    schedule(
        every=timedelta(minutes=1.5),
        name="post",
        args=["lea"],
        queue_name="default",
        catch_up="all",
        window=timedelta(hours=2),
        cap=10,
        run_on_creation=True,
        datetime_kwarg="when",
        overlap="skip",
        jitter=timedelta(seconds=5),
    )(mail)

    post = told()["post"]

    assert post["queue_name"] == "default"
    assert post["definition"] == {
        "cron": None,
        "every": 90.0,
        "timezone": "UTC",
        "catch_up": "all",
        "window": 7200.0,
        "cap": 10,
        "overlap": "skip",
        "jitter": 5.0,
        "run_on_creation": True,
        "datetime_kwarg": "when",
        "args": '["lea"]',
        "kwargs": "{}",
    }
    assert post["job"] == {
        "queue_name": "mail",
        "priority": 7,
        "options": {"takes_context": True, "max_attempts": 3},
        "deadline_after": 3600.0,
        "unique_key": None,
        "unique_until": None,
        "unique_period": None,
        "retention": None,
        "held": True,
    }


def test_a_task_may_have_several_and_a_copy_has_its_own_options():
    schedule("0 8 * * *", name="morning", kwargs={"year": 2025})(
        schedule("0 20 * * *", name="evening", timezone=ZoneInfo("Asia/Tokyo"))(report)
    )
    schedule("manual", name="urgent")(report.using(priority=100))

    found = told()

    assert sorted(found) == ["evening", "morning", "urgent"]
    assert found["morning"]["definition"]["kwargs"] == '{"year":2025}'
    assert found["evening"]["definition"]["timezone"] == "Asia/Tokyo"
    assert (found["urgent"]["job"]["priority"], found["urgent"]["definition"]["timezone"]) == (100, "UTC")


def test_it_belongs_to_its_tasks_alias():
    schedule("0 8 * * *", name="elsewhere")(report.using(backend="elsewhere"))

    assert (sorted(told()), sorted(told("elsewhere"))) == ([], ["elsewhere"])


def test_a_task_that_is_defined_again_takes_its_schedules_with_it():
    schedule("0 8 * * *", name="old")(gristmill.task(another("twice")))

    schedule("0 9 * * *", name="new")(gristmill.task(another("twice")))

    assert sorted(declared("default")) == ["new"]


def test_where_the_alias_is_not_gristmills_it_has_no_effect():
    other = gristmill.task(backend="not_ours")(another("other"))

    assert schedule("0 8 * * *", args=[])(other) is other
    assert told() == {}


WRONG = [
    ({"cron": "8 * * *"}, "cron: write five fields (minute hour day-of-month month weekday) or six with seconds at"),
    ({"cron": None}, "cron or every says when it runs, one of them; neither was given"),
    ({"cron": "* * * * *", "every": 5}, "cron or every says when it runs, one of them; both were given"),
    ({"cron": 5}, "cron must be text, such as '30 8 * * mon-fri'; got 5"),
    ({"every": 0.5}, "every must be a number of seconds or a timedelta, at least 1 second and at most 366 days; got"),
    ({"every": timedelta(days=367)}, "every must be a number of seconds or a timedelta, at least 1 second and at"),
    ({"every": "hour"}, "every must be a number of seconds or a timedelta, at least 1 second and at most 366 days"),
    ({"every": float("nan")}, "every must be a number of seconds or a timedelta, at least 1 second and at most"),
    ({"cron": "0 8 * * *", "timezone": "Europe/Zürich"}, "timezone: 'Europe/Zürich' is no time zone of the IANA"),
    ({"cron": "0 8 * * *", "timezone": "localtime"}, "timezone: 'localtime' is no time zone of the IANA database"),
    ({"cron": "0 8 * * *", "timezone": "../etc/passwd"}, "timezone: '../etc/passwd' is no time zone"),
    ({"cron": "0 8 * * *", "timezone": 2}, "timezone must be a name like Europe/Berlin; got 2"),
    ({"every": 60, "timezone": "UTC"}, "timezone belongs to a cron expression"),
    ({"cron": "manual", "run_on_creation": True}, "run_on_creation needs a rule"),
    ({"cron": "0 8 * * *", "run_on_creation": "yes"}, "run_on_creation must be True or False; got 'yes'"),
    ({"cron": "0 8 * * *", "run_on_creation": 1}, "run_on_creation must be True or False; got 1"),
    ({"cron": "0 8 * * *", "timezone": ""}, "timezone: '' is no time zone of the IANA database"),
    ({"cron": "0 8 * * *", "timezone": "Europe"}, "timezone: 'Europe' is no time zone of the IANA database"),
    ({"cron": "0 8 * * *", "name": ""}, "name must be 1 to 200 printable characters; got ''"),
    ({"cron": "0 8 * * *", "queue_name": "mial"}, "queue_name 'mial' is no queue of backend 'default', so no"),
    ({"cron": "0 8 * * *", "queue_name": 3}, "queue_name must be the name of a queue; got 3"),
    ({"cron": "0 8 * * *", "catch_up": "some"}, "catch_up must be 'latest', 'none' or 'all'; got 'some'"),
    ({"cron": "0 8 * * *", "overlap": True}, "overlap must be 'allow' or 'skip'; got True"),
    ({"cron": "0 8 * * *", "window": 5}, "window must be at least 60 seconds; got 5"),
    ({"cron": "0 8 * * *", "window": "1h"}, "window must be a number of seconds"),
    ({"cron": "0 8 * * *", "cap": 0}, "cap must be a whole number from 1 to 10,000; got 0"),
    ({"cron": "0 8 * * *", "cap": True}, "cap must be a whole number from 1 to 10,000; got True"),
    ({"cron": "0 8 * * *", "jitter": -1}, "jitter must be a number of seconds"),
    ({"cron": "0 8 * * *", "jitter": 100_000}, "jitter must be from 0 to 86,400 seconds; got 100000"),
    ({"cron": "0 8 * * *", "args": "lea"}, "args must be a list or a tuple; got 'lea'"),
    ({"cron": "0 8 * * *", "args": [{1, 2}]}, "args[0]: set is not JSON"),
    ({"cron": "0 8 * * *", "kwargs": {"year": object}}, "kwargs.year: type is not JSON"),
    ({"cron": "0 8 * * *", "kwargs": ["year"]}, "kwargs must be a dictionary of names; got ['year']"),
    ({"cron": "0 8 * * *", "kwargs": {1: 2}}, "kwargs must be a dictionary of names; got {1: 2}"),
    ({"cron": "0 8 * * *", "args": [1, 2]}, "args and kwargs do not fit the function: too many positional arguments"),
    ({"cron": "0 8 * * *", "kwargs": {"yaer": 1}}, "args and kwargs do not fit the function: got an unexpected"),
    ({"cron": "0 8 * * *", "datetime_kwarg": "date"}, "args, kwargs and datetime_kwarg do not fit the function"),
    ({"cron": "0 8 * * *", "datetime_kwarg": "a b"}, "datetime_kwarg must be the name of an argument; got 'a b'"),
    (
        {"cron": "0 8 * * *", "datetime_kwarg": "when", "kwargs": {"when": 1}},
        "datetime_kwarg names 'when', which kwargs gives a value already",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("options", "sentence"), WRONG)
def test_what_is_wrong_is_refused_at_once_and_named(options, sentence):
    name = options.pop("name", "nightly")

    with pytest.raises(InvalidTask) as refused:
        schedule(**options, name=name)(report)

    assert str(refused.value).startswith(f"tests.test_schedule.report: schedule {name!r}: {sentence}")
    options["name"] = name
    assert declared("default") == {}


def test_a_field_that_is_wrong_is_a_check_and_refuses_the_worker_in_the_engines_words():
    schedule("0 8 * * *", name="nightly")(report)
    schedule("75 * * * *", name="wrong")(report)
    sentence = "tests.test_schedule.report: schedule 'wrong': cron: minute: 75 is not between 0 and 59, in '75 * * * *'"

    (message,) = task_backends["default"].check()
    with pytest.raises(ImproperlyConfigured) as refused:
        told()

    assert (message.id, message.msg, str(refused.value)) == ("gristmill.E010", f"{sentence}.", sentence)


def test_a_context_is_no_argument_of_the_schedules():
    with pytest.raises(
        InvalidTask, match="args, kwargs and datetime_kwarg do not fit the function: missing a required argument: 'to'"
    ):
        schedule("0 8 * * *", datetime_kwarg="when")(mail)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"run_after": timedelta(hours=1)}, "a task with a run_after has no schedule: its jobs run when the"),
        ({"after": "0" * 32}, r"a task that waits for jobs \(after\) has no schedule"),
        ({"deadline": datetime(2026, 1, 1, tzinfo=timezone.utc)}, "its task's deadline is a date"),
        ({"expires": datetime(2026, 1, 1, tzinfo=timezone.utc)}, "its task's expires is a date"),
        ({"unique": Unique(period=60)}, "it has jobs that are unique for a period, which counts from an enqueue"),
    ],
)  # fmt: skip
def test_what_is_of_single_jobs_is_refused(changes, sentence):
    with pytest.raises(InvalidTask, match=f"schedule 'nightly': {sentence}"):
        schedule("0 8 * * *", name="nightly")(report.using(**changes))


def test_two_schedules_of_one_name_are_refused_and_both_are_named():
    schedule("0 8 * * *", name="nightly")(report)

    with pytest.raises(InvalidTask, match=r"'nightly' of backend 'default' is claimed by both .*\.report and .*\.mail"):
        schedule("0 9 * * *", name="nightly", args=["a", None])(mail)
    with pytest.raises(
        InvalidTask, match=r"'nightly' of backend 'default' is claimed twice by tests.test_schedule.report"
    ):
        schedule("0 9 * * *", name="nightly")(report)
    assert declared("default")["nightly"].task is report


def test_it_goes_above_the_task():
    with pytest.raises(InvalidTask, match=r"plain: gristmill.schedule\(…\) goes above @task, not next to the function"):

        @schedule("0 8 * * *")
        def plain():
            return 1


def test_the_jobs_of_a_unique_task_have_the_key_of_their_arguments():
    once = report.using(unique=Unique(until="finished"))
    schedule("0 8 * * *", name="once", args=[2025])(once)

    job = told()["once"]["job"]

    assert (len(job["unique_key"]), job["unique_until"]) == (64, "finished")


def test_an_instant_is_no_part_of_the_key():
    once = report.using(unique=True)
    schedule("0 8 * * *", name="dated", datetime_kwarg="when")(once)
    schedule("0 8 * * *", name="plain")(once)

    found = told()

    assert found["dated"]["job"]["unique_key"] == found["plain"]["job"]["unique_key"]


def test_tasks_that_people_may_schedule_are_announced_with_what_their_jobs_are_like(monkeypatch):
    declare = gristmill.task(schedulable=True, priority=3, name="shop.open", aliases=["shop.old"])
    opened = declare(another("opened"))
    monkeypatch.setattr(registry, "tasks", {"default": {"shop.open": opened, "shop.old": opened, add.task_name: add}})

    found = announcement(task_backends["default"])["schedulable"]

    assert sorted(found) == ["shop.old", "shop.open"]
    assert found["shop.open"]["priority"] == 3


def test_a_task_whose_jobs_are_unique_is_not_for_people_to_schedule():
    with pytest.raises(InvalidTask, match="both: a task whose jobs are unique cannot be schedulable"):
        gristmill.task(schedulable=True, unique=True)(another("both"))


def configured(schedules, **options):
    """The backend "default" with these schedules in its settings."""
    return override_settings(
        TASKS={"default": {"BACKEND": PATH, "QUEUES": [], "OPTIONS": {"SCHEDULES": schedules, **options}}}
    )


def test_settings_say_the_same():
    entry = {"task": REPORT, "cron": "0 2 * * *", "timezone": "UTC", "kwargs": {"year": 1}}
    with configured({"nightly": entry}):
        assert task_backends["default"].check() == []
        nightly = told()["nightly"]

    assert (nightly["task_name"], nightly["definition"]["kwargs"]) == ("tests.test_schedule.report", '{"year":1}')


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (
            {"task": "tests.test_schedule.reprot", "cron": "@daily"},
            f"no task is registered under the name 'tests.test_schedule.reprot'; did you mean {REPORT}?",
        ),
        ({"cron": "@daily"}, "task must be the name that a task is registered under; got None"),
        ({"task": REPORT, "cron": "75 * * * *"}, "cron: minute: 75 is not between 0 and 59, in '75 * * * *'"),
        ({"task": REPORT, "corn": "@daily"}, "unknown option 'corn'; did you mean cron?"),
        (
            {"task": REPORT, "cron": "@daily", "args": [1, 2]},
            "args and kwargs do not fit the function: too many positional arguments",
        ),
        ("@daily", "it must be a dictionary with a task and its rule, not '@daily'"),
    ],
)  # fmt: skip
def test_wrong_settings_are_a_check_and_refuse_the_worker_in_one_sentence(entry, sentence):
    whole = f"TASKS['default']['OPTIONS']['SCHEDULES']['nightly']: {sentence}"
    with configured({"nightly": entry}):
        (message,) = task_backends["default"].check()
        with pytest.raises(ImproperlyConfigured) as refused:
            announcement(task_backends["default"])

    assert (message.id, message.msg) == ("gristmill.E010", f"{whole}.")
    assert message.hint
    assert str(refused.value) == whole


def test_a_name_of_code_cannot_be_one_of_the_settings():
    schedule("0 8 * * *", name="nightly")(report)
    with configured({"nightly": {"task": REPORT, "cron": "@daily"}}):
        (message,) = task_backends["default"].check()

    assert "is claimed by both tests.test_schedule.report and TASKS['default']['OPTIONS']['SCHEDULES']" in message.msg


def test_schedules_of_the_settings_must_be_a_dictionary():
    with configured(["nightly"]):
        (message,) = task_backends["default"].check()

    assert "['SCHEDULES'] must be a dictionary of schedules by name, not ['nightly']" in message.msg


def test_tasks_that_cannot_be_imported_leave_the_settings_unchecked(monkeypatch):
    def broken():
        raise ImportError("no module named shop")

    monkeypatch.setattr(registry, "load", broken)
    with configured({"nightly": {"task": "a.b", "cron": "@daily"}}):
        (message,) = task_backends["default"].check()

    assert (message.id, "ImportError: no module named shop" in message.msg) == ("gristmill.W004", True)


def test_a_benchmarks_worker_knows_none_of_the_settings(monkeypatch):
    monkeypatch.setenv("GRISTMILL_BENCH_FILE", "ran")
    with configured({"nightly": {"task": "a.b", "cron": "@daily"}}):
        assert told() == {}


def test_a_deadline_of_the_projects_defaults_must_not_be_a_date():
    schedule("0 8 * * *", name="nightly")(report)
    with (
        configured({}, DEFAULTS={"deadline": datetime(2030, 1, 1, tzinfo=timezone.utc)}),
        pytest.raises(ImproperlyConfigured, match="its deadline is a date by the project's defaults"),
    ):
        told()
