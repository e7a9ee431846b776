"""System checks of where the queue is kept: each misconfiguration is told by id, first line and what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder
from django.test.utils import override_settings

from gristmill import checks
from gristmill.checks import check_database, check_served_queues, check_tables, check_use
from gristmill.compat import task_backends
from gristmill.database import check as of_database
from gristmill.database.check import check_place, file_system_of

PATH = "gristmill.backend.GristmillBackend"
LOCAL = "/dev/vda1 / ext4 rw 0 0\n"


class Connection:
    """Settings of a database that is not there."""

    alias = "default"

    def __init__(self, vendor, in_memory=False, **given):
        self.vendor, self.settings_dict, self.in_memory = vendor, given, in_memory

    def is_in_memory_db(self):
        return self.in_memory


def told(messages):
    (message,) = messages
    return message.id, message.msg, message.hint


@pytest.fixture
def mounts(tmp_path, monkeypatch):
    """Writes what is mounted, as Linux would tell it."""

    def write(text):
        path = tmp_path / "mounts"
        path.write_text(LOCAL + text)
        monkeypatch.setattr(of_database, "MOUNTS", path)

    return write


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph"])
def test_a_sqlite_file_on_a_network_share_is_told(mounts, kind):
    mounts(f"server:/export /srv/my\\040share {kind} rw 0 0\n")

    code, said, hint = told(check_place(Connection("sqlite", NAME="/srv/my share/shop/db.sqlite3")))

    assert code == "gristmill.W008"
    assert said.startswith(f"The file of SQLite database 'default' is on a network file system ({kind}), where its")
    assert hint.startswith("Keep it on a local disk of the one host that serves it")


def test_a_sqlite_file_on_a_local_disk_is_fine_also_beside_a_share_and_within_one(mounts):
    mounts("server:/export /srv nfs4 rw 0 0\n/dev/vdb /srv/local xfs rw 0 0\n")

    assert list(check_place(Connection("sqlite", NAME="/srv/local/db.sqlite3"))) == []
    assert list(check_place(Connection("sqlite", NAME="/srving/db.sqlite3"))) == []
    assert file_system_of(Path("/srv/local/db.sqlite3")) == "xfs"


def test_where_nobody_says_what_is_mounted_nothing_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(of_database, "MOUNTS", tmp_path / "nowhere")

    assert list(check_place(Connection("sqlite", NAME="/srv/db.sqlite3"))) == []


def test_a_sqlite_database_in_memory_is_told():
    code, said, hint = told(check_place(Connection("sqlite", in_memory=True, NAME=":memory:")))

    assert code == "gristmill.W009"
    assert said == "SQLite database 'default' is in memory, where no worker can reach its jobs."
    assert hint.startswith("Give DATABASES['default']['NAME'] a file.")


@pytest.mark.parametrize(
    ("given", "sign"),
    [
        ({"PORT": 6432}, "port 6432"),
        ({"PORT": "5432,6432"}, "port 6432"),
        ({"DISABLE_SERVER_SIDE_CURSORS": True}, "DISABLE_SERVER_SIDE_CURSORS"),
        ({"HOST": "aws-0-eu.pooler.supabase.com"}, "host aws-0-eu.pooler.supabase.com"),
        ({"HOST": "ep-cool-rain-1-pooler.eu.aws.neon.tech"}, "host ep-cool-rain-1-pooler.eu.aws.neon.tech"),
        ({"HOST": "pgbouncer"}, "host pgbouncer"),
    ],
)
def test_a_transaction_pooler_is_told(given, sign):
    code, said, hint = told(check_place(Connection("postgresql", **given)))

    assert code == "gristmill.W010"
    assert said == (
        f"Database 'default' seems to be behind a transaction pooler ({sign}), through which workers cannot work."
    )
    assert hint.startswith("Web processes may enqueue through it. Give workers a settings module whose HOST and PORT")


@pytest.mark.parametrize(
    "given", [{}, {"HOST": "db.example.com", "PORT": 5432}, {"HOST": "whirlpooler"}, {"PORT": "16432"}]
)
def test_postgresql_itself_is_fine(given):
    assert list(check_place(Connection("postgresql", **given))) == []


def test_in_tests_a_place_is_not_asked_about_and_elsewhere_it_is(monkeypatch):
    asked = []
    monkeypatch.setattr(checks, "check_place", lambda connection: asked.append(connection.alias) or [])

    list(check_database(task_backends["default"]))
    assert asked == []
    monkeypatch.setattr(checks, "is_in_tests", lambda: False)
    list(check_database(task_backends["default"]))
    assert asked == ["default"]


class Forbidding:
    """Lets nobody make the queue's tables."""

    def allow_migrate(self, db, app_label, **hints):
        return False if app_label == "gristmill" else None


