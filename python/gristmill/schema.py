"""
Gristmill's tables, for Django's migrations.

The SQL is kept once, in the engine's source, and shared with programs that migrate without Django. An installed
package asks the `gristmill` executable for it; a source tree reads the files.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from django.apps import AppConfig
from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.utils import NotSupportedError

from gristmill.binary import find_binary

if TYPE_CHECKING:
    from django.db.backends.sqlite3.base import DatabaseWrapper

DIALECTS = {"postgresql": "postgres", "sqlite": "sqlite"}

_SOURCE = Path(__file__).resolve().parents[2] / "crates" / "store" / "migrations"


def dialect_of(connection: BaseDatabaseWrapper) -> str:
    """Returns the engine's word for the database, or raises NotSupportedError with one clear sentence."""
    try:
        return DIALECTS[connection.vendor]
    except KeyError:
        raise NotSupportedError(unsupported(connection)) from None


def unsupported(connection: BaseDatabaseWrapper) -> str:
    """Says that Gristmill cannot use this database, and which it can."""
    return (
        f"Gristmill keeps its queue in PostgreSQL or SQLite, and database '{connection.alias}' is "
        f"{connection.display_name}; name another alias in TASKS[…]['OPTIONS']['DATABASE'] or route the gristmill app"
    )


def statements(dialect: str, migration: str) -> list[str]:
    """Returns the SQL of a migration, one statement an item."""
    source = _SOURCE / dialect / f"{migration}.sql"
    if source.exists():
        return [
            text for part in source.read_text(encoding="utf-8").split(";\n\n") if (text := part.strip().rstrip(";"))
        ]
    command = [find_binary(), "sql", "--json", "--dialect", dialect, migration]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise RuntimeError(f"gristmill sql could not print migration {migration}: {answer.stderr.strip()}")
    texts: list[str] = json.loads(answer.stdout)
    return texts


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
            for statement in statements(dialect_of(schema_editor.connection), self.migration):
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
