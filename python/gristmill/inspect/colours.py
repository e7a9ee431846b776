"""The colours of states on a terminal, the same wherever a state is shown."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.core.management.color import no_style
from django.utils.termcolors import colorize

#: What django.utils.termcolors calls them.
OF_STATE: dict[str, dict[str, Any]] = {
    "ready": {"fg": "cyan"},
    "running": {"fg": "blue", "opts": ("bold",)},
    "scheduled": {"fg": "cyan"},
    "waiting": {"fg": "yellow"},
    "held": {"fg": "magenta"},
    "stranded": {"fg": "red", "opts": ("bold",)},
    "successful": {"fg": "green"},
    "failed": {"fg": "red"},
    "cancelled": {"fg": "magenta"},
    "poisoned": {"fg": "red", "opts": ("bold",)},
    # Of schedules.
    "active": {"fg": "green"},
    "paused": {"fg": "magenta"},
    "removed": {"fg": "yellow"},
    "problem": {"fg": "red", "opts": ("bold",)},
    "not announced": {"fg": "yellow"},
    "overdue": {"fg": "red", "opts": ("bold",)},
}


def painted(text: str, state: str, coloured: bool) -> str:
    """Returns a text in the colour of a state, or as it is."""
    return str(colorize(text, **OF_STATE.get(state, {}))) if coloured else text


def warn(command: BaseCommand, sentence: str) -> None:
    """Says on standard error what is odd and no error."""
    command.stderr.write(sentence, command.style.WARNING if command.stderr.isatty() else None)


def wants_colours(command: BaseCommand, options: dict[str, Any]) -> bool:
    """Tells whether a command may colour what it prints: on a terminal, or where colours are asked for."""
    return bool(options.get("force_color")) or (command.style is not no_style() and command.stdout.isatty())
