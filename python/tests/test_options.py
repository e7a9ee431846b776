"""Task options: accepted everywhere alike, refused when a module is imported, persisted as little as possible."""

from __future__ import annotations

import json
import pickle
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

import django
import pytest
from django.core.exceptions import ImproperlyConfigured

import gristmill
from gristmill import Constant, Exponential, Linear, Unique, options
from gristmill.compat import InvalidTask, task_backends
from gristmill.compat import task as django_task
from gristmill.models import Job, JobRow
from gristmill.tasks.options import OPTIONS, OptionsOfJobs, OptionsOfTasks, OptionsOfUsing
from gristmill.tasks.task import Task
from tests.app.tasks import add, with_context


def resize(photo_id, size="small"):
    return photo_id


async def resize_async(photo_id):
    return photo_id


def wait(exception, result):
    return 1


def persisted(task):
    """What an enqueue keeps of a task's options."""
    return JobRow.objects.get(pk=task.enqueue(1).id).options


GIVEN = {
    "expires": timedelta(hours=1),
    "max_attempts": 5,
    "backoff": Linear(timedelta(minutes=1)),
    "retry_on": [ConnectionError, "django.db.utils.InterfaceError"],
    "on_crash": "fail",
    "timeout": 30,
    "max_memory_mb": 512,
    "transactional": True,
    "retention": 0,
    "max_postpones": None,
    "postpone_delay": 60,
    "incompatible_tries": 3,
    "incompatible_for": timedelta(minutes=5),
    "after_mode": "any",
    "on_precondition_failure": "fail",
}
KEPT = {
    "expires": 3600.0,
    "max_attempts": 5,
    "backoff": {"kind": "linear", "step": 60.0},
    "retry_on": ["builtins.ConnectionError", "django.db.utils.InterfaceError"],
    "on_crash": "fail",
    "timeout": 30.0,
    "max_memory_mb": 512,
    "transactional": True,
    "retention": 0.0,
    "max_postpones": None,
    "postpone_delay": 60.0,
    "incompatible_tries": 3,
    "incompatible_for": 300.0,
    "needed": 1,
    "on_precondition_failure": "fail",
}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "make",
    [
        lambda: gristmill.task(**GIVEN)(resize),
        lambda: add.using(**GIVEN),
        lambda: Task(func=resize, **GIVEN),
        lambda: django_task(options(**GIVEN)(fresh(resize))),
        lambda: gristmill.remote("elsewhere.resize", **GIVEN),
    ],
    ids=["gristmill.task", "using", "what Django 6.1 forwards", "options below Django's task", "remote"],
)
def test_every_way_to_give_options_persists_the_same(make):
    assert json.loads(persisted(make())) == KEPT


def fresh(function):
    """A function that looks the same; options() leaves a mark on it."""
    copy = type(function)(function.__code__, function.__globals__, function.__name__, function.__defaults__)
    copy.__module__, copy.__qualname__ = function.__module__, function.__qualname__
    return copy


@pytest.mark.skipif(django.VERSION < (6, 1), reason="Django forwards keywords from 6.1 on")
@pytest.mark.django_db
def test_djangos_own_decorator_takes_options():
    assert persisted(django_task(max_attempts=3, name="resize by Django")(resize)) == '{"max_attempts":3}'


