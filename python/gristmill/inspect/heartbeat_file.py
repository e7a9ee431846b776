"""How old a worker's heartbeat file is: whether that worker still has its lease, without a word to the database."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from gristmill.inspect.problems.problem import Problem
from gristmill.inspect.tables import age, printable
from gristmill.values.bounds import seconds_of

#: The lease of a worker with the default heartbeat, for a file that does not say.
USUAL_LEASE_SECONDS = 60.0
#: A heartbeat is shorter.
MOST_BYTES = 4_096


@dataclass
class Heartbeat:
    """The last heartbeat that a worker wrote down, and what is wrong with it."""

    problems: list[Problem] = field(default_factory=list)
    worker: str | None = None
    seconds_ago: float | None = None

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def in_words(self) -> str:
        """What a person reads where nothing is wrong."""
        return f"Healthy: the last heartbeat was {age(self.seconds_ago or 0.0)} ago."

    def as_json(self) -> dict[str, Any]:
        """Returns it in JSON's types."""
        return {
            "healthy": self.is_healthy,
            "problems": [one.as_json() for one in self.problems],
            "worker": self.worker,
            "heartbeat_seconds_ago": self.seconds_ago,
        }


def last_heartbeat(path: str, most: timedelta | None) -> Heartbeat:
    """Looks at a worker's file; a heartbeat may be as old as `most`, else as the worker's lease is long."""
    found = Heartbeat()
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            # A clock that was set back leaves heartbeats in the future; those that follow are not.
            found.seconds_ago = round(abs(time.time() - os.fstat(file.fileno()).st_mtime), 1)
            told = said_in(file.read(MOST_BYTES))
    except FileNotFoundError:
        why = "its worker has not had its first heartbeat yet, or has ended"
        found.problems.append(problem(f"There is no heartbeat file {printable(path)}: {why}."))
        return found
    except OSError as error:
        found.problems.append(problem(f"Heartbeat file {printable(path)} cannot be read: {error.strerror}."))
        return found
    worker, lease = told.get("worker"), seconds_of(told.get("lease_seconds"))
    found.worker = worker if isinstance(worker, str) else None
    bound = most.total_seconds() if most is not None else lease or USUAL_LEASE_SECONDS
    if found.seconds_ago > bound:
        sentence = f"The last heartbeat was {age(found.seconds_ago)} ago, longer than {age(bound)}."
        found.problems.append(problem(sentence, **({"worker": found.worker} if found.worker else {})))
    return found


def said_in(text: str) -> dict[str, Any]:
    """Returns what a heartbeat says; nothing where somebody else has written the file."""
    try:
        told = json.loads(text)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def problem(sentence: str, **about: str) -> Problem:
    """Returns what is wrong with a heartbeat."""
    return Problem("heartbeat", "error", sentence, about)
