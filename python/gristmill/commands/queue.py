"""
Lists queues, and pauses and resumes them.

  manage.py gristmill queue                                  every queue, its state and its jobs
  manage.py gristmill queue pause mail --reason "..."        no worker claims from it any more
  manage.py gristmill queue resume mail

What runs in a paused queue goes on, and jobs may still be enqueued. Counts stop at 10,000. Exit status of `resume`: 1
when the queue was not paused.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gristmill import operations
from gristmill.commands.aliases import chosen_backend, migrated_connection
from gristmill.commands.status import paused_lines, queue_lines, surveys_of
from gristmill.inspect.tables import printable, room_of

HELP = "List queues, pause and resume them."


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("action", nargs="?", choices=("list", "pause", "resume"), default="list", metavar="ACTION",
                        help="list (the default), pause or resume.")  # fmt: skip
    parser.add_argument("name", nargs="?", metavar="NAME", help="The queue to pause or resume.")
    parser.add_argument("--reason", metavar="TEXT", help="Why it is paused, for the people who wonder.")
    parser.add_argument("--backend", metavar="ALIAS", help="The TASKS alias (default: default; list: all of them).")
    parser.add_argument("--json", action="store_true", help="Print one JSON object.")


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    """Lists, pauses or resumes."""
    action, name = options["action"], options["name"]
    if action == "list":
        if name or options["reason"]:
            raise CommandError("to list takes no name and no reason; say pause or resume")
        show(command, options)
        return
    if not name:
        raise CommandError(f"which queue? Write: manage.py gristmill queue {action} NAME")
    {"pause": pause, "resume": resume}[action](command, name, options)


def show(command: BaseCommand, options: dict[str, Any]) -> None:
    """Prints every queue that the settings name, that has jobs, or that is paused."""
    queues = [queue for survey in surveys_of(options["backend"]) for queue in survey.queues]
    if options["json"]:
        command.stdout.write(json.dumps({"queues": [asdict(queue) for queue in queues]}))
        return
    room = room_of(command.stdout)
    said = queue_lines(queues, room)
    if any(queue.paused is not None for queue in queues):
        said += ["", "Paused", *paused_lines(queues, room)]
    command.stdout.write("\n".join(said))


def pause(command: BaseCommand, name: str, options: dict[str, Any]) -> None:
    """Pauses a queue."""
    backend = chosen_backend(options["backend"])
    migrated_connection(backend)
    if not options["reason"]:
        raise CommandError(f'why? Write: manage.py gristmill queue pause {name} --reason "the provider is down"')
    if backend.queues and name not in backend.queues:
        raise CommandError(
            f"backend '{backend.alias}' has no queue {name!r}; its QUEUES are "
            f"{', '.join(map(repr, sorted(backend.queues)))}"
        )
    operations.pause_queue(name, reason=options["reason"], backend=backend.alias)
    if options["json"]:
        command.stdout.write(json.dumps({"queue_name": name, "backend": backend.alias, "state": "paused"}))
    else:
        command.stdout.write(f"Paused queue {printable(name)}. What runs goes on.")


def resume(command: BaseCommand, name: str, options: dict[str, Any]) -> None:
    """Resumes a queue."""
    backend = chosen_backend(options["backend"])
    migrated_connection(backend)
    if options["reason"]:
        raise CommandError("--reason belongs to a pause")
    resumed = operations.resume_queue(name, backend=backend.alias)
    if options["json"]:
        said = {"queue_name": name, "backend": backend.alias, "state": "active", "was_paused": resumed}
        command.stdout.write(json.dumps(said))
    elif resumed:
        command.stdout.write(f"Resumed queue {printable(name)}.")
    else:
        command.stdout.write(f"Queue {printable(name)} was not paused.")
    if not resumed:
        raise SystemExit(1)
