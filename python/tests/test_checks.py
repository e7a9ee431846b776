"""System checks: each misconfiguration has its own message."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.apps import apps
from django.db import connection, connections
from django.test.utils import override_settings

import gristmill
from gristmill import Exponential
from gristmill.checks import check_tables
from gristmill.compat import task_backends
from gristmill.tasks import registry

PATH = "gristmill.backend.GristmillBackend"


def check(**params):
    with override_settings(TASKS={"default": {"BACKEND": PATH, **params}}):
        return {message.id: message for message in task_backends["default"].check()}


def messages(**params):
    with override_settings(TASKS={"default": {"BACKEND": PATH, **params}}):
        return task_backends["default"].check()


def test_a_good_configuration_is_silent():
    worker = {"processes": 4, "grace": 60, "queue": ["mail"], "reload": False}
    queue = {"processes": 2, "prefetch": False, "poll_interval": 0.5, "retention": 0, "defaults": {"timeout": 5}}
    options = {
        "DATABASE": "other",
        "CLOCK": "django",
        "MAX_JSON_BYTES": 1000,
        "WORKER": worker,
        "RETENTION": timedelta(days=3),
        "CALLBACK_TIMEOUT": timedelta(minutes=2),
        "DEFAULTS": {
            "max_attempts": None,
            "backoff": Exponential(),
            "retry_on": ["django.db.utils.OperationalError", ValueError],
        },
        "QUEUES": {"mail": queue},
    }

    assert check() == {}
    assert check(OPTIONS=options, QUEUES=[]) == {}


class Busy(Exception):
    class Very(Exception):
        pass


Known = Busy


def idle(): ...


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("shop.errors.Busy", "which is no class: no module has that name in it"),
        ("tests.test_checks.Bussy", "which is no class: no module has that name in it"),
        ("tests.test_checks.Busy.Hardly", "which is no class: no module has that name in it"),
        ("django.db.OperationalError", "which is another name of 'django.db.utils.OperationalError'; give that one"),
        ("tests.test_checks.Known", "which is another name of 'tests.test_checks.Busy'; give that one"),
        ("tests.test_checks.check", "which is no class of exceptions"),
        ("builtins.int", "which is no class of exceptions"),
        ("tests.app.broken_import.Busy", "which cannot be looked up: ModuleNotFoundError: No module named 'nowhere'"),
        ("builtins.ValueError", None),
        ("tests.test_checks.Busy.Very", None),
        ("tests.test_checks.test.<locals>.Busy", None),
    ],
)
def test_a_path_in_retry_on_that_nothing_can_have_is_told(path, problem, monkeypatch):
    monkeypatch.setitem(registry.tasks, "default", {})
    gristmill.task(name="tests.checks.paths", retry_on=[path])(idle)

    told = [
        message.msg.partition(" has ")
        for options in (
            {},
            {"DEFAULTS": {"retry_on": [path]}},
            {"QUEUES": {"mail": {"defaults": {"retry_on": [path]}}}},
        )
        for message in messages(OPTIONS=options, QUEUES=[])
        if message.id == "gristmill.E014"
    ]

    where = "TASKS['default']['OPTIONS']"
    task = "tests.test_checks.idle"
    owners = [task, f"{where}['DEFAULTS']", task, f"{where}['QUEUES']['mail']['defaults']", task]
    said = f"{path!r} in retry_on, {problem}."
    assert told == ([(owner, " has ", said) for owner in owners] if problem else [])


def test_the_app_must_be_installed(monkeypatch):
    monkeypatch.setattr(apps, "is_installed", lambda name: name != "gristmill")

    message = check()["gristmill.E001"]

    assert message.hint == "Add 'gristmill' to INSTALLED_APPS."


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        ({"DATABSE": "x"}, "gristmill.E002", "unknown key 'DATABSE'"),
        ({"MAX_JSON_BYTES": "big"}, "gristmill.E003", "must be a number of bytes, not 'big'"),
        ({"CLOCK": "wall"}, "gristmill.E003", "must be 'database' or 'django', not 'wall'"),
        ({"OUTSIDE_TRANSACTION": True}, "gristmill.E003", "must be 'refuse' or 'allow', not True"),
        (
            {"CALLBACK_TIMEOUT": 0},
            "gristmill.E003",
            "a number of seconds, from 0.1 to 3,600, not 0",
        ),
        ({"CALLBACK_TIMEOUT": "long"}, "gristmill.E003", "['CALLBACK_TIMEOUT'] must be a timedelta or"),
        ({"WORKER": {"procesess": 1}}, "gristmill.E004", "unknown key 'procesess'"),
        ({"WORKER": {"processes": 0}}, "gristmill.E004", "'processes' must be a whole number from 1 to 1,024, not 0"),
        ({"WORKER": {"once": 1}}, "gristmill.E004", "'once' must be True or False, not 1"),
        ({"WORKER": {"queue": "mail"}}, "gristmill.E004", "'queue' must be a list of queue names, not 'mail'"),
        ({"WORKER": {"label": ""}}, "gristmill.E004", "'label' must be 1 to 200 printable characters"),
        ({"WORKER": {"heartbeat_file": ""}}, "gristmill.E004", "'heartbeat_file' must be the path of a file, not ''"),
        ({"WORKER": {"heartbeat_file": 7}}, "gristmill.E004", "'heartbeat_file' must be the path of a file, not 7"),
        ({"WORKER": []}, "gristmill.E004", "must be a dictionary"),
        ({"RETENTION": "long"}, "gristmill.E004", "['RETENTION'] must be a timedelta or a number of seconds"),
        ({"QUEUES": ["mail"]}, "gristmill.E004", "['QUEUES'] must be a dictionary of queue names, not ['mail']"),
        (
            {"QUEUES": {"default": {"process": 1}}},
            "gristmill.E004",
            "['default'] has an unknown key 'process'",
        ),
        ({"QUEUES": {"default": {"defaults": 3}}}, "gristmill.E004", "must be a dictionary of task options, not 3"),
        (
            {"DEFAULTS": {"max_attempt": 1}},
            "gristmill.E007",
            "unknown option 'max_attempt'; a default may",
        ),
        ({"DEFAULTS": {"name": "a"}}, "gristmill.E007", "unknown option 'name'"),
        ({"DEFAULTS": {"timeout": -1}}, "gristmill.E007", "timeout must be a number of seconds above 0"),
        ({"DEFAULTS": {"backoff": len}}, "gristmill.E007", "a function is given to a task itself"),
        ({"DEFAULTS": 3}, "gristmill.E007", "must be a dictionary of task options, not 3"),
        (
            {"QUEUES": {"default": {"defaults": {"timeout": 0}}}},
            "gristmill.E007",
            "['defaults']: timeout must be",
        ),
        ({"QUEUES": {"mial": {}}}, "gristmill.W003", "is about a queue 'mial' that the backend does not have"),
        ({"DATABASE": "nowhere"}, "gristmill.E005", "names 'nowhere', which is not in DATABASES"),
    ],
)
def test_wrong_options_are_named(options, code, text):
    assert text in check(OPTIONS=options)[code].msg


@gristmill.task(transactional=True)
def pay(order_id):
    return order_id


@override_settings(DATABASE_ROUTERS=["tests.test_enqueue.Router"])
def test_a_transactional_task_whose_queue_is_routed_elsewhere_is_named(monkeypatch):
    monkeypatch.setattr(registry, "tasks", {"default": {pay.task_name: pay}})

    message = check()["gristmill.E008"]

    assert message.msg.startswith("tests.test_checks.pay: transactional=True, but the queue's tables are on database")
    assert message.hint == "Your router sends the app gristmill to that database."


def test_an_unsupported_database_is_named(monkeypatch):
    monkeypatch.setattr(connection, "vendor", "oracle", raising=False)

    message = check()["gristmill.E006"].msg

    assert "Gristmill keeps its queue in PostgreSQL or SQLite, and database 'default' is" in message


@pytest.mark.only_on_postgres
def test_transactional_tasks_below_the_projects_isolation_are_named(monkeypatch):
    from django.db.backends.postgresql.psycopg_any import IsolationLevel

    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {"isolation_level": IsolationLevel.SERIALIZABLE})
    monkeypatch.setattr(registry, "tasks", {"default": {}})
    assert check() == {}
    monkeypatch.setattr(registry, "tasks", {"default": {pay.task_name: pay}})

    message = check()["gristmill.W005"]

    assert message.msg.startswith("Transactional tasks run at READ COMMITTED, not at the SERIALIZABLE of DATABASES")
    assert "tests.test_checks.pay" in message.msg
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {"isolation_level": IsolationLevel.READ_COMMITTED})
    assert check() == {}


def test_a_database_without_autocommit_is_refused(monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "AUTOCOMMIT", False)

    message = check()["gristmill.E011"]

    assert message.msg.startswith("Database 'default' has AUTOCOMMIT off, so nothing that transactional tasks and")
    assert "Leave 'AUTOCOMMIT' out of DATABASES['default']" in message.hint
    assert check(OPTIONS={"DATABASE": "other"}) == {}


def test_deferred_transactions_on_sqlite_are_warned_about_with_the_line_to_add(monkeypatch):
    monkeypatch.setattr(connection, "vendor", "sqlite", raising=False)
    monkeypatch.setattr(type(connections["default"]), "is_in_memory_db", lambda self: False, raising=False)
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {})

    message = check()["gristmill.W001"]

    assert 'DATABASES["default"].setdefault("OPTIONS", {})["transaction_mode"] = "IMMEDIATE"' in message.hint


@pytest.mark.django_db(databases=["default", "other"])
def test_migrated_databases_are_not_warned_about():
    assert check_tables(None, databases=["default", "other"]) == []
    assert check_tables(None) == []


@pytest.mark.django_db(databases=["default", "other"])
def test_an_unmigrated_database_is_warned_about(monkeypatch):
    introspection = type(connections["other"].introspection)
    real = introspection.get_table_list
    monkeypatch.setattr(
        introspection,
        "get_table_list",
        lambda self, cursor: [] if self.connection.alias == "other" else real(self, cursor),
    )

    (message,) = check_tables(None, databases=["default", "other"])

    assert message.id == "gristmill.W002"
    assert message.hint == "Run manage.py migrate --database other."
