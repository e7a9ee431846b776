"""
How long a job waits before it is tried again.

A task's `backoff` is one of these shapes, or a function `(exception, task_result) -> seconds`; the function may also
return a timedelta, or None to give up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, TypeAlias

from gristmill.values.bounds import LONGEST, seconds_of

BackoffFunction: TypeAlias = "Callable[[BaseException, Any], float | timedelta | None]"


def _seconds(shape: Any, name: str) -> None:
    value = getattr(shape, name)
    if isinstance(value, timedelta):
        object.__setattr__(shape, name, value.total_seconds())
    _bounded(shape, name, 0, LONGEST)


def _bounded(shape: Any, name: str, least: float, most: float) -> None:
    value = getattr(shape, name)
    number = None if isinstance(value, timedelta) else seconds_of(value)
    if number is None or not least <= number <= most:
        what = "a number of seconds" if most == LONGEST else "a number"
        raise ValueError(f"{type(shape).__name__}: {name} must be {what} from {least:,} to {most:,.0f}; got {value!r}")
    object.__setattr__(shape, name, number)


@dataclass(frozen=True)
class Exponential:
    """
    Waits `base` seconds, then `factor` times as long each time, at most `max`.

    Up to the part `jitter` (0 to 1) of each wait is added by chance, so that jobs that failed together do not return
    together. Raises ValueError for numbers out of bounds.
    """

    base: float | timedelta = 5.0
    factor: float = 2.0
    max: float | timedelta = 3600.0
    jitter: float = 0.1

    def __post_init__(self) -> None:
        _seconds(self, "base")
        _seconds(self, "max")
        _bounded(self, "factor", 1, 1e6)
        _bounded(self, "jitter", 0, 1)


@dataclass(frozen=True)
class Linear:
    """Waits `step` seconds, then twice, then three times as long. Raises ValueError for a step out of bounds."""

    step: float | timedelta

    def __post_init__(self) -> None:
        _seconds(self, "step")


@dataclass(frozen=True)
class Constant:
    """Waits the same `seconds` each time. Raises ValueError for seconds out of bounds."""

    seconds: float | timedelta

    def __post_init__(self) -> None:
        _seconds(self, "seconds")


Shape: TypeAlias = "Exponential | Linear | Constant"
Backoff: TypeAlias = "Shape | BackoffFunction"

KINDS: dict[type[Any], str] = {Exponential: "exponential", Linear: "linear", Constant: "constant"}
#: What holds where nothing is said.
DEFAULT = Exponential()


def is_shape(value: Any) -> bool:
    """Tells whether this is one of the shapes."""
    return type(value) in KINDS


def plain(backoff: Any) -> dict[str, Any]:
    """Returns a backoff as it is persisted; of a function only that there is one."""
    kind = KINDS.get(type(backoff))
    if kind is None:
        return {"kind": "callable"}
    return {"kind": kind, **{field.name: getattr(backoff, field.name) for field in fields(backoff)}}


__all__ = ["Backoff", "BackoffFunction", "Constant", "Exponential", "Linear"]
