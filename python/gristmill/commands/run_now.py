"""
Makes scheduled jobs due now, by id or by a filter: those with a date, and those that wait for their next try.

Jobs that wait for others or are held are left alone; release what is held.

Exit status: 0 when anything was done, 1 when nothing matched or everything was refused.
"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from gristmill.commands import choosing

HELP = "Make scheduled jobs due now."


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options."""
    choosing.add_arguments(parser, "run_now")


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    """Does it, and tells what came of it."""
    choosing.handle(command, options, "run_now")
