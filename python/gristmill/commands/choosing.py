"""
What commands share that are about jobs (`cancel`, `hold`, `change`, …): which are meant, whether so, what came of it.

Jobs are named by id, or chosen by a filter. A filter may match more than its author thought, so it asks first.
"""

from __future__ import annotations

import getpass
import json
import sys
from argparse import ArgumentParser
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill import operations
from gristmill.backend import GristmillBackend
from gristmill.commands.aliases import chosen_backend, migrated_connection
from gristmill.commands.finding import found_job
from gristmill.commands.gauge import Gauge
from gristmill.inspect.tables import counted, printable
from gristmill.models import Job
from gristmill.tasks import registry
from gristmill.values.durations import duration
from gristmill.values.ids import parse_id
from gristmill.values.moments import database_now
from gristmill.verbs.batched import STATES, reading_by_state
from gristmill.verbs.changing import Change

if TYPE_CHECKING:
    from gristmill.models import JobQuerySet
    from gristmill.operations import Answer

#: A question before a filter is carried out counts to here.
CAP = 100_000
#: Refused ids that are shown one by one.
SHOWN = 10
DONE = {
    "cancelled": "Cancelled {}.",
    "asked": "Asked {} to end: running, so the worker sees to it.",
    "held": "Held {}.",
    "released": "Released {}.",
    "retried": "Retried {}: ready to run again.",
    "readied": "Made {} due now.",
    "changed": "Changed {}.",
}
# What --reason means for each verb; nothing for cancel.
REASONS = {
    "hold": "Why they are held, for the people who wonder; status and the admin show it.",
    "release": "Choose jobs that were held for this reason.",
    "retry": "Choose jobs that failed for this reason: error, timeout, memory, expired, interrupted too often, …",
}


def add_arguments(parser: ArgumentParser, verb: str) -> None:
    """Adds the options of a verb."""
    states = ", ".join(STATES[verb])
    ended = "ended" if verb == "retry" else "were enqueued"
    parser.add_argument("ids", nargs="*", metavar="ID", help="Jobs by id, or its first or last digits.")
    group = parser.add_argument_group("filter", "Instead of ids. Every condition narrows the choice.")
    group.add_argument("--task", metavar="NAME", help="Jobs of this task, by its full name: shop.tasks.send_receipt.")
    group.add_argument("--queue", metavar="Q", help="Jobs of this queue.")
    group.add_argument("--state", action="append", metavar="STATE", help=f"{states}; may be repeated.")
    if verb in REASONS:
        (parser if verb == "hold" else group).add_argument("--reason", metavar="TEXT", help=REASONS[verb])
    for option, when in (("--older-than", "longer ago than"), ("--newer-than", "within the last")):
        text = f"Jobs that {ended} {when}: 90s, 15m, 2h, 7d."
        group.add_argument(option, type=duration, metavar="AGE", help=text)
    most = "that failed, was cancelled or poisoned" if verb == "retry" else "that it applies to"
    group.add_argument("--all", action="store_true", help=f"Every job of the backend {most}.")
    parser.add_argument("--dry-run", action="store_true", help="Only say how many jobs it would be.")
    parser.add_argument("--yes", action="store_true", help="Do not ask before a filter is carried out.")
    parser.add_argument("--backend", metavar="ALIAS", help="The TASKS alias whose jobs are meant (default: default).")
    parser.add_argument("--actor", metavar="WHO", help="Whom to write down as doing it (default: your user's name).")
    parser.add_argument("--json", action="store_true", help="Print one JSON object.")


def handle(command: BaseCommand, options: dict[str, Any], verb: str, change: Change | None = None) -> None:
    """Does it, and tells what came of it. Exit status 1: nothing was done."""
    backend = chosen_backend(options["backend"])
    connection = migrated_connection(backend)
    # A whole id is taken as it is: what becomes of one that is unknown is said beside the others.
    options["ids"] = [
        text if parse_id(text) is not None else found_job(text, backend.database)[0].hex for text in options["ids"]
    ]
    by_filter = refuse_what_contradicts(options, verb)
    jobs = chosen_jobs(backend, connection, options, verb)
    if options["dry_run"]:
        tell_dry_run(command, jobs, options, verb)
    if by_filter:
        confirm(command, jobs, options, verb)
    answer, whole = carry_out(command, backend, jobs if by_filter else None, options, verb, change)
    tell(command, answer, options, verb, by_filter=by_filter)
    if not whole:
        raise SystemExit(130)
    if not answer:
        raise SystemExit(1)


def refuse_what_contradicts(options: dict[str, Any], verb: str) -> bool:
    """Refuses what cannot be meant, in one sentence; tells whether jobs are chosen by a filter."""
    conditions = ["task", "queue", "state", "older_than", "newer_than"]
    if verb in ("release", "retry"):
        conditions.append("reason")
    narrowed = any(options[name] is not None for name in conditions)
    if options["ids"] and (narrowed or options["all"]):
        raise CommandError("name jobs by id or choose them by a filter, not both")
    if options["all"] and narrowed:
        raise CommandError("--all means every job; leave it out where a filter narrows the choice")
    if not (options["ids"] or narrowed or options["all"]):
        raise CommandError(f"which jobs? Name them by id, choose with --task, --queue, …, or {typed(verb)} --all")
    for state in options["state"] or []:
        if state not in STATES[verb]:
            raise CommandError(f"{typed(verb)} takes jobs that are {either(STATES[verb])}, not {state!r}")
    return not options["ids"]