@pytest.mark.django_db
def test_what_is_the_engines_default_is_not_persisted():
    usual = {
        "expires": None,
        "max_attempts": 1,
        "backoff": Exponential(5, factor=2, max=3600, jitter=0.1),
        "retry_on": Exception,
        "on_crash": "rerun",
        "timeout": None,
        "max_memory_mb": None,
        "transactional": False,
        "retention": None,
        "max_postpones": 100,
        "postpone_delay": 5,
        "after": None,
        "after_mode": "all",
        "on_precondition_failure": "strand",
        "hold": False,
        "deadline": None,
        "unique": False,
    }

    assert persisted(add.using(**usual)) is None
    assert persisted(with_context.using(**usual)) == '{"takes_context":true}'


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("backoff", "kept"),
    [
        (Constant(7), {"kind": "constant", "seconds": 7.0}),
        (Exponential(1), {"kind": "exponential", "base": 1.0, "factor": 2.0, "max": 3600.0, "jitter": 0.1}),
        (wait, {"kind": "callable"}),
    ],
)
def test_a_backoff_is_persisted_as_plain_data(backoff, kept):
    task = gristmill.task(backoff=backoff)(resize)

    assert json.loads(persisted(task)) == {"backoff": kept}
    assert task.backoff is backoff


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"max_attempts": "three"}, "max_attempts must be a whole number from 1 up, or None for no bound; got 'three'"),
        ({"max_attempts": 0}, "max_attempts must be a whole number from 1 up, or None for no bound; got 0"),
        ({"max_attempts": True}, "max_attempts must be a whole number from 1 up, or None for no bound; got True"),
        ({"max_attempts": 2**31}, "max_attempts must be at most 2,147,483,647"),
        ({"max_postpones": -1}, "max_postpones must be a whole number from 0 up, or None for no bound; got -1"),
        ({"postpone_delay": None}, "postpone_delay must be a number of seconds from 0 up or a timedelta"),
        ({"timeout": 0}, "timeout must be a number of seconds above 0 or a timedelta"),
        ({"timeout": float("nan")}, "timeout must be a number of seconds above 0"),
        ({"retention": timedelta(seconds=-1)}, "retention must be a number of seconds from 0 up"),
        ({"expires": "soon"}, "expires must be a number of seconds above 0 or a timedelta"),
        ({"expires": datetime(2030, 1, 1)}, "expires must be an aware datetime"),
        ({"deadline": -1}, "deadline must be a number of seconds from 0 up"),
        ({"max_memory_mb": 1.5}, "max_memory_mb must be a whole number from 1 up, or None for no limit; got 1.5"),
        ({"on_crash": "retry"}, "on_crash must be 'rerun' or 'fail'; got 'retry'"),
        ({"retry_on": [ValueError, 3]}, "retry_on must be exception classes, or None for every Exception"),
        ({"retry_on": "ValueError"}, "retry_on must be exception classes"),
        ({"retry_on": int}, "retry_on must be exception classes"),
        ({"backoff": 5}, "backoff must be Exponential(…), Linear(…), Constant(…), or a function"),
        ({"backoff": Exponential}, "backoff must be Exponential(…), Linear(…), Constant(…), or a function"),
        ({"unique": "photo_id"}, "unique must be True, False or gristmill.Unique(…); got 'photo_id'"),
        ({"unique": Unique(by="phot_id")}, "unique names the argument 'phot_id', which the function does not take"),
        ({"transactional": 1}, "transactional must be True, False, or the alias of the database"),
        ({"name": ""}, "name must be 1 to 200 printable characters; got ''"),
        ({"name": "a\0b"}, "name must be 1 to 200 printable characters"),
        ({"aliases": "old"}, "aliases must be a list of names; got 'old'"),
    ],
)
@pytest.mark.parametrize("way", ["task", "options", "class"])
def test_a_wrong_option_is_refused_at_import_naming_task_and_option(given, text, way):
    decorate = {
        "task": gristmill.task,
        "options": lambda **given: lambda function: django_task(options(**given)(fresh(function))),
        "class": lambda **given: lambda function: Task(func=function, **given),
    }[way]

    with pytest.raises(InvalidTask) as caught:
        decorate(**given)(resize)

    assert str(caught.value).startswith(f"tests.test_options.resize: {text}")


def test_using_refuses_what_the_decorator_refuses():
    with pytest.raises(InvalidTask, match=r"^tests\.app\.tasks\.add: max_attempts must be a whole number"):
        add.using(max_attempts=0)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"backoff": wait}, "no backoff function"),
        ({"unique": Unique(by=wait)}, "no unique with functions"),
        ({"unique": Unique(on_conflict="merge", merge=wait)}, "no unique with functions"),
    ],
)
def test_using_refuses_functions(given, what):
    with pytest.raises(InvalidTask, match=rf"^tests\.app\.tasks\.add: using\(\) takes {what}"):
        add.using(**given)


@pytest.mark.parametrize("given", [{"name": "new"}, {"aliases": ["old"]}])
def test_using_cannot_change_what_a_task_is_called(given):
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        add.using(**given)


