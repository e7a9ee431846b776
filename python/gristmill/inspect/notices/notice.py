"""What is told of failures of one cause."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gristmill.inspect.arguments import arguments_of, is_all_secret
from gristmill.inspect.failures import error_of
from gristmill.inspect.listing.rows import Row
from gristmill.inspect.redacting import HIDDEN
from gristmill.inspect.tables import counted, printable
from gristmill.models import Attempt, JobRow

#: Shorter arguments are words of many sentences; taken out, they would say more than they hide.
LEAST_SECRET = 3
#: Characters of an error that are told.
MOST_OF_AN_ERROR = 300


@dataclass(frozen=True)
class Notice:
    """Failures of one cause; `more`: in this hour there have been more than `count` until now."""

    backend: str
    task_name: str
    # "failed" or "poisoned".
    state: str
    # The line that names the error of the newest, with the values of secret arguments hidden.
    error: str
    # The newest of them.
    job_id: str
    # What `group:` of a search finds all of them by.
    fingerprint: str
    count: int
    more: bool
    # The hour that it is told for, from its beginning.
    hour: datetime

    @property
    def subject(self) -> str:
        """Returns a line for a mail's subject."""
        return printable(f"{self.task_name} {self.state}: {self.error}", 150)

    def __str__(self) -> str:
        since = f"{self.hour:%Y-%m-%d %H:%M %Z}".strip()
        return (
            f"{self.task_name} ({self.backend}) {self.state}: {self.error}\n\n"
            f"{counted(self.count, self.more)} of this cause since {since}.\n"
            "It is told once an hour.\n\n"
            f"The newest:  manage.py gristmill show {self.job_id}\n"
            f"All of them: manage.py gristmill jobs group:{self.fingerprint}\n"
        )


def redacted_error(using: str, row: Row) -> str:
    """Returns the line that tells a job's error, without what is secret of its arguments."""
    asked = JobRow.objects.using(using).filter(pk=row.id).values_list("args", "kwargs", "options").first()
    line = printable(error_of(row), MOST_OF_AN_ERROR)
    if asked is None:
        return line
    if is_all_secret(row.backend, row.task_name, asked[2]):
        last = Attempt.objects.using(using).filter(job_id=row.id).order_by("-token").first()
        return (last and (last.exception_class_path or last.outcome)) or row.state
    for secret in secrets_of(row.backend, row.task_name, *asked):
        line = line.replace(secret, HIDDEN)
    return line


def secrets_of(backend: str, task_name: str, args: Any, kwargs: Any, options: Any) -> list[str]:
    """Returns the texts and numbers in a job's arguments that people may not see, the longest first."""
    shown = arguments_of(backend, task_name, args, kwargs, options)
    whole = arguments_of(backend, task_name, args, kwargs, options, reveal=True)
    if shown is None or whole is None or not shown.is_redacted:
        return []
    hidden = {*leaves([whole.args, whole.kwargs])} - {*leaves([shown.args, shown.kwargs])}
    return sorted((each for each in hidden if len(each) >= LEAST_SECRET), key=len, reverse=True)


def leaves(value: Any) -> Iterator[str]:
    """Yields what is in a value of JSON, as an error would say it."""
    if isinstance(value, (dict, list)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from leaves(each)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


__all__ = ["Notice", "redacted_error"]
