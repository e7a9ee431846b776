"""
Lets held jobs go, by id or by a filter: ready, or scheduled where their date is still to come.

Exit status: 0 when anything was done, 1 when nothing matched or everything was refused.
"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from gristmill.commands import choosing

HELP = "Let held jobs go."


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options."""
    choosing.add_arguments(parser, "release")


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    """Does it, and tells what came of it."""
    choosing.handle(command, options, "release")