def test_every_option_can_be_typed_where_it_can_be_given():
    places = {"task": OptionsOfTasks, "using": OptionsOfUsing, "remote": OptionsOfJobs}

    for place, typed in places.items():
        given = {name for name, about in OPTIONS.items() if about.given_to in ("any", place)}
        assert typed.__annotations__.keys() == given


def test_the_page_has_a_row_for_every_option():
    page = (Path(__file__).parents[2] / "docs/guides/options.md").read_text()
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \|", page, re.MULTILINE)

    assert {name.strip("` ") for row in rows for name in row.split(",")} == OPTIONS.keys()


def test_a_misspelt_keyword_says_what_was_meant():
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'max_attempt'; did you mean max_attempts\?$"):
        add.using(max_attempt=3)


def test_a_misspelt_option_says_what_was_meant():
    with pytest.raises(InvalidTask, match=r"resize: unknown option 'max_attempt'; did you mean max_attempts\?$"):
        Task(func=resize, max_attempt=3)


def test_an_option_given_twice_is_refused():
    function = options(timeout=5)(fresh(resize))

    with pytest.raises(InvalidTask, match=r"timeout is given twice, by @task and by gristmill\.options below it"):
        gristmill.task(timeout=6)(function)


def test_options_above_the_decorator_are_refused():
    with pytest.raises(InvalidTask, match=r"goes below @task, next to the function"):
        options(timeout=5)(add)


def test_none_is_told_from_nothing():
    task = gristmill.task(max_attempts=7, timeout=9)(resize)

    assert task.using(max_attempts=None).options.max_attempts is None
    assert task.using(max_attempts=None).options.timeout == 9
    assert task.using().options == task.options


def test_using_keeps_options_name_and_aliases():
    task = gristmill.task(name="kept name", aliases=["kept alias"], timeout=9)(resize)

    copy = task.using(priority=3, timeout=10)

    assert (copy.task_name, copy.aliases, copy.options.timeout, copy.priority) == ("kept name", ("kept alias",), 10, 3)


def test_an_async_task_cannot_be_transactional():
    with pytest.raises(InvalidTask, match=r"resize_async: transactional needs a function that is not async"):
        gristmill.task(transactional=True)(resize_async)


def test_a_transactional_task_must_say_when_it_writes_to_another_database_than_default():
    message = r"resize: transactional=True, but the queue's tables are on database 'other'.*say transactional='other'"
    with pytest.raises(InvalidTask, match=message):
        gristmill.task(transactional=True, backend="elsewhere")(resize)
    with pytest.raises(InvalidTask, match="transactional='default', but the queue's tables are on database 'other'"):
        add.using(transactional="default", backend="elsewhere")

    assert gristmill.task(transactional="other", backend="elsewhere")(resize).options.transactional == "other"


@pytest.mark.django_db(databases=["default", "other"])
def test_an_affirmed_transactional_task_is_persisted_as_any_other():
    result = add.using(transactional="other", backend="elsewhere").enqueue(1)

    assert JobRow.objects.using("other").get(pk=result.id).options == '{"transactional":true}'


@pytest.mark.django_db
def test_a_date_to_expire_is_kept_as_utc_text():
    noon = datetime(2030, 7, 1, 12, 0, 0, 7, tzinfo=timezone(timedelta(hours=2)))

    assert persisted(add.using(expires=noon)) == '{"expires":"2030-07-01 10:00:00.000007"}'


# -- the project's defaults -------------------------------------------------------------------------------------


@pytest.fixture
def defaults(settings):
    """Sets OPTIONS of the alias "default"."""

    def use(**given):
        entry = {"BACKEND": "gristmill.backend.GristmillBackend", "QUEUES": ["default", "mail"], "OPTIONS": given}
        settings.TASKS = {**settings.TASKS, "default": entry}

    return use


@pytest.mark.django_db
def test_a_queues_defaults_come_before_the_projects_and_after_the_tasks_own(defaults):
    queues = {"mail": {"defaults": {"max_attempts": 3, "timeout": None}}}
    defaults(DEFAULTS={"max_attempts": 2, "timeout": 60, "backoff": Constant(1)}, QUEUES=queues)
    constant = {"kind": "constant", "seconds": 1.0}

    plain, mail = add, add.using(queue_name="mail")
    own = add.using(max_attempts=1, backoff=Exponential())

    assert json.loads(persisted(plain)) == {"max_attempts": 2, "timeout": 60.0, "backoff": constant}
    assert json.loads(persisted(mail)) == {"max_attempts": 3, "backoff": constant}
    assert json.loads(persisted(own)) == {"timeout": 60.0}


