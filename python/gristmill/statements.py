"""
Carries out the engine's own SQL on Django's connections.

Each verb is kept once, in the engine's source, one file a verb and database. Binds are numbered (`$1` on PostgreSQL,
`?1` on SQLite), travel as text, and are cast by the SQL itself.
"""

from __future__ import annotations

import functools
import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.binary import find_binary
from gristmill.schema import dialect_of

_SOURCE = Path(__file__).resolve().parents[2] / "crates" / "store" / "src"
_NUMBERED = {"postgres": re.compile(r"\$(\d+)"), "sqlite": re.compile(r"\?(\d+)")}
# A comment may hold a quote or a number sign that is none.
_COMMENT = re.compile(r"^\s*--.*$", re.MULTILINE)

Row = tuple[Any, ...]


def carry_out(connection: BaseDatabaseWrapper, verb: str, binds: Sequence[Any]) -> list[Row]:
    """Carries out a verb (`cancel`, `hold`, …) in the transaction that is open, and returns its rows."""
    return run(connection, statements_of(dialect_of(connection), verb), binds)


def run(connection: BaseDatabaseWrapper, statements: Sequence[str], binds: Sequence[Any]) -> list[Row]:
    """
    Carries out statements that share numbered binds, and returns all their rows.

    On the driver's own cursor: they are the engine's, not the project's, so they are in nobody's query log or count.
    """
    dialect = dialect_of(connection)
    connection.ensure_connection()
    rows: list[Row] = []
    with (
        connection.wrap_database_errors,
        connection.connection.cursor() if dialect == "postgres" else _Cursor(connection.connection) as cursor,
    ):
        for statement in statements:
            text, numbers = prepared(dialect, statement)
            given: Any
            if dialect == "postgres":
                given = [None if (value := binds[number - 1]) is None else str(value) for number in numbers]
            else:
                given = {f"bind{number}": binds[number - 1] for number in numbers}
            cursor.execute(text, given)
            if cursor.description is not None:
                rows += (tuple(row) for row in cursor.fetchall())
    return rows


class _Cursor:
    """A cursor of SQLite's that is closed at the end, as psycopg's are."""

    def __init__(self, connection: Any) -> None:
        self.cursor = connection.cursor()

    def __enter__(self) -> Any:
        return self.cursor

    def __exit__(self, *about: object) -> None:
        self.cursor.close()


@functools.lru_cache(maxsize=512)
def prepared(dialect: str, statement: str) -> tuple[str, list[int]]:
    """Returns a statement as the driver takes it, with the number of the bind for each of its placeholders."""
    numbers: list[int] = []
    bare = _COMMENT.sub("", statement).strip().rstrip(";")
    numbered = _NUMBERED[dialect]
    if dialect == "sqlite":
        # Named, and given as a dictionary: Python takes a sequence for `?1` no longer, and a dictionary only for names.
        return numbered.sub(r":bind\1", bare), sorted({int(number) for number in numbered.findall(bare)})
    parts: list[str] = []
    end = 0
    for found in numbered.finditer(bare):
        parts += bare[end : found.start()].replace("%", "%%"), "%s"
        numbers.append(int(found[1]))
        end = found.end()
    parts.append(bare[end:].replace("%", "%%"))
    return "".join(parts), numbers


@functools.cache
def statements_of(dialect: str, verb: str) -> list[str]:
    """Returns a verb's statements: from the source tree, else from the `gristmill` executable."""
    source = _SOURCE / dialect / f"{verb}.sql"
    if source.exists():
        return [text for part in source.read_text(encoding="utf-8").split(";\n\n") if (text := part.strip())]
    command = [find_binary(), "sql", "--json", "--dialect", dialect, "--verb", verb]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise RuntimeError(f"gristmill sql could not print the verb {verb}: {answer.stderr.strip()}")
    texts: list[str] = json.loads(answer.stdout)
    return texts
