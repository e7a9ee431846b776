"""
Whether a job's arguments are what `args.NAME:VALUE` asks for.

Arguments are looked at as people may see them: what is hidden cannot be searched for, or a search would be a way to
guess it. A positional argument has the name that the task's function gives it, and its place, from 0, besides.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gristmill.inspect.redacting import HIDDEN, Shown


def matches(shown: Shown, wanted: Sequence[tuple[str, str]]) -> bool:
    """Tells whether each of these arguments has its value; of a list one item will do."""
    return all(any(is_like(value, text) for value in values_at(shown, path)) for path, text in wanted)


def values_at(shown: Shown, path: str) -> list[Any]:
    """Returns what a dotted name leads to: of a positional argument by its name or its place, of a keyword one."""
    whole: list[Any] = []
    for start in (shown.by_name, {str(place): value for place, value in enumerate(shown.args)}):
        whole += followed(start, path)
    return whole


def followed(start: Mapping[str, Any], path: str) -> list[Any]:
    """Returns the value that a dotted name leads to from here; a key may have dots in it itself."""
    if path in start:
        return [start[path]]
    first, _, rest = path.partition(".")
    inner = start.get(first)
    return followed(inner, rest) if rest and isinstance(inner, dict) else []


def is_like(value: Any, text: str) -> bool:
    """Tells whether a value is written so: text as it is, anything else as JSON."""
    if isinstance(value, list):
        return any(is_like(item, text) for item in value if not isinstance(item, list))
    if value == HIDDEN:
        return False
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)) == text


def needle(text: str) -> str:
    """Returns the longest part of a value that every JSON has as it is: ASCII letters and digits."""
    runs = "".join(each if each.isascii() and each.isalnum() else " " for each in text).split()
    return max(runs, key=len, default="")