@pytest.mark.django_db
def test_a_queues_retention_is_kept_with_its_jobs(defaults):
    defaults(QUEUES={"mail": {"retention": timedelta(hours=1)}})

    assert persisted(add) is None
    assert persisted(add.using(queue_name="mail")) == '{"retention":3600.0}'
    assert persisted(add.using(queue_name="mail", retention=5)) == '{"retention":5.0}'


@pytest.mark.django_db
def test_a_task_follows_settings_that_change_under_it(defaults):
    assert persisted(add) is None

    defaults(DEFAULTS={"timeout": 5})

    assert persisted(add) == '{"timeout":5.0}'


@pytest.mark.django_db
def test_a_wrong_default_is_refused_at_the_first_enqueue(defaults):
    defaults(QUEUES={"default": {"defaults": {"timeout": "long"}}})

    message = r"^TASKS\['default'\]\['OPTIONS'\]\['QUEUES'\]\['default'\]\['defaults'\]: timeout must be"
    with pytest.raises(ImproperlyConfigured, match=message):
        add.enqueue(1)


# -- deadlines --------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("deadline", [timedelta(minutes=5), 300, datetime(2031, 1, 1, 1, 2, 3, 4, timezone.utc)])
@pytest.mark.parametrize("bulk", [False, True])
@pytest.mark.parametrize("clock", ["django", "database"])
def test_a_deadline_counts_from_the_enqueue_or_is_a_date(deadline, bulk, clock, monkeypatch, django_assert_num_queries):
    monkeypatch.setattr(type(task_backends["default"]), "uses_django_clock", lambda self: clock == "django")
    task = add.using(deadline=deadline)
    if bulk:
        result = task.enqueue_many([(1,)])[0]
    else:
        with django_assert_num_queries(1):
            result = task.enqueue(1)

    job = Job.objects.get(pk=result.id)
    wanted = deadline if isinstance(deadline, datetime) else job.enqueued_at + timedelta(minutes=5)
    assert abs(job.deadline - wanted) < timedelta(seconds=5)
    assert JobRow.objects.get().deadline == job.deadline
    assert job.options is None


# -- types and copies -------------------------------------------------------------------------------------------


@pytest.mark.skipif(django.VERSION < (6, 1), reason="Django pickles tasks from 6.1 on")
def test_a_task_is_pickled_by_its_path():
    assert pickle.loads(pickle.dumps(add)) == add


def test_annotations_with_parameters_mean_something_at_run_time():
    assert Task[[int], str] is Task


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Exponential(-1), "Exponential: base must be a number of seconds from 0 to"),
        (lambda: Exponential(1, factor=0.5), "Exponential: factor must be a number from 1 to 1,000,000; got 0.5"),
        (lambda: Exponential(1, jitter=2), "Exponential: jitter must be a number from 0 to 1; got 2"),
        (lambda: Linear("1"), "Linear: step must be a number of seconds from 0 to 3,155,760,000; got '1'"),
        (lambda: Constant(float("inf")), "Constant: seconds must be a number of seconds"),
        (
            lambda: Unique(until="done"),
            "Unique: until must be one of 'started', 'each_start', 'finished', 'pruned'; got 'done'",
        ),
        (lambda: Unique(on_conflict="drop"), "Unique: on_conflict must be one of 'keep', 'replace', 'merge'"),
        (lambda: Unique(by=()), r"Unique: by must be names of arguments, a function, or None for all; got ()"),
        (lambda: Unique(period=0), "Unique: period must be a number of seconds above 0"),
        (lambda: Unique(merge=wait), 'Unique: on_conflict="merge" and a function merge=… go together'),
    ],
)
def test_a_wrong_shape_is_refused_where_it_is_made(make, text):
    with pytest.raises(ValueError) as caught:
        make()

    assert str(caught.value).startswith(text)
