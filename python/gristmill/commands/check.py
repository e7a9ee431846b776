"""
Says, before a deploy, which jobs that have not started this code cannot run.

  manage.py gristmill check --pending                 in the new code, on the database of the old one
  manage.py gristmill check --pending --sample 20000 --json
  manage.py gristmill check --pending --ignore thumbs.make      whose code is meant to be elsewhere

Ready, scheduled, waiting and held jobs are held against the tasks that this code knows: is there a task of that name,
or one with that name among its aliases, and do the stored arguments fit its function? Of each queue and task 1,000 jobs
are looked at, of what is scheduled or waits the first 100,000; what was not looked at is said. Nothing is changed.

Exit status 0: every job that was looked at can run. 1: some cannot.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gristmill.backend import GristmillBackend
from gristmill.commands.aliases import chosen_backend, migrated_connection
from gristmill.inspect.colours import wants_colours
from gristmill.inspect.pending import SAMPLE, Checked, LaneChecked, check_pending
from gristmill.inspect.tables import counted, printable, room_of, wrapped
from gristmill.tasks.aliases import gristmill_backends

HELP = "Say, before a deploy, which queued jobs this code cannot run."

#: Each has its arguments read and parsed.
MOST = 1_000_000


def number(text: str) -> int:
    """Reads a number of jobs; a type for argparse."""
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= MOST:
        raise ArgumentTypeError(f"{text!r} is not a number from 1 to {MOST:,}")
    return int(text)


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("--pending", action="store_true", required=True, help="Jobs that have not started.")
    parser.add_argument("--sample", type=number, default=SAMPLE, metavar="N",
                        help=f"Look at so many jobs of each queue and task (default: {SAMPLE:,}).")  # fmt: skip
    parser.add_argument("--ignore", action="append", default=[], metavar="NAME",
                        help="Leave this task out, as its code is elsewhere; may be repeated.")  # fmt: skip
    parser.add_argument("--backend", metavar="ALIAS", help="Only this TASKS alias (default: all that use Gristmill).")
    parser.add_argument("--json", action="store_true", help="Print one JSON object.")


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    """Looks, and says what cannot run."""
    if options["backend"] is None and not gristmill_backends():
        raise CommandError("no alias in TASKS uses gristmill.backend.GristmillBackend")
    by_database: dict[str, list[GristmillBackend]] = {}
    for alias in [options["backend"]] if options["backend"] else gristmill_backends():
        backend = chosen_backend(alias)
        by_database.setdefault(backend.database, []).append(backend)
    found = Checked()
    for group in by_database.values():
        each = check_pending(migrated_connection(group[0]), {backend.alias for backend in group}, options["sample"])
        found.lanes += [lane for lane in each.lanes if lane.task_name not in options["ignore"]]
        found.unread += each.unread
    if options["json"]:
        said = {"lanes": [lane.as_json() for lane in found.lanes], "unread": found.unread, "ok": not found.bad}
        command.stdout.write(json.dumps(said))
    else:
        paint = command.style if wants_colours(command, options) else None
        command.stdout.write("\n".join(lines(found, room_of(command.stdout), paint)))
    if found.bad:
        raise SystemExit(1)


def lines(found: Checked, room: int | None = None, style: Any = None) -> list[str]:
    """Returns what a person reads."""
    said: list[str] = []
    for lane in found.bad:
        title = f"{printable(lane.task_name)} in queue {printable(lane.queue_name)}, {lane.place}"
        said += [style.ERROR(title) if style else title, *(f"  {line}" for line in lane_lines(lane, less(room))), ""]
    looked_at = sum(lane.looked_at for lane in found.lanes)
    misfits = sum(lane.misfits for lane in found.lanes)
    if misfits:
        verdict = f"{counted(misfits)} of {looked_at:,} looked at cannot run with this code."
    else:
        verdict = f"This code can run all of the {counted(looked_at)} that were looked at."
    said += wrapped(verdict, room)
    more = sum(lane.more for lane in found.lanes)
    if more:
        lanes = counted(more, what="pair")
        said += wrapped(f"Of {lanes} of queue and task there are more than that; --sample looks at more.", room)
    said += [line for unread in found.unread for line in wrapped(f"Not looked at: {unread}.", room)]
    return said


def lane_lines(lane: LaneChecked, room: int | None) -> list[str]:
    """Says how many jobs of a lane cannot run, and why the first cannot."""
    said = wrapped(f"{counted(lane.misfits)} of {lane.looked_at:,} looked at cannot run.", room)
    for why in dict.fromkeys(misfit.why for misfit in lane.first):
        ids = [misfit.id for misfit in lane.first if misfit.why == why]
        said += wrapped(f"{printable(why, 400)}: {', '.join(ids)}", room)
    return said


def less(room: int | None) -> int | None:
    """Returns the room beside an indent."""
    return None if room is None else room - 2
