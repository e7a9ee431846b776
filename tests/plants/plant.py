"""
A bug that is planted: it takes one guard away, and names the step of `make test` that must find it.

A text to find stands exactly once in its file; what is put in its place compiles, and breaks nothing but that guard.
"""

from __future__ import annotations

from typing import NamedTuple


class Plant(NamedTuple):
    """One bug."""

    # What users would have to put up with.
    bug: str
    file: str
    find: str
    put: str
    step: str

    def does_not_apply(self, text: str) -> str:
        """Says why it cannot be planted in this text of its file; nothing when it can."""
        times = text.count(self.find)
        return "" if times == 1 else f"its text stands {times} times in {self.file}, not once"