@override_settings(DATABASE_ROUTERS=["tests.test_check_place.Forbidding"])
def test_a_router_that_keeps_the_tables_away_is_told():
    code, said, hint = told(check_database(task_backends["default"]))

    assert code == "gristmill.E017"
    assert said == "The queue is kept on database 'default', where your router does not let migrate make its tables."
    assert "allow the app gristmill on 'default' (allow_migrate)" in hint


class Split:
    """Writes the queue to one database, and makes its tables on another."""

    def db_for_write(self, model, **hints):
        return "other" if model._meta.app_label == "gristmill" else None

    def allow_migrate(self, db, app_label, **hints):
        return db == "default" if app_label == "gristmill" else None


@override_settings(DATABASE_ROUTERS=["tests.test_check_place.Split"])
def test_a_router_that_sends_jobs_and_tables_to_different_databases_is_told():
    code, said, _ = told(check_database(task_backends["default"]))

    assert (code, "on database 'other'" in said) == ("gristmill.E017", True)


def test_a_worker_that_is_to_serve_a_queue_that_is_not_there_is_told():
    worker = {"queue": ["mial"], "exclude_queue": ["repotrs"]}
    with override_settings(TASKS={"default": {"BACKEND": PATH, "QUEUES": ["mail"], "OPTIONS": {"WORKER": worker}}}):
        found = [(each.id, each.msg, each.hint) for each in check_served_queues(task_backends["default"])]

    where = "TASKS['default']['OPTIONS']['WORKER']"
    hint = "TASKS['default']['QUEUES'] names 'mail'."
    assert found == [
        ("gristmill.E018", f"{where}['queue'] names a queue 'mial' that the backend does not have.", hint),
        ("gristmill.W003", f"{where}['exclude_queue'] names a queue 'repotrs' that the backend does not have.", hint),
    ]


def test_an_app_that_no_alias_uses_is_told(monkeypatch):
    monkeypatch.setattr(checks, "is_in_tests", lambda: False)
    assert check_use(None) == []
    theirs = {"default": {"BACKEND": task_backends["not_ours"].__class__.__module__ + ".DummyBackend"}}
    with override_settings(TASKS=theirs):
        code, said, hint = told(check_use(None))

    assert code == "gristmill.W011"
    assert said.startswith("gristmill is in INSTALLED_APPS, and no alias of TASKS uses it: tasks run where they are")
    assert hint == 'Add to the settings: TASKS = {"default": {"BACKEND": "gristmill.backend.GristmillBackend"}}.'


@pytest.mark.django_db(databases=["default", "other"])
def test_tables_that_are_newer_than_the_package_are_told():
    MigrationRecorder(connections["other"]).record_applied("gristmill", "0099_tomorrow")

    code, said, hint = told(check_tables(None, databases=["default", "other"]))

    assert code == "gristmill.W012"
    assert said == (
        "The gristmill tables on database 'other' are newer than this package: it does not know 0099_tomorrow."
    )
    assert hint.startswith("Install the version of gristmill that migrated them here too")


@pytest.mark.django_db(databases=["default", "other"])
def test_tables_that_are_older_than_the_package_are_told(monkeypatch):
    class Found:
        name = "0099_tomorrow"

    known = of_database.pkgutil.iter_modules
    monkeypatch.setattr(of_database.pkgutil, "iter_modules", lambda path: [*known(path), Found])

    code, said, hint = told(check_tables(None, databases=["other"]))

    assert (code, hint) == ("gristmill.W002", "Run manage.py migrate --database other.")
    assert said.endswith("are older than this package: 0099_tomorrow is not applied.")


def test_a_project_without_the_app_is_told_by_manage_py_check_where_nothing_imports_a_model_of_ours(tmp_path):
    settings = (
        "SECRET_KEY = 'only in tests'\nUSE_TZ = True\nINSTALLED_APPS = ['shop']\n"
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'db.sqlite3'}}\n"
        f"TASKS = {{'default': {{'BACKEND': '{PATH}'}}}}\n"
        "import django\nif django.VERSION < (6, 0): INSTALLED_APPS.append('django_tasks')\n"
    )
    (tmp_path / "shop").mkdir()
    (tmp_path / "settings.py").write_text(settings)
    (tmp_path / "shop" / "__init__.py").write_text("")
    (tmp_path / "shop" / "tasks.py").write_text("from gristmill import task\n@task\ndef add(a, b): return a + b\n")
    (tmp_path / "shop" / "models.py").write_text("from shop.tasks import add\n")
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "settings",
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]),
    }

    done = subprocess.run(
        [sys.executable, "-m", "django", "check"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120
    )

    assert done.returncode == 1, done.stdout + done.stderr
    assert "(gristmill.E001) TASKS['default'] uses Gristmill, but its app is not installed." in done.stderr
    assert "HINT: Add 'gristmill' to INSTALLED_APPS." in done.stderr


def test_this_project_has_nothing_to_be_told():
    call_command("check", fail_level="WARNING")
