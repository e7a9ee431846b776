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

from gristmill import schema
from gristmill import statements as verbs
from gristmill.binary import BinaryMissing, find_binary
from gristmill.models import Job
from gristmill.schema import dialect_of, set_wal, statements
from tests.app.tasks import add


@pytest.mark.django_db
def test_no_migration_is_missing():
    call_command("makemigrations", "gristmill", "--check", "--dry-run", verbosity=0)


@pytest.mark.django_db
def test_every_model_has_the_columns_of_its_table():
    for model in apps.get_app_config("gristmill").get_models():
        with connection.cursor() as cursor:
            columns = connection.introspection.get_table_description(cursor, model._meta.db_table)
        fields = [field for field in model._meta.local_fields if not isinstance(field, models.CompositePrimaryKey)]

        assert sorted(column.name for column in columns) == sorted(field.column for field in fields), model
        if model is not Job:
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
    found = statements(dialect, "0001_initial")

    assert len(found) >= 15
    for statement in found:
        code = [line for line in statement.splitlines() if line and not line.startswith("--")]
        assert code[0].startswith(("create ", "insert ")), statement


def test_the_sqlite_statements_run_without_django():
    database = sqlite3.connect(":memory:")

    for statement in statements("sqlite", "0001_initial"):
        database.execute(statement)

    assert database.execute("select count(*) from gristmill_jobs").fetchone() == (0,)
    database.close()


def test_an_installed_package_asks_the_executable(monkeypatch, tmp_path):
    asked = []

    def answer(command, **options):
        asked.append(command[1:])
        return subprocess.CompletedProcess(command, 0, '["create table a ()"]', "")

    monkeypatch.setattr(schema, "_SOURCE", tmp_path)
    monkeypatch.setattr(schema, "find_binary", lambda: "gristmill")
    monkeypatch.setattr(schema.subprocess, "run", answer)

    assert statements("sqlite", "0001_initial") == ["create table a ()"]
    assert asked == [["sql", "--json", "--dialect", "sqlite", "0001_initial"]]


@pytest.mark.parametrize("dialect", ["postgres", "sqlite"])
def test_the_executable_prints_what_the_source_says(dialect, monkeypatch, tmp_path):
    try:
        find_binary()
    except BinaryMissing as missing:
        pytest.skip(str(missing))
    source = statements(dialect, "0001_initial")
    monkeypatch.setattr(schema, "_SOURCE", tmp_path)

    assert [text.rstrip(";") for text in statements(dialect, "0001_initial")] == source


@pytest.mark.parametrize("dialect", ["postgres", "sqlite"])
@pytest.mark.parametrize(
    "verb",
    [
        *("cancel", "hand_back", "hold", "pause", "prune", "release", "resume", "retry"),
        *("schedule_define", "schedule_pause", "schedule_remove", "schedule_resume", "tick_by_hand"),
    ],
)
def test_the_executable_prints_each_verb_as_the_source_has_it(verb, dialect, monkeypatch, tmp_path):
    try:
        find_binary()
    except BinaryMissing as missing:
        pytest.skip(str(missing))
    # Past the cache: the second must not be the first's answer.
    ask = verbs.statements_of.__wrapped__
    source = ask(dialect, verb)
    monkeypatch.setattr(verbs, "_SOURCE", tmp_path)

    assert ask(dialect, verb) == source
    assert source


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
