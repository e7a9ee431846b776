"""
Carries out the engine's own SQL on Django's connections.

Binds are numbered (`$1` on PostgreSQL, `?1` on SQLite), travel as text, and are cast by the SQL itself.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.database.dialects import Dialect, about, dialect_of, statements_of

# A comment may hold a quote or a number sign that is none.
_COMMENT = re.compile(r"^\s*--.*$", re.MULTILINE)

Row = tuple[Any, ...]


def carry_out(connection: BaseDatabaseWrapper, verb: str, binds: Sequence[Any]) -> list[Row]:
    """
    Carries out a verb (`cancel`, `hold`, …) in the transaction that is open, and returns its rows.

    Raises TransactionManagementError, as the ORM does, where that transaction is marked for rollback.
    """
    # Asked here, as `run` goes around Django's cursor, which asks: what is done now would be undone without a word.
    connection.validate_no_broken_transaction()
    return run(connection, statements_of(dialect_of(connection), verb), binds)


def run(connection: BaseDatabaseWrapper, statements: Sequence[str], binds: Sequence[Any]) -> list[Row]:
    """
    Carries out statements that share numbered binds, and returns all their rows.

    On the driver's own cursor: they are the engine's, not the project's, so they are in nobody's query log or count.
    """
    dialect = about(connection)
    connection.ensure_connection()
    rows: list[Row] = []
    with connection.wrap_database_errors, closing(connection.connection.cursor()) as cursor:
        for statement in statements:
            text, numbers = prepared(dialect, statement)
            given: Any
            if dialect.takes_names:
                given = {f"bind{number}": binds[number - 1] for number in numbers}
            else:
                given = [None if (value := binds[number - 1]) is None else str(value) for number in numbers]
            cursor.execute(text, given)
            if cursor.description is not None:
                rows += (tuple(row) for row in cursor.fetchall())
    return rows


def ask(connection: BaseDatabaseWrapper, verb: str, binds: Sequence[Any]) -> list[Row]:
    """
    Carries out a verb as a query of the project's: on Django's cursor, so that it is logged and counts as one.

    Of a verb of several statements, that is the first that takes binds; the others are carried out around it.
    """
    connection.validate_no_broken_transaction()
    statements = _asked(about(connection), verb)
    rows: list[Row] = []
    with connection.cursor() as cursor:
        for statement, text, numbers in statements:
            if text is None:
                rows += run(connection, [statement], binds)
                continue
            cursor.execute(text, [binds[number - 1] for number in numbers])
            if cursor.description is not None:
                rows += cursor.fetchall()
    return rows


@functools.cache
def _asked(dialect: Dialect, verb: str) -> list[tuple[str, str | None, list[int]]]:
    """Returns a verb's statements; the one for Django's cursor with its text for that, and the number of each bind."""
    found: list[tuple[str, str | None, list[int]]] = []
    is_first = True
    for statement in statements_of(dialect.name, verb):
        text, numbers = _positional(dialect, statement)
        found.append((statement, text if numbers and is_first else None, numbers))
        is_first = is_first and not numbers
    return found


@functools.lru_cache(maxsize=512)
def prepared(dialect: Dialect, statement: str) -> tuple[str, list[int]]:
    """Returns a statement as the driver takes it, with the number of the bind for each of its placeholders."""
    if dialect.takes_names:
        bare, numbered = _bare(statement), dialect.numbered
        # Named, and given as a dictionary: Python takes a sequence for `?1` no longer, and a dictionary only for names.
        return numbered.sub(r":bind\1", bare), sorted({int(number) for number in numbered.findall(bare)})
    return _positional(dialect, statement)


def _bare(statement: str) -> str:
    return _COMMENT.sub("", statement).strip().rstrip(";")


def _positional(dialect: Dialect, statement: str) -> tuple[str, list[int]]:
    """Returns a statement with `%s` for each placeholder, and the numbers of their binds."""
    numbers: list[int] = []
    bare = _bare(statement)
    parts: list[str] = []
    end = 0
    for found in dialect.numbered.finditer(bare):
        parts += bare[end : found.start()].replace("%", "%%"), "%s"
        numbers.append(int(found[1]))
        end = found.end()
    parts.append(bare[end:].replace("%", "%%"))
    return "".join(parts), numbers
