"""
Says why a job does not run, or what became of it.

  manage.py gristmill explain 0192f0c0a0b07000800000000000000a
  manage.py gristmill explain 0192f0c0a0b0 --json

What it waits for, its date, who holds it, whether its queue is paused, whether a worker would run it, how many jobs
come before it; where it runs; how it ended. The beginning or the end of an id will do where only one job's is like
that. Exit status 1: there is no such job.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand

from gristmill.commands.finding import found_job
from gristmill.explain import explain
from gristmill.inspect.colours import painted, wants_colours
from gristmill.inspect.tables import printable, room_of, wrapped

if TYPE_CHECKING:
    from gristmill.inspect.explaining.answer import Explanation, Reason

HELP = "Say why a job does not run."


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("id", metavar="ID", help="The job's id, or its first or last digits (8 or more).")
    parser.add_argument("--database", metavar="ALIAS", help="Look only on this database (default: on every one).")
    parser.add_argument("--json", action="store_true", help="Print one JSON object.")


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    """Explains one job."""
    job_id, database = found_job(options["id"], options["database"])
    explanation = explain(job_id, using=database)
    if options["json"]:
        command.stdout.write(json.dumps(explanation.as_dict()))
        return
    said = lines(explanation, room_of(command.stdout), coloured=wants_colours(command, options))
    command.stdout.write("\n".join(said))


def lines(explanation: Explanation, room: int | None = None, *, coloured: bool = False) -> list[str]:
    """Returns what the command prints."""
    first, *others = explanation.reasons
    state = painted(explanation.state, explanation.state, coloured)
    said = [
        f"{printable(explanation.task_name)}  {state}",
        f"{explanation.id}, queue {printable(explanation.queue_name)}"
        + (f", backend {printable(explanation.backend)}" if explanation.backend != "default" else ""),
        "",
        *told(first, room, ""),
    ]
    for reason in others:
        said += told(reason, room, "- ")
    return said


def told(reason: Reason, room: int | None, mark: str) -> list[str]:
    """Returns a reason's sentence, and below it the jobs that it names."""
    inner = None if room is None else room - len(mark)
    first, *rest = wrapped(reason.sentence, inner)
    said = [mark + first, *(" " * len(mark) + line for line in rest)]
    named = reason.details.get("first") or []
    for one in named:
        said.append(f"    {one['id']}  {printable(one['task_name'] or 'forgotten')}")
        said += (f"        {line}" for line in wrapped(one["sentence"], None if room is None else room - 8))
    if reason.details.get("more") and named:
        said.append(f"    and {reason.details['more']:,} more")
    return said
