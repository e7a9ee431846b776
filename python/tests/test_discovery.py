"""Tasks are found in the modules that OPTIONS["TASK_MODULES"] names, and who writes one elsewhere is told."""

from __future__ import annotations

import logging
import subprocess
import sys
from functools import lru_cache, partial

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test.utils import override_settings

import gristmill
from gristmill.compat import InvalidTask, task_backends
from gristmill.tasks import registry
from gristmill.tasks.discovery import causes
from gristmill.tasks.discovery.check import check_task_modules
from gristmill.tasks.discovery.imports import reaches
from gristmill.tasks.discovery.modules import matching, task_modules

PATH = "gristmill.backend.GristmillBackend"
TASK = "import gristmill\n\n@gristmill.task\ndef {name}():\n    return 1\n"

FILES = {
    "bakery/__init__.py": "",
    "bakery/tasks/__init__.py": "",
    "bakery/tasks/bread.py": TASK.format(name="bake"),
    "bakery/tasks/deep/__init__.py": "",
    "bakery/tasks/deep/cake.py": TASK.format(name="bake"),
    "bakery/tasks/test_bread.py": "raise AssertionError('tests are not imported')",
    "bakery/tasks/__main__.py": "raise AssertionError('programs are not imported')",
    "bakery/mails.py": TASK.format(name="send"),
    "bakery/jobs_daily.py": TASK.format(name="count"),
    "bakery/jobs_weekly.py": TASK.format(name="count"),
    "bakery/reached.py": TASK.format(name="reach"),
    "bakery/helpers.py": "from . import reached",
    "elsewhere_tasks/__init__.py": "",
    "elsewhere_tasks/tasks.py": "from bakery import helpers\n" + TASK.format(name="far"),
    "toplevel.py": TASK.format(name="lone"),
}


