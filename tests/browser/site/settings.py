"""A project whose admin is looked at, on the database that BROWSER_DATABASE names; its policy is in `policy`."""

import json
import os
from urllib.parse import urlsplit

import django

SECRET_KEY = "only in tests"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = [
    "letters",
    "gristmill",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
]
if django.VERSION < (6, 0):
    INSTALLED_APPS.append("django_tasks")
MIDDLEWARE = [
    "policy.StrictPolicy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "urls"
STATIC_URL = "static/"
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
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

_url = urlsplit(os.environ["BROWSER_DATABASE"])
if _url.scheme == "sqlite":
    _database: dict[str, object] = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": _url.path,
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20},
    }
else:
    from tests.dsn import databases_entry

    _database = databases_entry(_url.geturl())
DATABASES = {"default": _database}
TASKS = {
    "default": {
        "BACKEND": "gristmill.backend.GristmillBackend",
        "QUEUES": [],
        "OPTIONS": {"SCHEDULES": json.loads(os.environ.get("BROWSER_SCHEDULES", "{}"))},
    }
}
