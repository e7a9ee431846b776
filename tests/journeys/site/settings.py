"""The journeys' project: one app with tasks, on the database that JOURNEY_DATABASE names."""

import json
import os
from urllib.parse import unquote, urlsplit

import django

SECRET_KEY = "only in tests"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["work", "hostile", "goals", "listening", "gristmill"]
INSTALLED_APPS += filter(None, os.environ.get("JOURNEY_APPS", "").split(","))
if django.VERSION < (6, 0):
    INSTALLED_APPS.append("django_tasks")

_url = urlsplit(os.environ["JOURNEY_DATABASE"])
if _url.scheme == "sqlite":
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": _url.path,
            "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20},
        }
    }
else:
    DATABASES = {
        "default": {
            "ENGINE": os.environ.get("JOURNEY_ENGINE", "django.db.backends.postgresql"),
            "OPTIONS": json.loads(os.environ.get("JOURNEY_DATABASE_OPTIONS", "{}")),
            "HOST": os.environ.get("JOURNEY_HOSTS", _url.hostname),
            "PORT": os.environ.get("JOURNEY_PORTS", _url.port),
            "USER": unquote(_url.username or ""),
            "PASSWORD": unquote(_url.password or ""),
            "NAME": _url.path.removeprefix("/"),
        }
    }

TASKS = {
    "default": {
        "BACKEND": "gristmill.backend.GristmillBackend",
        "QUEUES": [],
        "OPTIONS": {
            "SCHEDULES": json.loads(os.environ.get("JOURNEY_SCHEDULES", "{}")),
            **json.loads(os.environ.get("JOURNEY_OPTIONS", "{}")),
        },
    }
}

# For journeys that look at the admin's pages.
if "looking" in INSTALLED_APPS:
    _contrib = ("admin", "auth", "contenttypes", "messages", "sessions")
    INSTALLED_APPS += [f"django.contrib.{name}" for name in _contrib]
    ROOT_URLCONF = "looking.urls"
    MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ]
    _processors = ("django.template.context_processors.request", "django.contrib.auth.context_processors.auth")
    TEMPLATES = [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {"context_processors": [*_processors, "django.contrib.messages.context_processors.messages"]},
        }
    ]
    STATIC_URL = "static/"
