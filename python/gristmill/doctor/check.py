"""
What a check is.

Most are a `RowCheck`: one statement that finds the damaged rows among those of a range of keys of one table, which it
calls `here`. It is asked range by range, and asked again with the keys of what it found. Each statement sees one
moment of the database, and a move is one transaction, so what is on the move is no damage to it. What is not about
the rows of one table is a `Question`.

In the SQL `{key}` stands for the key's columns and `{range}` for the condition on them; `%(now)s` and `%(minute_ago)s`
are the database's time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from gristmill.database.dialects import DIALECTS
from gristmill.values.moments import from_utc

if TYPE_CHECKING:
    from gristmill.doctor.examination import Examination

Key: TypeAlias = tuple[Any, ...]
Details: TypeAlias = dict[str, Any]

#: The key of each table that is walked through.
KEYS = {
    "gristmill_job": ("id",),
    "gristmill_ready": ("id",),
    "gristmill_scheduled": ("id",),
    "gristmill_waiting": ("id",),
    "gristmill_running": ("id",),
    "gristmill_result": ("id",),
    "gristmill_attempt": ("job_id", "token"),
    "gristmill_unique_key": ("key",),
    "gristmill_cancel_request": ("job_id",),
    "gristmill_progress": ("job_id",),
    "gristmill_gate": ("job_id",),
    "gristmill_edge": ("dependent_id", "precondition_id"),
    "gristmill_schedule": ("backend", "name"),
    "gristmill_propagation": ("id",),
    "gristmill_action": ("id",),
}
PLACES = ("ready", "scheduled", "waiting", "running", "result")

#: Rows that a statement looks at, at most.
ROWS = 1_000


@dataclass(frozen=True)
class RowCheck:
    """Finds damaged rows of one table."""

    name: str
    # Which of the twelve invariants it belongs to.
    invariant: str
    # What must be true.
    claim: str
    table: str
    # One text for both databases, or a function of "postgresql" or "sqlite".
    sql: str | Callable[[str], str]
    # What the statement gives after the key.
    columns: tuple[str, ...] = ()
    # What is wrong with one, with the columns' names in braces; or a function that looks more closely, and gives
    # nothing where all is well.
    says: str | Callable[[Details], str | None] = ""
    # The column that names the job; else the first of the key.
    job: str = ""
    warning: bool = False
    # Asked only while a worker lives, whose work it would be.
    needs_worker: bool = False
    # One of those in mending.py.
    mend: str = ""
    rows: int = ROWS

    def statement(self, condition: str, vendor: str) -> str:
        """Returns the SQL for a condition on the key."""
        return of_page(self.sql(vendor) if callable(self.sql) else self.sql, self.table, condition, vendor)

    def finding(self, row: tuple[Any, ...], vendor: str) -> Finding | None:
        """Returns what a row of the answer says, or nothing where a closer look finds it sound."""
        names = KEYS[self.table]
        key = row[: len(names)]
        columns = zip((*names, *self.columns), row, strict=True)
        details = {name: told(name, value, vendor) for name, value in columns}
        sentence = self.says(details) if callable(self.says) else self.says.format(**details)
        if sentence is None:
            return None
        # Somebody's arguments are for a closer look only.
        details.pop("text", None)
        subject = str(details[self.job or names[0]])
        return Finding(self.name, self.invariant, self.warning, key, subject, sentence, details, self.mend)


@dataclass(frozen=True)
class Question:
    """Asks about what is not a row of one table; gives what is wrong, asked once more before it counts."""

    name: str
    invariant: str
    claim: str
    ask: Callable[[Examination], list[Finding]]
    warning: bool = False
    needs_worker: bool = False
    # "postgresql", "sqlite", or any.
    vendor: str = ""

    def finding(self, subject: str, sentence: str, **details: Any) -> Finding:
        """Makes a finding of its own."""
        return Finding(self.name, self.invariant, self.warning, (subject,), subject, sentence, details)


class CannotTell(Exception):
    """A question that has no answer here, with the reason."""


@dataclass
class Finding:
    """Something that is not as it must be."""

    check: str
    invariant: str
    warning: bool
    key: Key
    # A job's id, or what else it is about.
    subject: str
    sentence: str
    details: Details = field(default_factory=dict)
    # How it can be put right; "" where that takes a person.
    mend: str = ""
    # What was done about it.
    mended: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Returns it in JSON's types."""
        return {
            "check": self.check,
            "invariant": self.invariant,
            "severity": "warning" if self.warning else "problem",
            "subject": self.subject,
            "sentence": self.sentence,
            "details": {
                name: value.isoformat() if isinstance(value, datetime) else value
                for name, value in self.details.items()
            },
            "mendable": bool(self.mend),
            "mended": self.mended or None,
        }


def of_page(sql: str, table: str, condition: str, vendor: str) -> str:
    """Returns a check's SQL for one page of its table."""
    key = ", ".join(f"here.{column}" for column in KEYS[table])
    sql = sql.replace("{key}", key)
    if not DIALECTS[vendor].joins_pages:
        return sql.replace("{range}", condition)
    # The limit is what PostgreSQL's planner believes; a range of keys it takes for a third of the table, and would join
    # whole tables for a page.
    page = f"(select * from {table} as here where {condition} order by {key} limit {ROWS})"
    return sql.replace(f"from {table} as here", f"from {page} as here").replace("{range}", "true")


def told(name: str, value: Any, vendor: str) -> Any:
    """Returns a column as people read it: ids in hex, moments as Django has them, whichever database gave it."""
    if value is None:
        return None
    if name == "id" or name.endswith("_id"):
        return getattr(value, "hex", value)
    if name.endswith("_at") and DIALECTS[vendor].keeps_text:
        return from_utc(value)
    return value
