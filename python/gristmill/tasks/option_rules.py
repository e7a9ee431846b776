"""
The rules of task options: what each may be. `gristmill.tasks.options` has the options.

A rule takes what was given and returns it in one form, or raises ValueError with the end of a sentence that begins
with the option's name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from gristmill.tasks.backoff import is_shape
from gristmill.tasks.preconditions import ON_PRECONDITION_FAILURE, AtLeast
from gristmill.tasks.uniqueness import Unique
from gristmill.values import bounds
from gristmill.values.bounds import seconds

#: The engine counts with 32 bits.
MOST = 2**31 - 1
MOST_NAME = 200
#: They are stored with every job.
MOST_SECRETS = 50


def seconds_or_none(least: float, none: str) -> Callable[[Any], float | None]:
    """Makes the rule of a length of time; `none` says what None means."""

    def rule(value: Any) -> float | None:
        try:
            return None if value is None else seconds(value, least=least)
        except ValueError as error:
            raise ValueError(f"{error}, or None {none}") from None

    return rule


def moment_or_seconds(least: float, none: str) -> Callable[[Any], float | datetime | None]:
    """Makes the rule of a moment, which may also be told as a length of time after the enqueue."""

    def rule(value: Any) -> float | datetime | None:
        if isinstance(value, datetime):
            return bounds.moment(value)
        try:
            return None if value is None else seconds(value, least=least)
        except ValueError:
            bound = "from 0 up" if not least else "above 0"
            raise ValueError(
                f"must be a number of seconds {bound} or a timedelta (after the enqueue, a hundred years at most), "
                f"a datetime, or None {none}"
            ) from None

    return rule


def whole(least: int, none: str) -> Callable[[Any], int | None]:
    """Makes the rule of a whole number."""

    def rule(value: Any) -> int | None:
        if value is None:
            return None
        if type(value) is int and value > MOST:
            raise ValueError(f"must be at most {MOST:,}, or None {none}")
        if type(value) is not int or value < least:
            raise ValueError(f"must be a whole number from {least} up, or None {none}")
        return value

    return rule


def task_name(value: Any) -> str:
    """A name under which jobs are stored."""
    if not isinstance(value, str) or not 1 <= len(value) <= MOST_NAME or not value.isprintable():
        raise ValueError(f"must be 1 to {MOST_NAME} printable characters")
    return value


def task_names(value: Any) -> tuple[str, ...]:
    """Several of them."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ValueError("must be a list of names")
    return tuple(task_name(one) for one in value)


def shape_or_function(value: Any) -> Any:
    """A backoff."""
    if is_shape(value) or (callable(value) and not inspect.isclass(value)):
        return value
    raise ValueError("must be Exponential(…), Linear(…), Constant(…), or a function (exception, task_result)")


def exception_classes(value: Any) -> tuple[str, ...] | None:
    """Classes of exceptions, by their names."""
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


def unique(value: Any) -> Unique | None:
    """Whether jobs are unique, and by what."""
    if value is None or value is False:
        return None
    if value is True:
        return Unique()
    if isinstance(value, Unique):
        return value
    raise ValueError("must be True, False or gristmill.Unique(…)")


def transactional(value: Any) -> bool | str:
    """Whether a handler's writes and its job's end are one commit, and where it writes."""
    if isinstance(value, bool) or (isinstance(value, str) and value):
        return value
    raise ValueError("must be True, False, or the alias of the database that the handler writes to")


def how_many(value: Any) -> int | None:
    """How many of its preconditions a job waits for; None is all of them."""
    if value == "all":
        return None
    if value == "any":
        return 1
    if isinstance(value, AtLeast):
        return value.count
    raise ValueError("must be 'all', 'any' or gristmill.at_least(…)")


def redact(value: Any) -> bool | tuple[str, ...] | None:
    """Which arguments are secret, by their names: True for all, None for none."""
    if value is None or isinstance(value, bool):
        return value or None
    is_list = isinstance(value, Iterable) and not isinstance(value, (str, bytes))
    given = tuple(dict.fromkeys(value)) if is_list else ()
    if not is_list or len(given) > MOST_SECRETS or not all(isinstance(each, str) and each for each in given):
        raise ValueError(f"must be names of arguments, {MOST_SECRETS} at most, True for all of them, or None for none")
    return given or None


def one_of(*words: str) -> Callable[[Any], str]:
    """Makes the rule of a choice."""
    listed = f"{', '.join(map(repr, words[:-1]))} or {words[-1]!r}"

    def rule(value: Any) -> str:
        if value not in words:
            raise ValueError(f"must be {listed}")
        return str(value)

    return rule


def for_days(value: Any) -> float:
    """A length of time of some days."""
    length = seconds(value)
    # Workers look at a job's last thousand attempts, one in ten minutes.
    if length > 5 * 86_400:
        raise ValueError("must be at most five days")
    return length


def true_or_false(value: Any) -> bool:
    """A flag."""
    if not isinstance(value, bool):
        raise ValueError("must be True or False")
    return value


on_crash = one_of("rerun", "fail")
on_precondition_failure = one_of(*ON_PRECONDITION_FAILURE)


def shown(value: Any) -> str:
    """Returns a value as errors show it."""
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:299]}…"
