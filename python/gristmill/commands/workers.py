"""
Lists workers, and asks them to be quiet, to claim again, or to stop.

  manage.py gristmill workers                  every worker that runs, with its id
  manage.py gristmill workers quiet 7f3a91c2   it claims no more jobs; what it holds goes on
  manage.py gristmill workers resume 7f3a91c2  it claims again
  manage.py gristmill workers stop 7f3a91c2    it ends as by a first TERM: within its grace, with the same exit status

An id may be given by its first or last 8 digits or more, and several may be named. A worker hears of it with its next
heartbeat, so within 5 s unless its --heartbeat says otherwise. Nobody takes a stop back, and what starts workers may
start it again. Exit status 1: nothing was asked.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from gristmill import operations
from gristmill.commands.aliases import chosen_backend, migrated_connection
from gristmill.commands.choosing import user_name
from gristmill.commands.finding import found_worker
from gristmill.commands.status import worker_table
from gristmill.inspect.surveys import by_database
from gristmill.inspect.tables import room_of
from gristmill.inspect.workers import live_workers
from gristmill.tasks.aliases import gristmill_backends, worker_command
from gristmill.values.moments import database_now

if TYPE_CHECKING:
    from gristmill.inspect.workers import WorkerSeen

HELP = "List workers, quiet and stop them."

VERBS = {"quiet": operations.quiet_worker, "resume": operations.resume_worker, "stop": operations.stop_worker}
#: What a worker will do once it has heard, by verb.
DONE = {
    "quiet": "Asked {} to be quiet: it claims nothing more from its next heartbeat on, and finishes what it holds.",
    "resume": "Asked {} to claim again: it does from its next heartbeat on.",
    "stop": "Asked {} to stop: it drains from its next heartbeat on, and ends within its grace.",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("action", nargs="?", choices=("list", *VERBS), default="list", metavar="ACTION",
                        help="list (the default), quiet, resume or stop.")  # fmt: skip
    parser.add_argument("ids", nargs="*", metavar="ID", help="Workers by id, or its first or last digits.")
    parser.add_argument("--backend", metavar="ALIAS", help="List only this TASKS alias's (default: all).")
    parser.add_argument("--actor", metavar="WHO", help="Whom to write down as asking (default: your user's name).")
    parser.add_argument("--json", action="store_true", help="Print one JSON object.")


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    """Lists workers, or asks something of some."""
    verb, ids = options["action"], options["ids"]
    if verb == "list":
        if ids or options["actor"]:
            raise CommandError("to list takes no id and no --actor; say quiet, resume or stop")
        show(command, options)
        return
    if not ids:
        raise CommandError(f"which worker? Write: manage.py gristmill workers {verb} ID; without {verb} it lists them")
    if options["backend"]:
        raise CommandError(f"--backend belongs to the list; to {verb} takes ids")
    ask(command, verb, options)


def show(command: BaseCommand, options: dict[str, Any]) -> None:
    """Prints the workers that run."""
    workers = seen(options["backend"])
    if options["json"]:
        command.stdout.write(json.dumps({"workers": [asdict(worker) for worker in workers]}))
    elif workers:
        command.stdout.write("\n".join(worker_table(workers, room_of(command.stdout), with_ids=True)))
    else:
        command.stdout.write(f"No worker is running; start one with {worker_command(options['backend'] or 'default')}.")


def seen(alias: str | None) -> list[WorkerSeen]:
    """Returns the workers of an alias, or of all of Gristmill's, that neither stopped nor were given up."""
    if alias is None and not gristmill_backends():
        raise CommandError("no alias in TASKS uses gristmill.backend.GristmillBackend")
    backends = [chosen_backend(name) for name in ([alias] if alias else gristmill_backends())]
    found = []
    for database, aliases in by_database(backends).items():
        connection = migrated_connection(next(backend for backend in backends if backend.database == database))
        found += live_workers(connection, aliases, database_now(connection))
    return found


def ask(command: BaseCommand, verb: str, options: dict[str, Any]) -> None:
    """Asks it of each, and says what became of that."""
    workers = [found_worker(text) for text in options["ids"]]
    actor = options["actor"] or f"{user_name()}, with manage.py gristmill workers {verb}"
    answer = VERBS[verb](workers, actor=actor)
    if options["json"]:
        said = {"verb": verb, "done": answer.done, "refused": answer.refused, "outcomes": answer.outcomes}
        command.stdout.write(json.dumps(said))
    else:
        for worker, outcome in answer.outcomes.items():
            _, _, reason = outcome.partition("refused: ")
            sentence = f"Left worker {worker} alone: {reason}." if reason else DONE[verb].format(f"worker {worker}")
            command.stdout.write(sentence)
    if not answer:
        raise SystemExit(1)
