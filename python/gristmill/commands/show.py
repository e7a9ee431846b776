"""
Shows all of a job.

Where it is and why, what it was called with, its attempts with error, traceback and output, its life in order, what it
waits for and what waits for it, what people did to it, its result.

  manage.py gristmill show 0192f0c0a0b07000800000000000000a
  manage.py gristmill show 0192f0c0a0b0 --attempts 20
  manage.py gristmill show 0192f0c0a0b0 --reveal --json

Arguments that are secret are not shown: those that the task names by its option redact, and what is behind keys such
as password or token. --reveal shows them. The beginning or the end of an id will do where only one job's is like that.
Exit status 1: there is no such job.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gristmill.commands.finding import found_job, no_such_job
from gristmill.commands.show_lines import lines
from gristmill.compat import TaskResultDoesNotExist
from gristmill.inspect.colours import wants_colours
from gristmill.inspect.details.as_json import as_json
from gristmill.inspect.details.read import MOST_ATTEMPTS, USUAL_ATTEMPTS, details_of
from gristmill.inspect.tables import room_of

HELP = "Show all of a job: arguments, attempts, tracebacks, output, time line."


def number(text: str) -> int:
    """Reads a number of attempts; a type for argparse."""
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= MOST_ATTEMPTS:
        raise ArgumentTypeError(f"{text!r} is not a number from 1 to {MOST_ATTEMPTS}")
    return int(text)


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("id", metavar="ID", help="The job's id, or its first or last digits (8 or more).")
    parser.add_argument("--attempts", type=number, default=USUAL_ATTEMPTS, metavar="N",
                        help=f"How many of its attempts, the newest (default: {USUAL_ATTEMPTS}).")  # fmt: skip
    parser.add_argument("--reveal", action="store_true", help="Show arguments that are secret too.")
    parser.add_argument("--database", metavar="ALIAS", help="Look only on this database (default: on every one).")
    parser.add_argument("--json", action="store_true", help="Print one JSON object.")


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    """Shows one job."""
    job_id, database = found_job(options["id"], options["database"])
    try:
        found = details_of(job_id, database, reveal=options["reveal"], attempts=options["attempts"])
    except TaskResultDoesNotExist as error:
        raise CommandError(no_such_job(job_id.hex)) from error
    if options["json"]:
        command.stdout.write(json.dumps(as_json(found)))
        return
    said = lines(found, room_of(command.stdout), coloured=wants_colours(command, options))
    command.stdout.write("\n".join(said))
