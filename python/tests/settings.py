"""The tests' Django project: on PostgreSQL when DATABASE_URL names a server, else on SQLite."""

import os
import tempfile

import django

from tests.dsn import databases_entry

SECRET_KEY = "tests only"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
# East of Greenwich, so that a moment taken for local time shows.
TIME_ZONE = "Europe/Zurich"
INSTALLED_APPS = [
    "gristmill",
    "tests.app",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
]
# Tables without the steps that led to them: these apps' own tests ask those.
MIGRATION_MODULES = dict.fromkeys(("admin", "auth", "contenttypes", "sessions"))
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "tests.urls"
STATIC_URL = "static/"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
if django.VERSION < (6, 0):
    INSTALLED_APPS.insert(0, "django_tasks")

if os.environ.get("DATABASE_URL"):
    _entry = databases_entry(os.environ["DATABASE_URL"])
    # Two pairs of Python and Django may be tested at once, on one server.
    _name = f"test_gristmill_{os.environ.get('TEST_PAIR', 'alone')}"
    DATABASES = {
        "default": {**_entry, "TEST": {"NAME": _name}},
        "other": {**_entry, "TEST": {"NAME": f"{_name}_other"}},
    }
else:
    # Files, because some tests look through a second connection or start another process.
    DATABASES = {
        alias: {
            "ENGINE": "django.db.backends.sqlite3",
            "OPTIONS": {"transaction_mode": "IMMEDIATE"},
            "TEST": {"NAME": os.path.join(tempfile.gettempdir(), f"gristmill-tests-{os.getpid()}-{alias}.sqlite3")},
        }
        for alias in ("default", "other")
    }

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
