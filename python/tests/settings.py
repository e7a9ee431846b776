"""The tests' Django project, on the database that GRISTMILL_TEST_DATABASE names: sqlite (default) or postgres."""

import os

import django
from django.core.exceptions import ImproperlyConfigured

from tests.dsn import databases_entry

SECRET_KEY = "tests only"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
# East of Greenwich, so that a moment taken for local time shows.
TIME_ZONE = "Europe/Zurich"
INSTALLED_APPS = ["gristmill", "tests.app"]
if django.VERSION < (6, 0):
    INSTALLED_APPS.insert(0, "django_tasks")

if os.environ.get("GRISTMILL_TEST_DATABASE", "sqlite") == "postgres":
    if not os.environ.get("GRISTMILL_TEST_POSTGRES"):
        raise ImproperlyConfigured(
            "tests on PostgreSQL need a server: set GRISTMILL_TEST_POSTGRES to its DSN, "
            "like postgres://postgres@127.0.0.1:5432/postgres; `make test` starts one"
        )
    _entry = databases_entry(os.environ["GRISTMILL_TEST_POSTGRES"])
    DATABASES = {"default": _entry, "other": {**_entry, "TEST": {"NAME": "test_gristmill_other"}}}
    _entry["TEST"] = {"NAME": "test_gristmill"}
else:
    _entry = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:", "OPTIONS": {"transaction_mode": "IMMEDIATE"}}
    DATABASES = {"default": _entry, "other": dict(_entry)}

TASKS = {
    "default": {
        "BACKEND": "gristmill.backend.GristmillBackend",
        "QUEUES": ["default", "mail"],
    },
    "any_queue": {
        "BACKEND": "gristmill.backend.GristmillBackend",
        "QUEUES": [],
    },
    "elsewhere": {
        "BACKEND": "gristmill.backend.GristmillBackend",
        "OPTIONS": {"DATABASE": "other"},
    },
    "not_ours": {
        "BACKEND": "django.tasks.backends.dummy.DummyBackend"
        if django.VERSION >= (6, 0)
        else "django_tasks.backends.dummy.DummyBackend",
    },
}
