"""
The subcommands of `manage.py gristmill`, one module each.

A subcommand module has HELP (one line), a docstring (its description), `add_arguments(parser)` and
`handle(command, options)`. To add one, write its module and name it in NAMES; what has a
hyphen there has an underscore as a module.
"""

from __future__ import annotations

import importlib
from argparse import ArgumentParser
from typing import Any, Protocol, cast

from django.core.management.base import BaseCommand

NAMES = (
    "worker",
    "status",
    "jobs",
    "show",
    "failures",
    "cancel",
    "hold",
    "release",
    "retry",
    "run-now",
    "change",
    "enqueue-again",
    "queue",
    "workers",
    "schedule",
    "prune",
    "explain",
    "graph",
    "doctor",
    "health",
    "check",
    "bench",
)


class Subcommand(Protocol):
    """What a module in this folder offers."""

    HELP: str

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Adds its options."""

    def handle(self, command: BaseCommand, options: dict[str, Any]) -> None:
        """Does its work; raises CommandError with one sentence when it cannot."""


def load(name: str) -> Subcommand:
    """Imports a subcommand's module."""
    return cast("Subcommand", importlib.import_module(f"gristmill.commands.{name.replace('-', '_')}"))
