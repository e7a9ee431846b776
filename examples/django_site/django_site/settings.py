"""
Settings of the example site: what `startproject` writes, made short, and the lines that Gristmill asks for.

On SQLite by default, on PostgreSQL when DATABASE_URL says so. For your own machine only: the key below is public.
"""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

import django

BASE_DIR = Path(__file__).resolve().parent.parent
VAR = Path(os.environ.get("SITE_VAR", BASE_DIR / "var"))
VAR.mkdir(parents=True, exist_ok=True)

SECRET_KEY = "an example's key is no secret"
DEBUG = os.environ.get("SITE_DEBUG", "1") == "1"
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

INSTALLED_APPS = [
    "photos",
    "office",
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

TASKS = {
    "default": {
        "BACKEND": "gristmill.backend.GristmillBackend",
        "QUEUES": ["default", "pictures", "orders", "mail", "newsletter", "catalogues", "archive"],
    }
}


def database() -> dict[str, object]:
    """PostgreSQL as DATABASE_URL names it, else a SQLite file."""
    url = urlsplit(os.environ.get("DATABASE_URL", ""))
    if url.scheme in ("postgres", "postgresql"):
        return {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": url.hostname or "",
            "PORT": url.port or "",
            "USER": unquote(url.username or ""),
            "PASSWORD": unquote(url.password or ""),
            "NAME": url.path.removeprefix("/"),
        }
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": VAR / "site.sqlite3",
        # A transaction that will write says so when it begins, and waits its turn for up to 20 s.
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20},
    }


DATABASES = {"default": database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

MIDDLEWARE = [
    "django_site.loopback.loopback_only",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "django_site.urls"
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
WSGI_APPLICATION = "django_site.wsgi.application"

USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "static/"
MEDIA_URL = "media/"
MEDIA_ROOT = VAR / "media"

# Mail is written to files: one for each, in var/mail. What is queued first is a job each.
FILES, QUEUED = "django.core.mail.backends.filebased.EmailBackend", "gristmill.mail.QueuedEmailBackend"
if django.VERSION < (6, 1):
    EMAIL_BACKEND, EMAIL_FILE_PATH = FILES, VAR / "mail"
    TASKS["default"]["OPTIONS"] = {"EMAIL": {"backend": FILES, "queue_name": "mail"}}
else:
    MAILERS = {
        "default": {"BACKEND": FILES, "OPTIONS": {"file_path": VAR / "mail"}},
        "queued": {"BACKEND": QUEUED, "OPTIONS": {"using": "default", "queue_name": "mail"}},
    }
