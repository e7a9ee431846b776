"""
Runs jobs again that failed, were cancelled or poisoned, by id or by a filter.

They are ready at once, with fresh counts; their earlier attempts are kept. A job that succeeded is run again only when
its id is named, or with --state successful.

Exit status: 0 when anything was done, 1 when nothing matched or everything was refused.
"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from gristmill.commands import choosing

HELP = "Run jobs again that have ended."


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options."""
    choosing.add_arguments(parser, "retry")


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    """Does it, and tells what came of it."""
    choosing.handle(command, options, "retry")
