"""Tests without migrations have the same tables: `--nomigrations`, `MIGRATION_MODULES`, `TEST["MIGRATE"]`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection, router

from gristmill.database.dialects import dialect_of
from gristmill.database.schema import lay_tables
from gristmill.database.statements import carry_out
from gristmill.models import Job
from gristmill.testing import run_jobs
from tests.app.tasks import add

ROOT = Path(__file__).resolve().parents[2]
HERE = "python/tests/test_unmigrated.py"
KEPT = ROOT / "crates" / "store" / "schema"

#: What a project may say, as settings and as options of pytest.
WAYS = {
    "nomigrations": ("", ["--nomigrations"]),
    "modules": ("MIGRATION_MODULES = {'gristmill': None}", []),
    "migrate": ("for each in DATABASES.values(): each['TEST']['MIGRATE'] = False", []),
}


@pytest.mark.django_db
def test_the_tables_are_the_engines_own():
    found = "".join(f"{line}\n" for (line,) in carry_out(connection, "schema_dump", []))

    assert found == (KEPT / f"{dialect_of(connection)}.sql").read_text()


@pytest.mark.django_db(transaction=True)
def test_a_job_runs_before_and_after_a_flush():
    for number in (1, 2):
        add.enqueue(number)
        assert run_jobs().successful == 1
        call_command("flush", interactive=False, verbosity=0)

    assert not Job.objects.exists()


@pytest.mark.parametrize("way", WAYS)
def test_without_migrations_the_tables_are_the_same_and_jobs_run(way, tmp_path):
    said, options = WAYS[way]
    (tmp_path / "unmigrated.py").write_text(f"from tests.settings import *\n{said}\n")
    pair = f"{os.environ.get('TEST_PAIR', 'alone')}_{way}_{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "DJANGO_"))}
    env |= {"TEST_PAIR": pair, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT / 'python'}"}
    asked = [
        f"{HERE}::{test.__name__}"
        for test in (test_the_tables_are_the_engines_own, test_a_job_runs_before_and_after_a_flush)
    ]

    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--ds", "unmigrated", *options, *asked]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


@pytest.fixture
def unmigrated(settings):
    """As if the app had no migrations and `migrate` had just made tables from its models."""
    settings.MIGRATION_MODULES = {"gristmill": None}
    with connection.cursor() as cursor:
        cursor.execute("drop table gristmill_schema")


def lay() -> bool:
    """Whether tables are laid."""
    lay_tables(apps.get_app_config("gristmill"), using="default")
    with connection.cursor() as cursor:
        return "gristmill_schema" in {table.name for table in connection.introspection.get_table_list(cursor)}


@pytest.mark.django_db
def test_tables_that_hold_rows_are_left_alone(unmigrated):
    add.enqueue(1)

    assert not lay()
    assert Job.objects.count() == 1


@pytest.mark.django_db
def test_a_database_that_the_app_is_not_routed_to_is_left_alone(unmigrated, monkeypatch):
    monkeypatch.setattr(router, "allow_migrate", lambda *args, **hints: False)

    assert not lay()


@pytest.mark.django_db
def test_an_app_with_migrations_is_left_alone(unmigrated, settings):
    settings.MIGRATION_MODULES = {}

    assert not lay()
