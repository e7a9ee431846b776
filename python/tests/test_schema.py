"""The migration: the engine's own SQL, and models that say the same."""

from __future__ import annotations

import io
import sqlite3
import subprocess

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection, models
from django.db.migrations.executor import MigrationExecutor
from django.db.utils import NotSupportedError

from gristmill.database.dialects import dialect_of, statements_of
from gristmill.database.schema import set_wal
from gristmill.models import Job
from gristmill.values.binary import find_binary
from tests.app.tasks import add


@pytest.mark.django_db
def test_no_migration_is_missing():
    call_command("makemigrations", "gristmill", "--check", "--dry-run", verbosity=0)


@pytest.mark.django_db
def test_every_model_has_the_columns_of_its_table():
    for model in apps.get_app_config("gristmill").get_models():
        with connection.cursor() as cursor:
            columns = connection.introspection.get_table_description(cursor, model._meta.db_table)
        fields = [field for field in model._meta.concrete_fields if not isinstance(field, models.CompositePrimaryKey)]

        assert sorted(column.name for column in columns) == sorted(field.column for field in fields), model
        if model._meta.concrete_model is not Job:
            nullable = {column.name for column in columns if column.null_ok}
            declared = {field.column for field in fields if field.null}
            # A primary key of SQLite's is not declared "not null" though it cannot be null.
            assert nullable - {"id"} == declared, model


@pytest.mark.django_db(transaction=True)
def test_the_migration_can_be_undone_and_done_again():
    try:
        MigrationExecutor(connection).migrate([("gristmill", None)])
        with connection.cursor() as cursor:
            left = {table.name for table in connection.introspection.get_table_list(cursor)}
        assert not {name for name in left if name.startswith("gristmill_")}
    finally:
        MigrationExecutor(connection).migrate([("gristmill", "0001_initial")])

    assert add.get_result(add.enqueue(1).id).args == [1]


@pytest.mark.django_db(transaction=True)
def test_a_flush_empties_the_queue_and_keeps_the_schema():
    add.enqueue(1)

    call_command("flush", interactive=False, verbosity=0)

    assert not Job.objects.exists()
    with connection.cursor() as cursor:
        cursor.execute("select name from gristmill_schema")
        assert cursor.fetchall() == [("0001_initial",)]


@pytest.mark.django_db(transaction=True)
def test_sqlmigrate_shows_the_statements():
    output = io.StringIO()

    call_command("sqlmigrate", "gristmill", "0001", stdout=output)

    assert "create table gristmill_job (" in output.getvalue()
    assert "create view gristmill_jobs as" in output.getvalue()


def test_an_unsupported_database_is_one_sentence(monkeypatch):
    monkeypatch.setattr(connection, "vendor", "oracle")

    with pytest.raises(NotSupportedError, match=r"^Gristmill keeps its queue in PostgreSQL or SQLite, and database "):
        dialect_of(connection)


@pytest.mark.parametrize("dialect", ["postgres", "sqlite"])
def test_every_dialect_has_whole_statements(dialect):
    found = statements_of(dialect, "migrations/0001_initial")

    assert len(found) >= 15
    for statement in found:
        code = [line for line in statement.splitlines() if line and not line.startswith("--")]
        assert code[0].startswith(("create ", "insert ")), statement


def test_the_sqlite_statements_run_without_django():
    database = sqlite3.connect(":memory:")

    for statement in statements_of("sqlite", "migrations/0001_initial"):
        database.execute(statement)

    assert database.execute("select count(*) from gristmill_jobs").fetchone() == (0,)
    database.close()


@pytest.mark.parametrize("dialect", ["postgres", "sqlite"])
def test_the_executable_prints_the_tables_that_django_makes(dialect):
    printed = subprocess.run([find_binary(), "sql", "--dialect", dialect], capture_output=True, text=True, check=True)

    parts = [
        statement for part in ("initial", "routines") for statement in statements_of(dialect, f"migrations/0001_{part}")
    ]
    assert printed.stdout == ";\n\n".join(parts) + ";\n"


@pytest.mark.django_db(transaction=True)
def test_migrate_sets_wal_on_a_sqlite_file_once_and_says_so(capsys):
    if connection.vendor != "sqlite":
        set_wal(apps.get_app_config("gristmill"), using="default")
        assert capsys.readouterr().out == ""
        return
    with connection.cursor() as cursor:
        cursor.execute("pragma journal_mode = delete")
        cursor.fetchall()

    for _ in range(2):
        set_wal(apps.get_app_config("gristmill"), using="default")

    assert capsys.readouterr().out.count("to WAL, so that workers and web processes can share it") == 1
    with connection.cursor() as cursor:
        cursor.execute("pragma journal_mode")
        assert cursor.fetchall() == [("wal",)]
