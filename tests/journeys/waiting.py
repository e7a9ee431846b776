"""
Waiting as tests may: until a condition holds, never longer than it has any right to take.

A test says how long that is where nothing else runs; PATIENCE (4 without it) is how many times that is waited here,
since a neighbour that takes a core is no fault of ours. PATIENCE=1 on a quiet machine holds us to our word.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# Between two looks, at first and at most.
LOOK_SECONDS, LONGEST_SECONDS = 0.01, 0.1
PATIENCE = float(os.environ.get("PATIENCE", "4"))


def wait_for(what: str, condition: Callable[[], T], within: float) -> T:
    """The first true answer; an AssertionError that names what never came."""
    deadline = time.monotonic() + within * PATIENCE
    look = LOOK_SECONDS
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {within * PATIENCE:g} s in vain for: {what}")
        time.sleep(look)
        look = min(look * 1.3, LONGEST_SECONDS)


def stays(what: str, condition: Callable[[], object], during: float) -> None:
    """Holds at every look for a while."""
    until = time.monotonic() + during
    while time.monotonic() < until:
        assert condition(), f"did not stay true: {what}"
        time.sleep(LOOK_SECONDS)


def pause(seconds: float) -> None:
    """Lets a fault last, or a loop of its own breathe. Never a way to wait for something to happen."""
    time.sleep(seconds)
