"""
How long what is called besides handlers may take: OPTIONS["CALLBACK_TIMEOUT"].

That is the receivers of `task_started` and of `task_finished`, each hook of a transactional task's commit, the task's
own backoff function, and reading what was before the attempt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gristmill.values.bounds import seconds_of

NAME = "CALLBACK_TIMEOUT"
#: Seconds.
DEFAULT = 30.0
LEAST, MOST = 0.1, 3600.0
BOUNDS = f"a timedelta or a number of seconds, from {LEAST:g} to {MOST:,.0f}"


def callback_timeout(options: Mapping[str, Any]) -> float:
    """Returns it in seconds; the default for what makes no sense, which the system checks tell."""
    seconds = _bounded(options.get(NAME, DEFAULT))
    return DEFAULT if seconds is None else seconds


def callback_timeout_error(options: Mapping[str, Any]) -> str | None:
    """Says in a sentence what is wrong with it."""
    if _bounded(options.get(NAME, DEFAULT)) is None:
        return f"['{NAME}'] must be {BOUNDS}, not {options[NAME]!r}"
    return None


def _bounded(value: object) -> float | None:
    """Returns a length of time within the bounds in seconds, else None."""
    seconds = seconds_of(value)
    return seconds if seconds is not None and LEAST <= seconds <= MOST else None