@pytest.fixture
def bakery(tmp_path, monkeypatch):
    """An app with tasks in many places."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "_loaded", False)
    monkeypatch.setattr(registry, "imported_at_start", set(registry.imported_at_start))
    monkeypatch.setattr(registry, "tasks", {alias: dict(known) for alias, known in registry.tasks.items()})
    monkeypatch.setattr(causes, "is_in_tests", lambda: False)
    monkeypatch.setattr(causes, "_warned", set())
    with override_settings(INSTALLED_APPS=["gristmill", "tests.app", "bakery"]):
        causes._why_not_imported.cache_clear()
        yield tmp_path
    causes._why_not_imported.cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] in {"bakery", "elsewhere_tasks", "toplevel"}]:
        del sys.modules[name]


def naming(*patterns, **more):
    """The settings of a project that names these."""
    entry = {"BACKEND": PATH, "OPTIONS": {"TASK_MODULES": list(patterns)} if patterns else {}, **more}
    return override_settings(TASKS={"default": entry})


def test_without_a_word_it_is_tasks_of_every_app_with_what_is_in_it(bakery):
    with naming():
        assert task_modules() == [
            "tests.app.tasks",
            "bakery.tasks",
            "bakery.tasks.bread",
            "bakery.tasks.deep",
            "bakery.tasks.deep.cake",
        ]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("mails", ["bakery.mails"]),
        ("jobs_*", ["bakery.jobs_daily", "bakery.jobs_weekly"]),
        ("bakery.jobs_*", ["bakery.jobs_daily", "bakery.jobs_weekly"]),
        ("bakery.tasks.d*.cake", ["bakery.tasks.deep.cake"]),
        ("elsewhere_tasks.tasks", ["elsewhere_tasks.tasks"]),
        ("toplevel", ["toplevel"]),
        ("bakery.nothing_*", []),
        ("nothing", []),
    ],
)
def test_a_name_is_looked_for_in_every_app_and_a_dotted_one_is_itself(bakery, pattern, found):
    assert matching(pattern) == found


def test_looking_imports_nothing(bakery):
    with naming("tasks", "bakery.jobs_*", "elsewhere_tasks.*", "toplevel"):
        assert len(task_modules()) == 9
    assert not {"bakery.tasks", "bakery.jobs_daily", "elsewhere_tasks", "toplevel"} & set(sys.modules)


def test_a_worker_knows_the_tasks_of_all_that_is_named(bakery):
    with naming("tasks", "bakery.mails", "elsewhere_tasks.tasks"):
        registry.load()

    assert {"bakery.tasks.bread.bake", "bakery.tasks.deep.cake.bake", "bakery.mails.send"} <= set(registry.names())
    # What one of them imports is known too.
    assert {"elsewhere_tasks.tasks.far", "bakery.reached.reach"} <= set(registry.names())


def test_the_modules_of_every_alias_count(bakery):
    tasks = {
        "default": {"BACKEND": PATH, "OPTIONS": {"TASK_MODULES": ["mails"]}},
        "other": {"BACKEND": PATH, "OPTIONS": {"TASK_MODULES": ["bakery.jobs_daily"]}},
    }
    with override_settings(TASKS=tasks):
        assert task_modules() == ["bakery.mails", "bakery.jobs_daily"]


def test_a_module_that_is_named_and_missing_is_refused_by_name(bakery):
    with naming("bakery.mail"):
        with pytest.raises(
            ImproperlyConfigured, match=r"names 'bakery\.mail', and there is no such module; did you mean"
        ):
            registry.load()
        (message,) = check_task_modules(None)
    assert message.id == "gristmill.E012"
    assert message.msg.endswith("did you mean 'bakery.mails'?.") or "did you mean 'bakery.mails'" in message.msg


@pytest.mark.parametrize("value", ["tasks", [], [7], [""], ["shop..tasks"], ["*.tasks"], ["shop/tasks.py"]])
def test_what_names_no_modules_is_refused_by_a_check(value):
    with override_settings(TASKS={"default": {"BACKEND": PATH, "OPTIONS": {"TASK_MODULES": value}}}):
        messages = {message.id for message in task_backends["default"].check()}
    assert "gristmill.E012" in messages


# -- a task that no worker would import ---------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("bulk", [False, True])
def test_enqueueing_a_task_of_a_module_that_no_worker_imports_warns_once(bakery, caplog, bulk):
    with naming(), caplog.at_level(logging.WARNING, "gristmill"):
        from bakery.mails import send

        for _ in range(3):
            send.enqueue_many([()]) if bulk else send.using(priority=1).enqueue()

    (record,) = caplog.records
    assert record.getMessage() == (
        "no worker will know the task bakery.mails.send that was enqueued: workers import 'tasks' of installed apps, "
        "and not bakery.mails; add 'bakery.mails' to OPTIONS['TASK_MODULES'] of TASKS, or import it in a module that "
        "they import"
    )


def test_an_app_that_is_not_installed_is_named(bakery):
    with naming():
        assert causes.why_not_imported("elsewhere_tasks.tasks") == (
            "'elsewhere_tasks' is not in INSTALLED_APPS, and workers import 'tasks' of installed apps; add the app "
            "there, or 'elsewhere_tasks.tasks' to OPTIONS['TASK_MODULES']"
        )


def test_a_task_of_a_program_is_told_apart(bakery):
    with naming():
        assert "is defined in a program (__main__), which no worker can import" in causes.why_not_imported("__main__")


def test_what_a_named_module_imports_by_way_of_others_is_no_reason_to_warn(bakery):
    with naming("elsewhere_tasks.tasks"):
        assert causes.why_not_imported("bakery.reached") is None
        assert causes.why_not_imported("bakery.mails") is not None


def test_what_was_imported_while_workers_import_is_no_reason_to_warn(bakery):
    (bakery / "bakery/tasks/lazily.py").write_text("__import__('importlib').import_module('bakery.mails')")
    with naming():
        assert causes.why_not_imported("bakery.mails") is not None
        registry.load()
        assert causes.why_not_imported("bakery.mails") is None


def test_imports_are_followed_in_every_form(bakery):
    for number, line in enumerate(
        ["import bakery.mails", "from bakery import mails", "from .mails import send", "from . import mails as post"]
    ):
        (bakery / f"bakery/way_{number}.py").write_text(f"def later():\n    {line}\n")
        assert reaches([f"bakery.way_{number}"], "bakery.mails"), line
    assert not reaches(["bakery.helpers", "django.db"], "bakery.mails")


def test_a_check_names_the_modules_whose_tasks_no_worker_will_know(bakery):
    with naming():
        import bakery.mails
        import bakery.tasks.bread  # noqa: F401

        messages = [message for message in check_task_modules(None) if "bakery" in message.msg]

    (message,) = messages
    assert (message.id, message.msg) == (
        "gristmill.W006",
        "No worker will know the tasks of bakery.mails: bakery.mails.send.",
    )
    assert "add 'bakery.mails' to OPTIONS['TASK_MODULES']" in message.hint


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bakery.tasks.bread.bake", None),
        (
            "bakery.tasks.bread.backe",
            "bakery.tasks.bread is imported and has no task of that name; where it was renamed",
        ),
        ("bakery.mails.send", "add 'bakery.mails' to OPTIONS['TASK_MODULES']"),
        ("elsewhere_tasks.tasks.far", "'elsewhere_tasks' is not in INSTALLED_APPS"),
        ("nowhere.tasks.send", "no module here defines a task of that name"),
        ("nightly", "no module here defines a task of that name"),
        ("__main__.send", "is defined in a program (__main__)"),
    ],
)
def test_why_a_name_is_unknown_is_said_so_that_it_can_be_mended(bakery, name, words):
    with naming():
        why = causes.why_unknown(name)

    assert why is None if words is None else words in why


def test_a_project_that_cannot_be_imported_is_said_to_be_that(bakery):
    (bakery / "bakery/tasks/bread.py").write_text("import nothing_of_that_name")
    with naming():
        assert "cannot be imported here (ModuleNotFoundError: No module named 'nothing_of" in causes.why_unknown("a.b")


def test_a_module_that_the_setup_imports_is_known_to_workers(tmp_path):
    (tmp_path / "kitchen").mkdir()
    (tmp_path / "kitchen/__init__.py").write_text("")
    (tmp_path / "kitchen/oven.py").write_text(TASK.format(name="heat"))
    (tmp_path / "kitchen/apps.py").write_text(
        "from django.apps import AppConfig\n\nclass Kitchen(AppConfig):\n    name = 'kitchen'\n"
        "    def ready(self):\n        __import__('kitchen.oven')\n"
    )
    code = f"""
