"""
Lists jobs, a page at a time.

  manage.py gristmill jobs                                     the newest jobs, whatever their state
  manage.py gristmill jobs state:failed queue:mail             what failed in a queue, newest end first
  manage.py gristmill jobs send_receipt args.order_id:7        by a part of the task's name, and an argument
  manage.py gristmill jobs 'error:"no such table" after:2h'    by what an attempt failed with
  manage.py gristmill jobs --state scheduled --limit 100 --json

A search has terms: id: task: queue: state: key: schedule: worker: args.NAME: error: before: after:. A value with spaces
stands in double quotes; a bare word is part of a task's name, eight or more hexadecimal digits are the beginning or the
end of an id. before: and after: take a date or how long ago (2h, 7d), of the moment that the state goes by: when jobs
ended, started or are due, else when they were enqueued.

Running jobs come oldest first, scheduled ones soonest first, finished ones newest end first, ready ones of one queue
and task in the order in which they are claimed. Where an index cannot answer, the search looks at 100,000 jobs or for
two seconds, says how far it came, and prints the cursor to go on with. Exit status 1: no job matched.
"""

from __future__ import annotations

import json
import shlex
from argparse import ArgumentParser, ArgumentTypeError
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from gristmill.commands.aliases import chosen_backend, migrated_connection
from gristmill.commands.finding import databases
from gristmill.inspect.colours import painted, wants_colours, warn
from gristmill.inspect.listing.branches import BRANCHES
from gristmill.inspect.listing.pages import MOST, page_of
from gristmill.inspect.listing.search import Search, SearchError
from gristmill.inspect.tables import age, printable, room_of, shortened, table, wrapped
from gristmill.tasks.aliases import default_database
from gristmill.values.durations import duration
from gristmill.values.moments import database_now, seconds_between

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from gristmill.inspect.listing.pages import Page
    from gristmill.inspect.listing.rows import Row

HELP = "List jobs by state, task, queue, argument or error."

#: As many as fit on a screen.
USUAL = 20
#: Columns that every list has.
FIRST = 4
#: What is cut first where a line is too long.
CUT = ("ERROR", "ARGUMENTS", "TASK", "QUEUE")


