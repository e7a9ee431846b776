"""System checks: each misconfiguration has its own message."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.apps import apps
from django.db import connection, connections
from django.test.utils import override_settings

import gristmill
from gristmill import Exponential, registry
from gristmill.checks import check_tables
from gristmill.compat import task_backends

PATH = "gristmill.backend.GristmillBackend"


def check(**params):
    with override_settings(TASKS={"default": {"BACKEND": PATH, **params}}):
        return {message.id: message for message in task_backends["default"].check()}


def test_a_good_configuration_is_silent():
    worker = {"processes": 4, "grace": 60, "queue": ["mail"], "reload": False}
    queue = {"processes": 2, "prefetch": False, "poll_interval": 0.5, "retention": 0, "defaults": {"timeout": 5}}
    options = {
        "DATABASE": "other",
        "CLOCK": "django",
        "MAX_JSON_BYTES": 1000,
        "WORKER": worker,
        "RETENTION": timedelta(days=3),
        "DEFAULTS": {"max_attempts": None, "backoff": Exponential(), "retry_on": ["shop.errors.Busy"]},
        "QUEUES": {"mail": queue},
    }

    assert check() == {}
    assert check(OPTIONS=options, QUEUES=[]) == {}


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
        ({"WORKER": {"procesess": 1}}, "gristmill.E004", "unknown key 'procesess'"),
        ({"WORKER": {"processes": 0}}, "gristmill.E004", "'processes' must be a whole number from 1 to 1,024, not 0"),
        ({"WORKER": {"once": 1}}, "gristmill.E004", "'once' must be True or False, not 1"),
        ({"WORKER": {"queue": "mail"}}, "gristmill.E004", "'queue' must be a list of queue names, not 'mail'"),
        ({"WORKER": {"label": ""}}, "gristmill.E004", "'label' must be 1 to 200 printable characters"),
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
