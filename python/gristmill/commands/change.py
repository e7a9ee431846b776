"""
Gives jobs that have not started another priority or another queue, by id or by a filter.

The queue must be one that TASKS knows for the job's backend. Jobs that run or have ended are left alone.

Exit status: 0 when anything was done, 1 when nothing matched or everything was refused.
"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gristmill.commands import choosing
from gristmill.verbs.changing import LEAST_PRIORITY, MOST_PRIORITY, Change

HELP = "Give jobs that have not started another priority or queue."


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options."""
    bounds = f"{LEAST_PRIORITY} to {MOST_PRIORITY}, the highest first"
    parser.add_argument("--to-priority", type=int, metavar="N", help=f"The priority that they get: {bounds}.")
    parser.add_argument("--to-queue", metavar="Q", help="The queue that they go to.")
    choosing.add_arguments(parser, "change")


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    """Does it, and tells what came of it."""
    if options["to_priority"] is None and options["to_queue"] is None:
        raise CommandError("change what? Say --to-priority, --to-queue, or both")
    try:
        change = Change(options["to_priority"], options["to_queue"])
    except ValueError as error:
        raise CommandError(str(error)) from None
    choosing.handle(command, options, "change", change)
