"""Settings of the benchmark's project: database and backend come from the environment."""

import os
from urllib.parse import urlsplit

SECRET_KEY = "benchmark"
USE_TZ = True
DEBUG = False
ALLOWED_HOSTS: list[str] = []

_url = urlsplit(os.environ["BENCH_DATABASE"])
if _url.scheme == "sqlite":
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": _url.path,
            "CONN_MAX_AGE": 600,
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 30,
                "init_command": "pragma journal_mode = wal; pragma synchronous = normal;",
            },
        }
    }
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": _url.hostname,
            "PORT": _url.port,
            "USER": _url.username,
            "PASSWORD": _url.password or "",
            "NAME": _url.path.lstrip("/"),
            "CONN_MAX_AGE": 600,
        }
    }

BACKEND = os.environ.get("BENCH_BACKEND", "gristmill")
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "noop"]
if BACKEND == "gristmill":
    INSTALLED_APPS.append("gristmill")
    TASKS = {"default": {"BACKEND": "gristmill.backend.GristmillBackend"}}
else:
    INSTALLED_APPS.append("django_tasks_db")
    TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
