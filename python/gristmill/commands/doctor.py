"""
Holds the queue's tables against what must always be true of them.

  manage.py gristmill doctor                  look, and change nothing
  manage.py gristmill doctor --fix            put right what may be put right without a person
  manage.py gristmill doctor --json

Workers and web processes may go on meanwhile: it reads page by page, holds no lock, and looks twice at what it finds. A
problem is something that can never be; a warning is something that a person should look at.

Exit status 0: nothing is broken (there may be warnings). 1: something is. 2: something could not be checked.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from gristmill.commands.aliases import chosen_backend, migrated_connection
from gristmill.commands.choosing import user_name
from gristmill.commands.finding import databases
from gristmill.commands.gauge import Gauge
from gristmill.inspect.colours import wants_colours
from gristmill.inspect.tables import counted, printable, room_of, wrapped

if TYPE_CHECKING:
    from gristmill.doctor.check import Finding
    from gristmill.doctor.examine import Report

HELP = "Hold the queue's tables against what must be true of them."

#: Findings of one check that are told one by one.
SHOWN = 5


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("--fix", action="store_true", help="Put right counts of gates, forgotten propagations, keys "
                        "and progress that belong to nobody. Each is written down.")  # fmt: skip
    parser.add_argument("--backend", metavar="ALIAS", help="Only the database of this TASKS alias.")
    parser.add_argument("--database", metavar="ALIAS", help="Only this database (default: every one that keeps jobs).")
    parser.add_argument("--actor", metavar="WHO", help="Whom to write down as mending (default: your user's name).")
    parser.add_argument("--json", action="store_true", help="Print one JSON object.")


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    """Examines, and tells what it found."""
    from gristmill.doctor.examine import examine

    actor = options["actor"] or f"{user_name()}, with manage.py gristmill doctor"
    reports: list[Report] = []
    try:
        for alias in chosen_databases(options):
            with Gauge(command.stderr, f"looked at rows on {alias}:") as gauge:
                reports.append(examine(alias, fix=options["fix"], actor=actor, looked_at=gauge.show))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except DatabaseError as error:
        raise CommandError(f"could not check: {' '.join(str(error).split())}", returncode=2) from error
    if options["json"]:
        command.stdout.write(json.dumps({"databases": [report.as_dict() for report in reports]}))
    else:
        paint = command.style if wants_colours(command, options) else None
        for number, report in enumerate(reports):
            if number:
                command.stdout.write("")
            said = lines(report, room_of(command.stdout), paint, named=len(reports) > 1, fix=options["fix"])
            command.stdout.write("\n".join(said))
    status = max((report.exit_status for report in reports), default=0)
    if status:
        raise SystemExit(status)


def chosen_databases(options: dict[str, Any]) -> list[str]:
    """Returns the databases that are meant; whatever is wrong with them, they could not be checked."""
    try:
        if options["backend"]:
            backend = chosen_backend(options["backend"])
            if options["database"] not in (None, backend.database):
                raise CommandError(f"backend '{backend.alias}' keeps its jobs on database '{backend.database}'")
            return [migrated_connection(backend).alias]
        return databases(options["database"])
    except CommandError as error:
        raise CommandError(str(error), returncode=2) from error


def lines(report: Report, room: int | None, style: Any, *, named: bool, fix: bool) -> list[str]:
    """Returns what the command prints about one database."""
    said = [f"Database {report.database}"] if named else []
    mended = [finding for finding in report.findings if finding.mended]
    problems = report.problems
    for title, findings, paint in (
        ("Problems", problems, "ERROR"),
        ("Put right", mended, "SUCCESS"),
        ("Warnings", [finding for finding in report.warnings if not finding.mended], "WARNING"),
    ):
        if findings:
            said += [getattr(style, paint)(title) if style else title, *by_check(findings, report, room), ""]
    if report.unchecked:
        said.append(style.ERROR("Could not check") if style else "Could not check")
        said += [f"  {name}: {printable(why, 200)}" for name, why in report.unchecked.items()]
        said.append("")
    looked = f"{counted(report.checks, what='check')} over {report.rows:,} rows in {report.seconds:.1f} s"
    if not problems and not report.unchecked:
        verdict = f"Nothing is broken: {looked}."
        said.append(style.SUCCESS(verdict) if style else verdict)
    else:
        said.append(f"{counted(len(problems), bool(report.more), 'problem')}: {looked}.")
    if not fix and any(finding.mend for finding in problems):
        number = sum(bool(finding.mend) for finding in problems)
        others = "; the others take a person" if number < len(problems) else ""
        said += wrapped(f"--fix can put {number:,} of them right{others}.", room)
    if report.skipped:
        no_worker = f"No worker is running, so {len(report.skipped)} checks of what workers would do were left out."
        said += wrapped(no_worker, room)
    return said


def by_check(findings: list[Finding], report: Report, room: int | None) -> list[str]:
    """Returns findings, each check's together under what must be true."""
    said = []
    for name in dict.fromkeys(finding.check for finding in findings):
        of_check = [finding for finding in findings if finding.check == name]
        said.append(f"  {name} ({of_check[0].invariant})")
        for finding in of_check[:SHOWN]:
            sentence = f"{printable(finding.subject)}: {printable(finding.sentence, 500)}"
            sentence += f" [{finding.mended}]" if finding.mended else ""
            first, *rest = wrapped(sentence, None if room is None else room - 6)
            said += [f"    {first}", *(f"      {line}" for line in rest)]
        if len(of_check) > SHOWN:
            more = f"{len(of_check) - SHOWN:,}{'+' * (name in report.more)}"
            said.append(f"    and {more} more; --json names them")
    return said
