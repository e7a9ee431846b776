"""Waiting as tests may: until a condition holds, never longer than it has any right to take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LOOK_SECONDS = 0.02


def wait_for(what: str, condition: Callable[[], T], within: float) -> T:
    """The first true answer; an AssertionError that names what never came."""
    deadline = time.monotonic() + within
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {within:g} s in vain for: {what}")
        time.sleep(LOOK_SECONDS)


def stays(what: str, condition: Callable[[], object], during: float) -> None:
    """Holds at every look for a while."""
    until = time.monotonic() + during
    while time.monotonic() < until:
        assert condition(), f"did not stay true: {what}"
        time.sleep(LOOK_SECONDS)


def pause(seconds: float) -> None:
    """Lets a fault last, or a loop of its own breathe. Never a way to wait for something to happen."""
    time.sleep(seconds)
