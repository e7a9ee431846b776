"""
Gristmill's tables, for Django's migrations.

The SQL is kept once, and shared with programs that migrate without Django.
"""

import sys
from typing import TYPE_CHECKING, Any, cast

from django.apps import AppConfig
from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from gristmill.database.dialects import dialect_of, statements_of

if TYPE_CHECKING:
    from django.db.backends.sqlite3.base import DatabaseWrapper

#: The newest migration that this package knows.
SCHEMA_VERSION = 1


class RunStatements(Operation):
    """A migration operation that runs the SQL of one number on the databases that Gristmill is routed to."""

    reduces_to_sql = True
    reversible = True

    def __init__(self, migration: str, *, drop: dict[str, list[str]]) -> None:
        self.migration = migration
        self.drop = drop

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """Names the arguments that rebuild this operation."""
        return type(self).__qualname__, [self.migration], {"drop": self.drop}

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Changes nothing: the models are declared by operations beside this one."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Runs the statements."""
        if router.allow_migrate(schema_editor.connection.alias, app_label):
            for statement in statements_of(dialect_of(schema_editor.connection), f"migrations/{self.migration}"):
                schema_editor.execute(statement, params=None)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Drops everything that the statements made."""
        if router.allow_migrate(schema_editor.connection.alias, app_label):
            for statement in self.drop[dialect_of(schema_editor.connection)]:
                schema_editor.execute(statement, params=None)

    def describe(self) -> str:
        """Says what `migrate` shows."""
        return f"Run Gristmill's SQL {self.migration}"


def lay_tables(sender: AppConfig, using: str, **kwargs: Any) -> None:
    """
    Lays Gristmill's own tables, after a `migrate` for which the app has no migrations, where Django has made others.

    Tests may do without migrations (`pytest --nomigrations`, `MIGRATION_MODULES`, `TEST["MIGRATE"]`); then Django makes
    tables from the models, which have no triggers, no defaults and no view. Where they hold rows they are left alone.
    """
    module, _ = MigrationLoader.migrations_module(sender.label)
    if module is not None or not router.allow_migrate(using, sender.label):
        return
    connection = connections[using]
    with transaction.atomic(using=using), connection.cursor() as cursor:
        found = {table.name for table in connection.introspection.get_table_list(cursor)}
        if "gristmill_job" not in found or "gristmill_schema" in found:
            return
        made = [model for model in sender.get_models() if model._meta.managed and model._meta.db_table in found]
        if any(model._default_manager.using(using).exists() for model in made):
            return
        for model in made:
            cursor.execute(f"drop table {model._meta.db_table}")
        for part in ("0001_initial", "0001_routines"):
            for statement in statements_of(dialect_of(connection), f"migrations/{part}"):
                cursor.execute(statement)


def set_wal(sender: AppConfig, using: str, verbosity: int = 1, **kwargs: Any) -> None:
    """
    Switches a SQLite file to write-ahead logging after `migrate`, and says so.

    In its other journal modes readers and writers shut each other out, so that web processes and workers fail
    with "database is locked". The mode is kept in the file, and cannot be set inside a transaction.
    """
    connection = connections[using]
    if connection.vendor != "sqlite" or not router.allow_migrate(using, sender.label):
        return
    if is_in_memory(connection) or connection.in_atomic_block:
        return
    with connection.cursor() as cursor:
        cursor.execute("pragma journal_mode")
        if cursor.fetchall() == [("wal",)]:
            return
        cursor.execute("pragma journal_mode = wal")
        ((mode,),) = cursor.fetchall()
    name = connection.settings_dict["NAME"]
    if mode != "wal":
        sys.stderr.write(f"gristmill: {name} stays in journal mode {mode}; workers need WAL and will refuse to start\n")
    elif verbosity >= 1:
        sys.stdout.write(f"  gristmill: switched {name} to WAL, so that workers and web processes can share it\n")


def is_in_memory(connection: BaseDatabaseWrapper) -> bool:
    """Tells whether this is a SQLite database without a file, which no other process can reach."""
    return connection.vendor == "sqlite" and cast("DatabaseWrapper", connection).is_in_memory_db()


def tables_exist(connection: BaseDatabaseWrapper) -> bool:
    """Tells whether `migrate` has made the tables on this database."""
    with connection.cursor() as cursor:
        return any(table.name == "gristmill_job" for table in connection.introspection.get_table_list(cursor))
