"""How people copy a database: with PostgreSQL's own programs, and in SQLite's own ways."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import postgres
import pytest
from project import Database, copy_database, new_database

TABLES = (
    *("job", "ready", "scheduled", "waiting", "running", "result", "attempt", "unique_key", "gate", "edge"),
    *("propagation", "cancel_request", "progress", "action", "queue", "schedule", "tick", "worker"),
)

#: Whoever copies into tables that are there, leaves out what `migrate` has written into them.
OURS = "gristmill_*"


def contents(database: Database) -> dict[str, list[str]]:
    """Every row of every table of ours."""
    return {
        table: sorted(str(sorted(row.items())) for row in database.rows(f"select * from gristmill_{table}"))
        for table in TABLES
    }


Copier = Callable[[Database, tuple[Database, "str | None"], Path], Database]


def restored_by_psql(original: Database, template: tuple[Database, str | None], folder: Path) -> Database:
    """Its data alone, as a script, into migrated tables."""
    copy = copy_database(template[0], folder, template[1])
    script = program("pg_dump", "--data-only", "--table", OURS, original.url)
    program("psql", "--set", "ON_ERROR_STOP=1", "--quiet", "--dbname", copy.url, given=script)
    return copy


def restored_by_pg_restore(original: Database, template: tuple[Database, str | None], folder: Path) -> Database:
    """Its data alone, as an archive, into migrated tables in one transaction."""
    copy = copy_database(template[0], folder, template[1])
    archive = program("pg_dump", "--format", "custom", "--data-only", "--table", OURS, original.url)
    program("pg_restore", "--data-only", "--single-transaction", "--dbname", copy.url, given=archive)
    return copy


def restored_whole(original: Database, template: tuple[Database, str | None], folder: Path) -> Database:
    """All of it, into nothing."""
    copy = new_database("postgres", folder, template[1])
    archive = program("pg_dump", "--format", "custom", original.url)
    program("pg_restore", "--exit-on-error", "--no-owner", "--dbname", copy.url, given=archive)
    return copy


def dumped_and_read(original: Database, template: tuple[Database, str | None], folder: Path) -> Database:
    """What `.dump` writes, into nothing."""
    return read_into(new_database("sqlite", folder, None), script_of(original))


def dumped_rows_and_read(original: Database, template: tuple[Database, str | None], folder: Path) -> Database:
    """The rows that `.dump` writes, into migrated tables."""
    rows = [line for line in script_of(original) if line.startswith('INSERT INTO "gristmill_')]
    return read_into(copy_database(template[0], folder, template[1]), rows)


def backed_up(original: Database, template: tuple[Database, str | None], folder: Path) -> Database:
    """By `.backup`."""
    copy = new_database("sqlite", folder, None)
    with contextlib.closing(opened(original)) as source, contextlib.closing(opened(copy)) as target:
        source.backup(target)
    return copy


def vacuumed(original: Database, template: tuple[Database, str | None], folder: Path) -> Database:
    """By `vacuum into`, which writes a file without write-ahead logging, as `migrate` has to see."""
    copy = new_database("sqlite", folder, None)
    with contextlib.closing(opened(original)) as source:
        source.execute("vacuum into ?", [path_of(copy)])
    return copy


#: By kind of database; the last is the one that has it hardest.
COPIERS: dict[str, list[Copier]] = {
    "postgres": [restored_whole, restored_by_pg_restore, restored_by_psql],
    "sqlite": [backed_up, vacuumed, dumped_and_read, dumped_rows_and_read],
}


def program(name: str, *arguments: str, given: bytes | None = None) -> bytes:
    """What one of the server's programs prints; the test is left out where there is none that fits the server."""
    binaries = postgres.find_binaries()
    found = binaries / name if binaries and (binaries / name).exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name}")
    done = subprocess.run([found, *arguments], input=given, capture_output=True)
    said = done.stderr.decode(errors="replace")
    if "server version mismatch" in said:
        pytest.skip(said)
    assert done.returncode == 0, said
    return done.stdout


def script_of(database: Database) -> list[str]:
    """What `.dump` writes, statement by statement."""
    with contextlib.closing(opened(database)) as connection:
        return list(connection.iterdump())


def read_into(database: Database, script: list[str]) -> Database:
    """Carries a script out."""
    with contextlib.closing(opened(database)) as connection:
        connection.executescript("\n".join(script))
    return database


def opened(database: Database) -> Any:
    """A connection of SQLite's."""
    return sqlite3.connect(path_of(database), timeout=20)


def path_of(database: Database) -> str:
    """The file of one on SQLite."""
    return urlsplit(database.url).path