def chosen_jobs(
    backend: GristmillBackend, connection: BaseDatabaseWrapper, options: dict[str, Any], verb: str
) -> JobQuerySet:
    """Returns the jobs that are meant, as a query."""
    jobs: JobQuerySet = Job.objects.using(connection.alias)
    if options["ids"]:
        return jobs.filter(pk__in=[parse_id(text) for text in options["ids"]])
    usual = [state for state in STATES[verb] if state != "successful"]
    jobs = jobs.filter(backend=backend.alias, state__in=options["state"] or usual)
    if options["task"] is not None:
        jobs = jobs.filter(task_name=options["task"])
    if options["queue"] is not None:
        jobs = jobs.filter(queue_name=options["queue"])
    if verb in ("release", "retry") and options["reason"] is not None:
        jobs = jobs.filter(reason=options["reason"])
    column = "finished_at" if verb == "retry" else "enqueued_at"
    for name, lookup in (("older_than", "lt"), ("newer_than", "gt")):
        if options[name] is not None:
            jobs = jobs.filter(**{f"{column}__{lookup}": database_now(connection) - options[name]})
    return jobs


def count(jobs: JobQuerySet) -> tuple[int, bool]:
    """Counts jobs, and tells whether there are more than the cap."""
    with reading_by_state(jobs.db):
        found = jobs.order_by().values("pk")[: CAP + 1].count()
    return min(found, CAP), found > CAP


def tell_dry_run(command: BaseCommand, jobs: JobQuerySet, options: dict[str, Any], verb: str) -> None:
    """Says what would be done, and ends the command."""
    matched, more = count(jobs.filter(state__in=STATES[verb]))
    if options["json"]:
        command.stdout.write(json.dumps({"verb": verb, "dry_run": True, "matched": matched, "at_least": more}))
    else:
        command.stdout.write(f"Would {spoken(verb)} {counted(matched, more)}." if matched else nothing(options, verb))
    raise SystemExit(0 if matched else 1)


def confirm(command: BaseCommand, jobs: JobQuerySet, options: dict[str, Any], verb: str) -> None:
    """Asks a person whether so many jobs are meant."""
    if options["yes"]:
        return
    if not sys.stdin.isatty():
        raise CommandError(
            f"to {spoken(verb)} by a filter takes --yes where nobody can be asked; --dry-run tells how many"
        )
    matched, more = count(jobs)
    if not matched:
        return
    command.stderr.write(f"{spoken(verb).capitalize()} {counted(matched, more)}? [y/N] ", ending="")
    command.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("nothing was done")


def carry_out(
    command: BaseCommand,
    backend: GristmillBackend,
    jobs: JobQuerySet | None,
    options: dict[str, Any],
    verb: str,
    change: Change | None,
) -> tuple[Answer, bool]:
    """Does it, thousand by thousand; tells whether it came to the end or was stopped by Ctrl-C."""
    answer = operations.Answer()
    actor = options["actor"] or f"{user_name()}, with manage.py gristmill {typed(verb)}"
    reason = options["reason"] if verb == "hold" else None
    try:
        with Gauge(command.stderr, f"{typed(verb)}:") as gauge:
            if jobs is None:
                ids = [job_id for text in options["ids"] if (job_id := parse_id(text))]
                batches = operations.operate_on_ids(ids, verb, actor, reason, change, using=backend.database)
            else:
                batches = operations.operate(jobs, verb, actor, reason, change)
            for outcomes in batches:
                answer.add(outcomes)
                gauge.show(answer.total)
    except KeyboardInterrupt:
        return answer, False
    return answer, True


def tell(command: BaseCommand, answer: Answer, options: dict[str, Any], verb: str, *, by_filter: bool) -> None:
    """Says what became of the jobs."""
    if options["json"]:
        said: dict[str, Any] = {"verb": verb, "done": answer.done, "refused": answer.refused}
        if not by_filter:
            said["outcomes"] = answer.outcomes
        command.stdout.write(json.dumps(said))
        return
    for done, number in answer.done.items():
        command.stdout.write(DONE[done].format(counted(number)))
    if not answer.done and not answer.refused:
        command.stdout.write(nothing(options, verb))
    for reason, number in answer.refused.items():
        command.stdout.write(f"Refused {counted(number)}: {printable(reason)}.")
    refused = [job_id for job_id, outcome in answer.outcomes.items() if outcome.startswith("refused")]
    if not by_filter and len(answer.outcomes) > 1 and refused:
        for job_id in refused[:SHOWN]:
            command.stdout.write(f"  {job_id}")
        if len(refused) > SHOWN:
            command.stdout.write(f"  and {len(refused) - SHOWN:,} more; --json names them all")


def nothing(options: dict[str, Any], verb: str) -> str:
    """Says that no job matched, and why that may be."""
    said = f"No job matched: {typed(verb)} takes jobs that are {either(STATES[verb])}."
    task = options["task"]
    if task:
        registry.load()
        known = sorted({name for tasks in registry.tasks.values() for name in tasks})
        if task not in known:
            alike = [name for name in known if name.endswith(f".{task}")]
            said += f" No task is named {task!r} here" + (f"; did you mean {alike[0]}?" if alike else ".")
    return said


def either(names: tuple[str, ...]) -> str:
    """Says: a, b or c."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def typed(verb: str) -> str:
    """Returns a verb as the command line has it."""
    return verb.replace("_", "-")


def spoken(verb: str) -> str:
    """Returns a verb as a sentence has it."""
    return verb.replace("_", " ")


def user_name() -> str:
    """Returns the name of whoever runs the command."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        # A container's user may have no name.
        return "someone"
