"""What a problem is, and what those who look for problems are given."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.inspect.survey import Survey

Level = Literal["error", "warning", "note"]
#: The worst first: work is lost or stands still; it is late or needs a decision; somebody wanted it so.
LEVELS: tuple[Level, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Problem:
    """
    One thing that is wrong, or that somebody has set aside and may forget.

    `kind` is a word for programs. `sentence` reads alone. `about` names what it is about, so that a page can lead
    there: "job", "task", "queue", "schedule", "worker", "state", each with the TASKS alias as "backend".
    """

    kind: str
    level: Level
    sentence: str
    about: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Returns it in JSON's types."""
        return asdict(self)


@dataclass(frozen=True)
class Look:
    """One look at one database."""

    connection: BaseDatabaseWrapper
    # TASKS aliases, each with its QUEUES.
    backends: dict[str, set[str]]
    now: datetime
    survey: Survey

    @property
    def using(self) -> str:
        """The database's alias."""
        return self.connection.alias

    @property
    def living(self) -> set[str]:
        """The TASKS aliases for which a worker lives."""
        return {worker.backend for worker in self.survey.workers if worker.state != "silent"}
