"""A project with Django's admin and nothing else, on the one database that PAGES_DATABASE names."""

import os

import django

from tests.dsn import databases_entry

SECRET_KEY = "for measuring only"
ALLOWED_HOSTS = ["testserver"]
USE_TZ = True
ROOT_URLCONF = "pages_urls"
STATIC_URL = "static/"
INSTALLED_APPS = [
    *(["django_tasks"] if django.VERSION < (6, 0) else []),
    "gristmill",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
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
TASKS = {"default": {"BACKEND": "gristmill.backend.GristmillBackend", "QUEUES": []}}

_url = os.environ["PAGES_DATABASE"]
if _url.startswith("sqlite:///"):
    _name = _url.removeprefix("sqlite://")
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": _name, "TEST": {"NAME": _name}}}
else:
    # A database of its own beside the one that is named, made and dropped as tests do.
    DATABASES = {"default": {**databases_entry(_url), "TEST": {"NAME": os.environ["PAGES_NAME"]}}}
