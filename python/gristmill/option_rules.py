"""
The rules of a task's options: what each may be, what it is persisted as, and what holds where nothing is said.

A rule takes what was given and returns it in one form, or raises ValueError with the end of a sentence that begins
with the option's name.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from gristmill import retries
from gristmill.moments import utc_text
from gristmill.preconditions import ON_FAILURE, AtLeast, preconditions
from gristmill.retries import LONGEST
from gristmill.uniqueness import Unique

#: The engine counts with 32 bits.
MOST = 2**31 - 1
MOST_NAME = 200


def seconds(value: Any, *, least: float = 0) -> float:
    """Returns a duration in seconds."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not least <= value <= LONGEST:
        bound = "from 0 up" if not least else "above 0"
        raise ValueError(f"must be a number of seconds {bound} or a timedelta, a hundred years at most")
    return float(value)


def _seconds_or_none(least: float, none: str) -> Callable[[Any], float | None]:
    def rule(value: Any) -> float | None:
        try:
            return None if value is None else seconds(value, least=least)
        except ValueError as error:
            raise ValueError(f"{error}, or None {none}") from None

    return rule


def _moment_or_seconds(least: float, none: str) -> Callable[[Any], float | datetime | None]:
    def rule(value: Any) -> float | datetime | None:
        if isinstance(value, datetime):
            if settings.USE_TZ and value.utcoffset() is None:
                raise ValueError("must be an aware datetime")
            return value
        try:
            return None if value is None else seconds(value, least=least)
        except ValueError:
            bound = "from 0 up" if not least else "above 0"
            raise ValueError(
                f"must be a number of seconds {bound} or a timedelta (after the enqueue), a datetime, or None {none}"
            ) from None

    return rule


def _whole(least: int, none: str) -> Callable[[Any], int | None]:
    def rule(value: Any) -> int | None:
        if value is None:
            return None
        if type(value) is int and value > MOST:
            raise ValueError(f"must be at most {MOST:,}, or None {none}")
        if type(value) is not int or value < least:
            raise ValueError(f"must be a whole number from {least} up, or None {none}")
        return value

    return rule


def _name(value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MOST_NAME or not value.isprintable():
        raise ValueError(f"must be 1 to {MOST_NAME} printable characters")
    return value


def _aliases(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ValueError("must be a list of names")
    return tuple(_name(name) for name in value)


def _backoff(value: Any) -> Any:
    if retries.is_shape(value) or (callable(value) and not inspect.isclass(value)):
        return value
    raise ValueError("must be Exponential(…), Linear(…), Constant(…), or a function (exception, task_result)")


def _retry_on(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    given = [value] if isinstance(value, type) else value
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise ValueError("must be exception classes, or None for every Exception")
    return tuple(_exception_name(one) for one in given)


def _exception_name(one: Any) -> str:
    if isinstance(one, type) and issubclass(one, BaseException):
        return f"{one.__module__}.{one.__qualname__}"
    # Settings cannot always import the class.
    if isinstance(one, str) and "." in one and one.isprintable():
        return one
    raise ValueError("must be exception classes, or None for every Exception")


def _on_crash(value: Any) -> str:
    if value not in ("rerun", "fail"):
        raise ValueError("must be 'rerun' or 'fail'")
    return str(value)


def _unique(value: Any) -> Unique | None:
    if value is None or value is False:
        return None
    if value is True:
        return Unique()
    if isinstance(value, Unique):
        return value
    raise ValueError("must be True, False or gristmill.Unique(…)")


def _transactional(value: Any) -> bool | str:
    if isinstance(value, bool) or (isinstance(value, str) and value):
        return value
    raise ValueError("must be True, False, or the alias of the database that the handler writes to")


def _after_mode(value: Any) -> int | None:
    if value == "all":
        return None
    if value == "any":
        return 1
    if isinstance(value, AtLeast):
        return value.count
    raise ValueError("must be 'all', 'any' or gristmill.at_least(…)")


def _on_precondition_failure(value: Any) -> str:
    if value not in ON_FAILURE:
        raise ValueError("must be 'strand', 'proceed' or 'fail'")
    return str(value)


def _true_or_false(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be True or False")
    return value


RULES: dict[str, Callable[[Any], Any]] = {
    "name": _name,
    "aliases": _aliases,
    "expires": _moment_or_seconds(0.001, "for never"),
    "max_attempts": _whole(1, "for no bound"),
    "backoff": _backoff,
    "retry_on": _retry_on,
    "on_crash": _on_crash,
    "timeout": _seconds_or_none(0.001, "for no limit"),
    "max_memory_mb": _whole(1, "for no limit"),
    "unique": _unique,
    "transactional": _transactional,
    "deadline": _moment_or_seconds(0, "for seven days after it is due"),
    "retention": _seconds_or_none(0, "for as long as the worker keeps results"),
    "max_postpones": _whole(0, "for no bound"),
    "postpone_delay": seconds,
    "after": preconditions,
    "after_mode": _after_mode,
    "on_precondition_failure": _on_precondition_failure,
    "hold": _true_or_false,
    "schedulable": _true_or_false,
}

#: What the engine takes for granted; it is not persisted.
ENGINE_DEFAULTS: dict[str, Any] = {
    "transactional": False,
    "max_attempts": 1,
    "backoff": retries.DEFAULT,
    "retry_on": None,
    "on_crash": "rerun",
    "timeout": None,
    "max_memory_mb": None,
    "expires": None,
    "retention": None,
    "max_postpones": 100,
    "postpone_delay": 5.0,
    "after_mode": None,
    "on_precondition_failure": "strand",
}
#: What the engine calls those options that it has other words for.
PERSISTED_AS = {"after_mode": "needed", "on_precondition_failure": "on_failure"}

#: What OPTIONS["DEFAULTS"] may have. The rest belongs to a single task.
DEFAULTABLE = frozenset(ENGINE_DEFAULTS) - {"transactional", "after_mode"} | {"deadline"}


def checked(option: str, value: Any) -> Any:
    """Returns the value of an option in its one form, or raises ValueError naming the option and the value."""
    try:
        return RULES[option](value)
    except ValueError as error:
        raise ValueError(f"{option} {error}; got {shown(value)}") from None


def shown(value: Any) -> str:
    """Returns a value as errors show it."""
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:299]}…"


def persisted(option: str, value: Any) -> Any:
    """Returns an option's checked value as JSON keeps it."""
    if option == "backoff":
        return retries.plain(value)
    if option == "transactional":
        return bool(value)
    return utc_text(value) if isinstance(value, datetime) else value


def default_errors(given: Any) -> Iterable[str]:
    """Yields one sentence for each thing that is wrong with a set of defaults."""
    if not isinstance(given, dict):
        yield f"must be a dictionary of task options, not {given!r}"
        return
    for name in sorted(given, key=str):
        if name not in DEFAULTABLE:
            yield f"unknown option {name!r}; a default may be given for {', '.join(sorted(DEFAULTABLE))}"
            continue
        try:
            value = checked(name, given[name])
        except ValueError as error:
            yield str(error)
            continue
        if name == "backoff" and not retries.is_shape(value):
            yield "backoff must be Exponential(…), Linear(…) or Constant(…) here; a function is given to a task itself"
