"""
The databases that the engine knows, what sets one apart from the others, and its SQL for each.

A verb or migration is kept once, one file a database, which the executable has in it and this package beside it.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import NotSupportedError


class Dialect(NamedTuple):
    """What sets one database apart from the others; whatever depends on the database asks for one of these."""

    # The engine's word for it: the folder of its SQL.
    name: str
    # How the SQL numbers its binds.
    numbered: re.Pattern[str]
    # Its driver takes them by name, and as they are; else in order, as text.
    takes_names: bool
    # What begins a transaction that may write.
    begin: str
    # It has a clock of its own, which statements read; else the time is this machine's, and is bound.
    has_a_clock: bool
    # It keeps moments as UTC text.
    keeps_text: bool
    # A session has settings of one's own, by which a transaction can be told from another.
    has_settings: bool
    # After an error a transaction takes nothing but its rollback, and the connection says so.
    breaks_off: bool
    # Its planner joins a page of rows against what there is of another table; else it looks through that for each.
    joins_pages: bool


#: By Django's word for each.
DIALECTS = {
    "postgresql": Dialect(
        name="postgres",
        numbered=re.compile(r"\$(\d+)"),
        takes_names=False,
        begin="begin",
        has_a_clock=True,
        keeps_text=False,
        has_settings=True,
        breaks_off=True,
        joins_pages=True,
    ),
    "sqlite": Dialect(
        name="sqlite",
        numbered=re.compile(r"\?(\d+)"),
        takes_names=True,
        begin="begin immediate",
        has_a_clock=False,
        keeps_text=True,
        has_settings=False,
        breaks_off=False,
        joins_pages=False,
    ),
}
# Where the store has them in the source tree; what is installed has them beside it, put together already.
_TREE, _PACKAGE = Path(__file__).parents[3] / "crates/store/sql", Path(__file__).parents[1] / "sql"
_FILES = _TREE if _TREE.is_dir() else _PACKAGE
# A part that a file names: `{place}`, or `{job.place}` for that list of columns, each of `job`.
_PART = re.compile(r"\{(?:(\w+)\.)?(\w+)\}")
# What a file of several statements says in its first line.
_SEVERAL = re.compile(r"-- statements: (\d+)(?:, packed)?\n")


def about(connection: BaseDatabaseWrapper) -> Dialect:
    """Returns what sets the database apart, or raises NotSupportedError with one clear sentence."""
    try:
        return DIALECTS[connection.vendor]
    except KeyError:
        raise NotSupportedError(unsupported(connection)) from None


def dialect_of(connection: BaseDatabaseWrapper) -> str:
    """Returns the engine's word for the database, or raises NotSupportedError with one clear sentence."""
    return about(connection).name


def unsupported(connection: BaseDatabaseWrapper) -> str:
    """Says that Gristmill cannot use this database, and which it can."""
    return (
        f"Gristmill keeps its queue in PostgreSQL or SQLite, and database '{connection.alias}' is "
        f"{connection.display_name}; name another alias in TASKS[…]['OPTIONS']['DATABASE'] or route the gristmill app"
    )


@functools.cache
def statements_of(dialect: str, name: str) -> list[str]:
    """
    Returns the statements of a file: a verb's, or a migration's (`migrations/0001_initial`).

    As the store's build.rs puts them together: what a file names in braces is a part, which stands once beside it.
    """
    text = (_FILES / dialect / f"{name}.sql").read_text(encoding="utf-8")
    if "/" not in name:
        # Migrations name no parts: what has been applied stays what it was.
        text = _expanded(text, dialect)
    several = _SEVERAL.match(text)
    if several is None:
        return [text.strip().rstrip(";")]
    statements = [statement for part in text.split(";\n\n") if (statement := part.strip().rstrip(";"))]
    if len(statements) != int(several[1]):
        raise RuntimeError(f"{dialect}/{name}.sql declares {several[1]} statements and has {len(statements)}")
    return statements


def _expanded(text: str, dialect: str) -> str:
    """A text with the parts that it names, each as far in as it is named. What a comment says in braces is no part."""
    return "".join(
        line if line.lstrip().startswith("--") else _PART.sub(functools.partial(_part, line, dialect), line)
        for line in text.splitlines(keepends=True)
    )


def _part(line: str, dialect: str, named: re.Match[str]) -> str:
    alias, name = named.groups()
    for folder in (_FILES / dialect / "parts", _FILES / dialect, _FILES / "parts"):
        if (path := folder / f"{name}.sql").exists():
            break
    else:
        return named[0]
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    while lines and lines[0].startswith("--"):
        del lines[0]
    part = _expanded("".join(lines).strip().rstrip(";"), dialect)
    if alias:
        part = ", ".join(f"{alias}.{column}" for column in part.split(", "))
    return part.replace("\n", "\n" + line[: len(line) - len(line.lstrip())])