def number(text: str) -> int:
    """Reads a number of jobs; a type for argparse."""
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= MOST:
        raise ArgumentTypeError(f"{text!r} is not a number from 1 to {MOST:,}")
    return int(text)


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options."""
    states = ", ".join(name for name in BRANCHES if name != "all")
    parser.add_argument("search", nargs="*", metavar="SEARCH", help="Terms, all of which have to hold.")
    parser.add_argument("--state", metavar="STATE", help=f"Only jobs that are so: {states}.")
    parser.add_argument("--task", metavar="NAME", help="Only jobs of this task, by its full name or the end of it.")
    parser.add_argument("--queue", metavar="Q", help="Only jobs of this queue.")
    parser.add_argument("--error", metavar="TEXT", help="Only jobs of which an attempt failed with this text.")
    parser.add_argument("--since", type=duration, metavar="AGE", help="Only the last of them: 90s, 15m, 2h, 7d.")
    parser.add_argument("--limit", type=number, default=USUAL, metavar="N", help=f"So many (default: {USUAL}).")
    parser.add_argument("--cursor", metavar="TEXT", help="Go on where a page ended, as it printed.")
    parser.add_argument("--backend", metavar="ALIAS", help="Only jobs of this TASKS alias.")
    parser.add_argument("--database", metavar="ALIAS", help="Jobs on this database, where several keep jobs.")
    parser.add_argument("--json", action="store_true", help="Print one JSON object.")


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    """Lists."""
    connection, backends = chosen_jobs(options)
    others = [] if backends or options["database"] else [each for each in databases(None) if each != connection.alias]
    if others and not options["json"]:
        warn(command, f"Jobs on database {', '.join(map(repr, others))} are not shown; --database names one.")
    try:
        search = search_of(options)
        page = page_of(connection, search, cursor=options["cursor"], size=options["limit"], backends=backends)
    except SearchError as error:
        raise CommandError(str(error)) from error
    if options["json"]:
        command.stdout.write(json.dumps({"database": connection.alias, **page.as_json()}))
    else:
        now = database_now(connection)
        said = lines(page, now, room_of(command.stdout), coloured=wants_colours(command, options))
        if page.next is not None:
            said += ["", *going_on(options, page.next)]
        command.stdout.write("\n".join(said))
    if not page.rows and options["cursor"] is None and page.next is None:
        raise SystemExit(1)


def chosen_jobs(options: dict[str, Any]) -> tuple[BaseDatabaseWrapper, tuple[str, ...]]:
    """Returns the database whose jobs are meant, and the aliases, none for all."""
    if options["backend"]:
        backend = chosen_backend(options["backend"])
        if options["database"] not in (None, backend.database):
            raise CommandError(f"backend '{backend.alias}' keeps its jobs on database '{backend.database}'")
        return migrated_connection(backend), (backend.alias,)
    known = databases(options["database"])
    return connections[known[0] if len(known) == 1 else default_database()], ()


def search_of(options: dict[str, Any]) -> Search:
    """Returns the search that the terms and the options make; raises SearchError."""
    search = Search.parse(" ".join(options["search"]))
    for name in ("state", "task", "queue", "error"):
        if options[name] is not None:
            search = search.with_term(name, options[name])
    if options["since"] is not None:
        if search.after is not None:
            raise SearchError("after: and --since say the same; leave one of the two out")
        search = search.since(options["since"])
    return search


def lines(page: Page, now: datetime, room: int | None, *, coloured: bool = False) -> list[str]:
    """Returns what a person reads."""
    said = table_of(page, now, room, coloured=coloured) if page.rows else []
    if page.looked is not None:
        told = f"{str(page.looked).capitalize()}." if said else f"No job matched so far: {page.looked}."
        return [*said, *([""] if said else []), *wrapped(told, room)]
    return said or ["No job matched."]


def table_of(page: Page, now: datetime, room: int | None, *, coloured: bool) -> list[str]:
    """Returns a line for each job; where that has no room, what it was called with and its error stand below it."""
    head = [page.branch.moment.upper(), "STATE", "JOB", "TASK", "QUEUE", "TRIES", "WORKER", "ARGUMENTS", "ERROR"]
    rows = [cells(row, page.branch.moment, now) for row in page.rows]
    kept = [column for column in range(len(head)) if column < FIRST or any(row[column] for row in rows)]
    names = [head[column] for column in kept]
    drawn = table(
        names,
        [[row[column] for column in kept] for row in rows],
        right=["TRIES"],
        cut=[name for name in CUT if name in names],
        room=room,
    )
    below: list[list[str]] = [[] for _ in rows]
    if len(drawn) != len(rows) + 1:
        narrow = table(head[:FIRST], [row[:FIRST] for row in rows], cut=["TASK"], room=room)
        if len(narrow) != len(rows) + 1:
            return drawn
        drawn, below = narrow, [below_lines(row, room) for row in page.rows]
    said = drawn[:1]
    for row, line, more in zip(page.rows, drawn[1:], below, strict=True):
        said += [painted_state(line, row.state, coloured), *more]
    return said


def cells(row: Row, what: str, now: datetime) -> list[str]:
    """Returns a job's cells: what its state goes by first."""
    return [
        when(row.at(what), now),
        row.state,
        row.id,
        row.task_name,
        row.queue_name,
        "" if not row.token else f"{row.token:,}",
        row.worker or "",
        row.arguments,
        row.error or (row.reason or ""),
    ]


def below_lines(row: Row, room: int | None) -> list[str]:
    """Returns what stands below a job's line: what it was called with, and what went wrong."""
    told = [f"    {printable(text, 500)}" for text in (row.arguments, row.error or row.reason) if text]
    return told if room is None else [shortened(line, room) for line in told]


def when(moment: datetime | None, now: datetime) -> str:
    """Says how long ago it was, or in how long it will be."""
    if moment is None:
        return ""
    return f"in {age(seconds_between(now, moment))}" if moment > now else f"{age(seconds_between(moment, now))} ago"


def painted_state(line: str, state: str, coloured: bool) -> str:
    """Returns a table's line with its state in colour; it stands in the second column, which nothing cuts."""
    before, found, after = line.partition(f"  {state} ")
    return f"{before}  {painted(state, state, coloured)} {after}" if found else line


def going_on(options: dict[str, Any], cursor: str) -> list[str]:
    """Says how to see what comes next."""
    words = ["manage.py", "gristmill", "jobs", *options["search"]]
    for name in ("state", "task", "queue", "error", "backend", "database"):
        if options[name] is not None:
            words += [f"--{name}", options[name]]
    if options["since"] is not None:
        words += ["--since", f"{options['since'].total_seconds():.0f}s"]
    if options["limit"] != USUAL:
        words += ["--limit", str(options["limit"])]
    return [f"More: {printable(shlex.join(words), 600)} --cursor {cursor}"]
