"""
Keeps ready and scheduled jobs back until they are released, by id or by a filter.

Jobs that run cannot be held; to keep back whatever comes into a queue, pause the queue.

Exit status: 0 when anything was done, 1 when nothing matched or everything was refused.
"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from gristmill.commands import choosing

HELP = "Keep jobs back until they are released."


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options."""
    choosing.add_arguments(parser, "hold")


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    """Does it, and tells what came of it."""
    choosing.handle(command, options, "hold")
