"""
Enqueues a new job as one that was there, with other arguments; the job that was there stays as it is.

What is left out of --args and --kwargs stays as it was. Either job is written down beside the other.

Exit status: 0 when a job was made, 1 when another has its unique key.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from gristmill import operations
from gristmill.commands.aliases import chosen_backend, migrated_connection
from gristmill.commands.choosing import user_name
from gristmill.commands.finding import found_job
from gristmill.compat import InvalidTask
from gristmill.exceptions import UniqueContention

HELP = "Enqueue a job again with other arguments."


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("id", metavar="ID", help="The job that was there, by its id, or its first or last digits.")
    parser.add_argument("--args", dest="positional", metavar="JSON", help="Positional arguments: a JSON list.")
    parser.add_argument("--kwargs", dest="named", metavar="JSON", help="Arguments by name: a JSON object.")
    parser.add_argument("--backend", metavar="ALIAS", help="The TASKS alias whose job is meant (default: default).")
    parser.add_argument("--actor", metavar="WHO", help="Whom to write down as doing it (default: your user's name).")
    parser.add_argument("--json", action="store_true", help="Print one JSON object.")


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    """Does it, and names the new job."""
    backend = chosen_backend(options["backend"])
    migrated_connection(backend)
    former = found_job(options["id"], backend.database)[0]
    args, kwargs = read(options["positional"], "--args", list), read(options["named"], "--kwargs", dict)
    actor = options["actor"] or f"{user_name()}, with manage.py gristmill enqueue-again"
    try:
        made = operations.enqueue_again(former, args=args, kwargs=kwargs, actor=actor, using=backend.database)
    except (TypeError, ValueError, InvalidTask, ImproperlyConfigured, UniqueContention) as error:
        raise CommandError(str(error)) from None
    if options["json"]:
        command.stdout.write(json.dumps({"id": made.id, "existing": made.existing}))
    elif made.existing:
        command.stdout.write(f"Enqueued nothing: job {made.id} has its unique key.")
    else:
        command.stdout.write(f"Enqueued job {made.id}.")
    if made.existing:
        raise SystemExit(1)


def read(text: str | None, option: str, kind: type) -> Any:
    """Returns what JSON means; None where nothing was said."""
    if text is None:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{option} is no JSON: {error}") from None
    if not isinstance(value, kind):
        raise CommandError(f"{option} takes a JSON {'list' if kind is list else 'object'}")
    return value