import sys; sys.path.insert(0, {str(tmp_path)!r})
from django.conf import settings
settings.configure(INSTALLED_APPS=["gristmill", "kitchen"], TASKS={{"default": {{"BACKEND": {PATH!r}}}}})
import django; django.setup()
from gristmill.tasks.discovery.causes import why_not_imported
print(why_not_imported("kitchen.oven"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "None\n", done.stderr


# -- what can be no task ------------------------------------------------------------------------------------------


def plain():
    return 1


def yields():
    yield 1


async def yields_later():
    yield 1


class Callable:
    def __call__(self):
        return 1

    def method(self):
        return 1


@pytest.mark.parametrize(
    "thing",
    [partial(plain), Callable(), Callable, Callable().method, print, lru_cache(plain), staticmethod(plain)],
    ids=["partial", "object", "class", "method", "builtin", "cached", "staticmethod"],
)
@pytest.mark.parametrize("decorate", [gristmill.task, gristmill.task(priority=1), gristmill.compat.task])
def test_what_is_no_function_of_a_module_is_refused_in_djangos_words(thing, decorate):
    with pytest.raises(InvalidTask, match=r"^Task function must be defined at a module level"):
        decorate(thing)


@pytest.mark.parametrize("function", [yields, yields_later])
def test_a_function_that_yields_is_refused(function):
    with pytest.raises(
        InvalidTask, match=rf"^Task function must return its result, and .*\.{function.__name__} yields"
    ):
        gristmill.task(function)


def test_options_below_the_decorator_say_the_same_of_what_is_no_function():
    with pytest.raises(InvalidTask, match="must be defined at a module level"):
        gristmill.task(gristmill.options(max_attempts=3)(partial(plain)))


TWICE = {
    "a redefinition": TASK.format(name="send") + "\n@gristmill.task\ndef send():\n    return 2\n",
    "two lambdas": "import gristmill\none = gristmill.task(lambda: 1)\nother = gristmill.task(lambda: 2)\n",
    "two wrappers": (
        "import functools, gristmill\n"
        "def by(n):\n    def wrap(f):\n        @functools.wraps(f)\n        def inner(): return f() * n\n"
        "        return inner\n    return wrap\n"
        "def send(): return 1\n"
        "one = gristmill.task(by(1)(send))\nother = gristmill.task(by(2)(send))\n"
    ),
}


@pytest.mark.parametrize("how", list(TWICE))
def test_two_functions_of_one_path_are_refused_naming_both(bakery, how):
    (bakery / "bakery/twice.py").write_text(TWICE[how])

    with pytest.raises(InvalidTask, match=r"^bakery\.twice\.\S+ is the path of two functions, twice\.py:\d+ and twice"):
        __import__("bakery.twice")


def test_a_module_may_be_imported_anew(bakery):
    import importlib

    import bakery.mails

    before = bakery.mails.send
    importlib.reload(bakery.mails)
    assert registry.get("default", "bakery.mails.send") is bakery.mails.send is not before
    del sys.modules["bakery.mails"]
    assert importlib.import_module("bakery.mails").send is registry.get("default", "bakery.mails.send")


def test_one_function_may_be_a_task_twice_and_lambdas_have_names_of_their_own(bakery):
    (bakery / "bakery/twice.py").write_text(
        "import gristmill\ndef send(): return 1\none, other = gristmill.task(send), gristmill.task(priority=5)(send)\n"
        "a = gristmill.task(name='bakery.a')(lambda: 1)\nb = gristmill.task(name='bakery.b')(lambda: 2)\n"
    )
    __import__("bakery.twice")
    assert {"bakery.twice.send", "bakery.a", "bakery.b"} <= set(registry.names())
