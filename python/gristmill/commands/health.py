"""
Says whether a queue keeps up, for a monitor: exit status 0 where it does, 1 where something is beyond its limit.

  manage.py gristmill health                                     a worker runs
  manage.py gristmill health --workers 3 --max-backlog 10000 --max-age 5m --max-lateness 2m
  manage.py gristmill health --queue mail --max-age 30s --json   of one queue; --queue may be repeated
  manage.py gristmill health --heartbeat-file /tmp/heartbeat     of one worker, without the database

Only limits that are given are asked, and whether at least one worker is heard of. Each thing that is beyond its limit
is one sentence. A backlog is the jobs that are ready, those of paused queues too; an age is for how long a ready job
has been due; a lateness is for how long a schedule's tick has been due. A limit is each database's own, where several
keep jobs. It reads a bounded number of rows.

With --heartbeat-file nothing is asked but the age of the file that a worker with that option writes: for so long may
its last heartbeat be past (--max-age; default: the worker's lease, 60 s unless --heartbeat says otherwise).
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from gristmill.commands.aliases import chosen_backend, migrated_connection
from gristmill.inspect.colours import wants_colours
from gristmill.inspect.health import Health, Limits, beyond, health
from gristmill.inspect.heartbeat_file import Heartbeat, last_heartbeat
from gristmill.inspect.tables import age, counted, room_of, wrapped
from gristmill.tasks.aliases import gristmill_backends
from gristmill.values.durations import duration

if TYPE_CHECKING:
    from gristmill.backend import GristmillBackend

HELP = "Say whether a queue keeps up, by exit status."

#: A backlog is counted to its limit, so that has a bound.
MOST = 1_000_000


def number(text: str) -> int:
    """Reads a limit; a type for argparse."""
    if not text.isascii() or not text.isdigit() or int(text) > MOST:
        raise ArgumentTypeError(f"{text!r} is not a number from 0 to {MOST:,}")
    return int(text)


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("--max-backlog", type=number, metavar="N", help="So many jobs may be ready.")
    parser.add_argument(
        "--max-age", type=duration, metavar="AGE", help="For so long may a ready job have been due: 90s."
    )
    parser.add_argument("--workers", type=number, metavar="N",
                        help="So many workers run at least (default: 1; 0: do not ask).")  # fmt: skip
    parser.add_argument("--max-lateness", type=duration, metavar="AGE", help="So late may a schedule's tick be: 2m.")
    parser.add_argument("--queue", action="append", metavar="Q", help="Ask of this queue alone; may be repeated.")
    parser.add_argument("--heartbeat-file", metavar="PATH", help="Ask how old this file of a worker's is, and no more.")
    parser.add_argument("--backend", metavar="ALIAS", help="Only this TASKS alias (default: all that use Gristmill).")
    parser.add_argument("--json", action="store_true", help="Print one JSON object.")


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    """Measures, and says what is wrong."""
    found: Health | Heartbeat
    if options["heartbeat_file"] is not None:
        refuse_beside_a_file(options)
        found = last_heartbeat(options["heartbeat_file"], options["max_age"])
    else:
        workers = 1 if options["workers"] is None else options["workers"]
        limits = Limits(options["max_backlog"], options["max_age"], workers, options["max_lateness"])
        found = measured(options["backend"], limits, options["queue"] or ())
    if options["json"]:
        command.stdout.write(json.dumps(found.as_json()))
    else:
        paint = command.style if wants_colours(command, options) else None
        room = room_of(command.stdout)
        for problem in found.problems:
            said = "\n".join(wrapped(problem.sentence, room))
            command.stdout.write(paint.ERROR(said) if paint else said)
        if found.is_healthy:
            said = "\n".join(wrapped(found.in_words if isinstance(found, Heartbeat) else healthy(found), room))
            command.stdout.write(paint.SUCCESS(said) if paint else said)
    if not found.is_healthy:
        raise SystemExit(1)


def refuse_beside_a_file(options: dict[str, Any]) -> None:
    """Refuses what only a database could answer."""
    for name in ("max_backlog", "workers", "max_lateness", "queue", "backend"):
        if options[name] is not None:
            option = "--" + name.replace("_", "-")
            raise CommandError(
                f"--heartbeat-file asks one worker's file alone: leave out {option}, or ask for that by itself"
            )


def measured(alias: str | None, limits: Limits, queues: Any) -> Health:
    """Measures every database that keeps jobs; one that cannot be asked is a problem like any other."""
    if alias is None and not gristmill_backends():
        raise CommandError("no alias in TASKS uses gristmill.backend.GristmillBackend")
    by_database: dict[str, list[GristmillBackend]] = {}
    for backend in [chosen_backend(name) for name in ([alias] if alias else gristmill_backends())]:
        by_database.setdefault(backend.database, []).append(backend)
    every = []
    for database, group in by_database.items():
        try:
            backends = {backend.alias: set(backend.queues) for backend in group}
            every.append(health(migrated_connection(group[0]), backends, limits, queues))
        except (CommandError, DatabaseError) as error:
            said = " ".join(str(error).split())
            every.append(Health([beyond("database", f"Database '{database}' does not answer: {said}.")]))
    return together(every, limits)


def together(every: list[Health], limits: Limits) -> Health:
    """Returns what was measured on several databases as one: a limit is each database's own."""
    found = Health([problem for each in every for problem in each.problems])
    for name in ("backlog", "oldest_seconds", "overdue"):
        setattr(found, name, max((value for each in every if (value := getattr(each, name)) is not None), default=None))
    found.workers = min((each.workers for each in every if each.workers is not None), default=None)
    found.backlog_at_least = any(each.backlog_at_least for each in every)
    return found


def healthy(found: Health) -> str:
    """Says what was measured."""
    said = [] if found.workers is None else [counted(found.workers, what="worker")]
    if found.backlog is not None:
        said.append(f"{counted(found.backlog)} ready")
    if found.oldest_seconds is not None:
        said.append(f"the oldest due for {age(found.oldest_seconds)}")
    if found.overdue is not None:
        said.append("no schedule late")
    return f"Healthy: {', '.join(said)}." if said else "Healthy: the database answers."
