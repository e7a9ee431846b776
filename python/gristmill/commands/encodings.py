"""Output for terminals whose encoding does not have every character: what is missing is written in ASCII."""

from __future__ import annotations

import codecs
from contextlib import suppress
from typing import Any

NAME = "gristmill.plain"
#: What this package prints; everything else is escaped.
PLAIN = {
    "…": "...",
    "→": "->",
    "·": "-",
    "─": "-",
    "│": "|",
    "├": "+",
    "└": "+",
    "●": "*",
    "○": "o",
    "◌": ".",
    "◷": "@",
    "✓": "+",
    "✗": "x",
    "⊘": "/",
    "‖": "=",
    "☠": "X",
}


def plain(error: UnicodeError) -> tuple[str, int]:
    """Writes what cannot be encoded as it can be read: an error handler of Python's codecs."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(PLAIN.get(each) or each.encode("unicode_escape").decode() for each in missing), error.end


def speak_plainly(*wrappers: Any) -> None:
    """Has streams write what they can, where they would raise for the rest."""
    for wrapper in wrappers:
        stream = getattr(wrapper, "_out", wrapper)
        if getattr(stream, "errors", None) == "strict":
            # What is no text file (a StringIO, say) takes every character.
            with suppress(AttributeError):
                stream.reconfigure(errors=NAME)


codecs.register_error(NAME, plain)
