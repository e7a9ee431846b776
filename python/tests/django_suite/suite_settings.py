"""The Django project in which Django's own tests of its Tasks framework run."""

import os
import tempfile

import django

from tests.dsn import databases_entry

SECRET_KEY = "tests only"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["gristmill"]
if django.VERSION < (6, 0):
    INSTALLED_APPS.insert(0, "django_tasks")
# The pairs of Python and Django may be tested at once.
_pair = os.environ.get("TEST_PAIR", "alone")
if os.environ.get("DATABASE_URL"):
    _entry = databases_entry(os.environ["DATABASE_URL"])
    _entry["TEST"] = {"NAME": f"test_gristmill_django_suite_{_pair}"}
else:
    # A file, because some tests ask from an event loop's thread, which an in-memory database would lock out.
    _entry = {
        "ENGINE": "django.db.backends.sqlite3",
        "OPTIONS": {"transaction_mode": "IMMEDIATE"},
        "TEST": {"NAME": os.path.join(tempfile.gettempdir(), f"gristmill-django-suite-{os.getuid()}-{_pair}.sqlite3")},
    }
DATABASES = {"default": _entry}
TASKS = {"default": {"BACKEND": "gristmill.backend.GristmillBackend"}}
