"""
Lists schedules, shows one, runs it now, pauses and resumes it; makes and removes those of the database.

  manage.py gristmill schedule                               every schedule, its next and its last run
  manage.py gristmill schedule show nightly                  its rule, the next 20 instants, the last 20 ticks
  manage.py gristmill schedule run nightly                   a job of it now
  manage.py gristmill schedule pause nightly --reason "..."  it makes no jobs until it is resumed
  manage.py gristmill schedule resume nightly
  manage.py gristmill schedule add mine shop.tasks.report --cron "0 8 * * mon"
  manage.py gristmill schedule remove mine

Only a task with schedulable=True can be scheduled in the database. Exit status 1: nothing was done.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from gristmill import operations
from gristmill.backend import GristmillBackend
from gristmill.commands import schedule_lines
from gristmill.commands.aliases import chosen_backend, migrated_connection
from gristmill.compat import InvalidTask
from gristmill.exceptions import UnknownSchedule, UnknownTask
from gristmill.inspect import schedules as status
from gristmill.inspect.colours import wants_colours, warn
from gristmill.inspect.schedules import now_of, schedules_of
from gristmill.inspect.tables import printable, room_of
from gristmill.tasks import registry
from gristmill.tasks.aliases import gristmill_backends
from gristmill.values.durations import duration
from gristmill.verbs.schedules import unknown

HELP = "List schedules, run, pause and resume them."

ACTIONS = ("list", "show", "run", "pause", "resume", "add", "remove")


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("action", nargs="?", choices=ACTIONS, default="list", metavar="ACTION",
                        help=f"{', '.join(ACTIONS)} (default: list).")  # fmt: skip
    parser.add_argument("name", nargs="?", metavar="NAME", help="The schedule.")
    parser.add_argument("task", nargs="?", metavar="TASK", help="To add one: the task, by its full name.")
    parser.add_argument("--reason", metavar="TEXT", help="Why it is paused, for the people who wonder.")
    parser.add_argument("--backend", metavar="ALIAS", help="The TASKS alias (default: default; list: all of them).")
    parser.add_argument("--json", action="store_true", help="Print one JSON object.")
    group = parser.add_argument_group("add", "The rule and options of a new schedule; see gristmill.schedule.")
    group.add_argument("--cron", metavar="EXPRESSION", help='Such as "30 8 * * mon-fri", or manual.')
    group.add_argument("--every", type=duration, metavar="TIME", help="An interval instead: 90s, 15m, 2h, 7d.")
    # Django takes "args" for its own.
    group.add_argument("--args", dest="job_args", metavar="JSON", help="Positional arguments, as a JSON list.")
    group.add_argument("--kwargs", dest="job_kwargs", metavar="JSON", help="Keyword arguments, as a JSON object.")
    group.add_argument("--timezone", metavar="ZONE", help="Such as Europe/Zurich (default: the project's).")
    group.add_argument("--queue-name", metavar="Q", help="The workers of this queue tick it (default: the task's).")
    group.add_argument("--catch-up", choices=("latest", "none", "all"), help="What to do about missed instants.")
    group.add_argument("--window", type=duration, metavar="TIME", help="How old a missed instant may be.")
    group.add_argument("--cap", type=int, metavar="N", help="How many missed instants at most.")
    group.add_argument("--run-on-creation", action="store_true", default=None, help="Begin with the one before now.")
    group.add_argument("--datetime-kwarg", metavar="NAME", help="The argument that is given the instant.")
    group.add_argument("--overlap", choices=("allow", "skip"), help="Whether a tick may run beside an earlier job.")
    group.add_argument("--jitter", type=duration, metavar="TIME", help="Spread the jobs over so long.")


#: Options of `add` alone.
ADD = (
    *(
        "cron",
        "every",
        "job_args",
        "job_kwargs",
        "timezone",
        "queue_name",
        "catch_up",
        "window",
        "cap",
        "run_on_creation",
    ),
    *("datetime_kwarg", "overlap", "jitter"),
)


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    """Does what is asked."""
    action, name = options["action"], options["name"]
    refuse_what_contradicts(options)
    if action == "list":
        show_all(command, options)
        return
    backend = chosen_backend(options["backend"])
    migrated_connection(backend)
    try:
        DO[action](command, backend, name, options)
    except (ImproperlyConfigured, InvalidTask, UnknownSchedule, UnknownTask, ValueError, TypeError) as error:
        raise CommandError(str(error)) from error


def refuse_what_contradicts(options: dict[str, Any]) -> None:
    """Refuses what cannot be meant, in one sentence."""
    action = options["action"]
    if action == "list" and options["name"]:
        raise CommandError("to list takes no name; say show, run, pause, resume, add or remove")
    if action != "list" and not options["name"]:
        task = " TASK" if action == "add" else ""
        raise CommandError(f"which schedule? Write: manage.py gristmill schedule {action} NAME{task}")
    if action == "add" and not options["task"]:
        raise CommandError("of which task? Write: manage.py gristmill schedule add NAME TASK --cron ...")
    if action != "add":
        given = [name for name in ADD if options[name] is not None]
        if given or options["task"]:
            what = f"--{given[0].removeprefix('job_').replace('_', '-')}" if given else "a task"
            raise CommandError(f"{what} belongs to add; to {action} takes none")
    if options["reason"] and action != "pause":
        raise CommandError("--reason belongs to a pause")
    if action == "pause" and not options["reason"]:
        raise CommandError(
            f'why? Write: manage.py gristmill schedule pause {options["name"]} --reason "the provider is down"'
        )


def show_all(command: BaseCommand, options: dict[str, Any]) -> None:
    """Prints every schedule of the alias, else of all."""
    aliases = [options["backend"]] if options["backend"] else list(gristmill_backends())
    if not aliases:
        raise CommandError("no alias in TASKS uses gristmill.backend.GristmillBackend")
    backends = [chosen_backend(alias) for alias in aliases]
    load_tasks(command)
    found = []
    for backend in backends:
        migrated_connection(backend)
        try:
            found += schedules_of(backend)
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
    if options["json"]:
        command.stdout.write(json.dumps({"schedules": [one.as_json() for one in found]}))
        return
    coloured = wants_colours(command, options)
    said = schedule_lines.list_lines(found, now_of(backends[0]), room_of(command.stdout), coloured=coloured)
    command.stdout.write("\n".join(said))


def show(command: BaseCommand, backend: GristmillBackend, name: str, options: dict[str, Any]) -> None:
    """Prints one schedule."""
    load_tasks(command)
    found = status.schedules_of(backend, name)
    if not found:
        raise unknown(name, backend.alias)
    (one,) = found
    now = status.now_of(backend)
    ahead, missed = status.upcoming(one, now), status.missed(one, now)
    ticks = [] if one.row is None else status.ticks_seen(backend, one.row.ticks[: status.SHOWN])
    if options["json"]:
        told = {
            **one.as_json(),
            "next": [moment.isoformat() for moment in ahead],
            "missed": [moment.isoformat() for moment in missed],
            "ticks": [tick.as_json() for tick in ticks],
        }
        command.stdout.write(json.dumps(told))
        return
    said = schedule_lines.show_lines(
        *(one, now),
        ahead=ahead,
        ticks=ticks,
        missed=missed,
        room=room_of(command.stdout),
        coloured=wants_colours(command, options),
    )
    command.stdout.write("\n".join(said))


def run(command: BaseCommand, backend: GristmillBackend, name: str, options: dict[str, Any]) -> None:
    """Runs one now."""
    result = operations.run_schedule(name, backend=backend.alias)
    sentence = f"Enqueued job {result.id} of schedule {printable(name)}."
    if result.existing:
        sentence = f"Job {result.id} is there already, and its task wants one at a time."
    tell(command, options, backend, name, sentence, job=result.id, existing=result.existing)


def pause(command: BaseCommand, backend: GristmillBackend, name: str, options: dict[str, Any]) -> None:
    """Pauses one."""
    operations.pause_schedule(name, reason=options["reason"], backend=backend.alias)
    sentence = f"Paused schedule {printable(name)}. What it leaves out meanwhile is not made up for."
    tell(command, options, backend, name, sentence, state="paused")


def resume(command: BaseCommand, backend: GristmillBackend, name: str, options: dict[str, Any]) -> None:
    """Resumes one."""
    resumed = operations.resume_schedule(name, backend=backend.alias)
    sentence = f"Resumed schedule {printable(name)}." if resumed else f"Schedule {printable(name)} was not paused."
    tell(command, options, backend, name, sentence, state="active", was_paused=resumed)
    if not resumed:
        raise SystemExit(1)


def add(command: BaseCommand, backend: GristmillBackend, name: str, options: dict[str, Any]) -> None:
    """Makes one in the database, or changes it."""
    given = {option.removeprefix("job_"): options[option] for option in ADD if options[option] is not None}
    for option in ("args", "kwargs"):
        if option in given:
            try:
                given[option] = json.loads(given[option])
            except ValueError as error:
                raise CommandError(f"--{option} is not JSON: {error}") from error
    done = operations.define_schedule(name, options["task"], backend=backend.alias, **given)
    sentence = f"{'Made' if done == 'created' else 'Changed'} schedule {printable(name)}."
    tell(command, options, backend, name, sentence, done=done)


def remove(command: BaseCommand, backend: GristmillBackend, name: str, options: dict[str, Any]) -> None:
    """Removes one of the database's own."""
    removed = operations.remove_schedule(name, backend=backend.alias)
    sentence = f"Removed schedule {printable(name)}." if removed else f"There is no schedule {printable(name)}."
    tell(command, options, backend, name, sentence, removed=removed)
    if not removed:
        raise SystemExit(1)


def tell(
    command: BaseCommand, options: dict[str, Any], backend: GristmillBackend, name: str, sentence: str, **details: Any
) -> None:
    """Says what was done."""
    said = json.dumps({"name": name, "backend": backend.alias, **details}) if options["json"] else sentence
    command.stdout.write(said)


def load_tasks(command: BaseCommand) -> None:
    """Imports the project's tasks, whose schedules may not have been announced yet."""
    try:
        registry.load()
    except Exception as error:
        warn(
            command,
            f"The project's tasks cannot be imported, so only what workers have announced is known "
            f"({type(error).__name__}: {error}).",
        )


DO: dict[str, Callable[[BaseCommand, GristmillBackend, str, dict[str, Any]], None]] = {
    "show": show,
    "run": run,
    "pause": pause,
    "resume": resume,
    "add": add,
    "remove": remove,
}
