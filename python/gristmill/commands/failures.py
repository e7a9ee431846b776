"""
Groups what failed by task and error, so that one cause is one line.

  manage.py gristmill failures                          what failed, the most frequent first
  manage.py gristmill failures queue:mail after:2h      among those that a search finds
  manage.py gristmill failures --json

Errors that differ in numbers, ids and what stands in quotes are one group. Each comes with the newest job of it, and
with the search that lists all of it: give that to `manage.py gristmill jobs`, or to the admin, which retries what it
finds. A group is counted to 10,000. With a search, it groups the newest 1,000 failures that match, and says so where
there are more. Exit status 1: nothing failed.
"""

from __future__ import annotations

import json
import shlex
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gristmill.commands.jobs import chosen_jobs, when
from gristmill.inspect.failures import Failures, failures_of
from gristmill.inspect.listing.search import Search, SearchError
from gristmill.inspect.tables import printable, room_of, table, wrapped
from gristmill.values.moments import database_now

HELP = "Group what failed by its cause."

#: Groups that a person is shown.
SHOWN = 20


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("search", nargs="*", metavar="SEARCH", help="Terms, as of `manage.py gristmill jobs`.")
    parser.add_argument("--backend", metavar="ALIAS", help="Only jobs of this TASKS alias.")
    parser.add_argument("--database", metavar="ALIAS", help="Jobs on this database, where several keep jobs.")
    parser.add_argument("--json", action="store_true", help="Print one JSON object.")


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    """Groups."""
    connection, backends = chosen_jobs(options)
    try:
        found = failures_of(connection, backends, Search.parse(" ".join(options["search"])))
    except SearchError as error:
        raise CommandError(str(error)) from error
    if options["json"]:
        groups = [group.as_json() for group in found.groups]
        command.stdout.write(json.dumps({"groups": groups, "looked": found.looked, "more": found.more}))
    else:
        command.stdout.write("\n".join(lines(found, database_now(connection), room_of(command.stdout))))
    if not found.groups:
        raise SystemExit(1)


def lines(found: Failures, now: Any, room: int | None) -> list[str]:
    """Returns what a person reads."""
    if not found.groups:
        return ["Nothing failed."]
    shown = found.groups[:SHOWN]
    head = ["JOBS", "LAST", "FIRST", "TASK", "NEWEST", "ERROR"]
    rows = [
        [
            f"{one.count:,}{'+' * one.more}",
            when(one.last_at, now),
            when(one.first_at, now),
            one.task_name,
            one.sample_id,
            one.sample,
        ]
        for one in shown
    ]
    said = table(head, rows, right=["JOBS"], cut=["ERROR", "TASK"], room=room)
    if len(found.groups) > SHOWN:
        said += ["", *wrapped(f"{len(found.groups) - SHOWN:,} more; --json names them all.", room)]
    if found.more:
        said += ["", *wrapped(what_is_left(found), room)]
    listing = printable(shlex.join(["manage.py", "gristmill", "jobs", shown[0].search]), 400)
    return [*said, "", *wrapped(f"The first of them: {listing}", room)]


def what_is_left(found: Failures) -> str:
    """Says what was not looked at."""
    if found.looked is None:
        return f"These are {len(found.groups):,} of the causes; there are more. Give a search, such as after:1d."
    return f"Among the newest {found.looked:,} failures; there are older ones."
