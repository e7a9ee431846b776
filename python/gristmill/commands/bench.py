"""
Measures Gristmill on this project's own database, with workers and jobs of its own.

The jobs do nothing but note when they ran. The workers that it starts know no other task, so they leave the
project's jobs alone; stop the project's own workers first, or they share the machine with the measurement. Every
row that it wrote is deleted at the end. "backlog" writes a million rows, four times; "wide" a million jobs;
"schedules" takes a minute (its --jobs are seconds) and needs a database without schedules; "restart" has the
database analyse Gristmill's tables, and takes --ready.
"""

from __future__ import annotations

import json
import statistics
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gristmill.commands.aliases import chosen_backend, migrated_connection

HELP = "Measure this project's database: drain, latency, enqueue, idle, backlog, goals, wide, schedules, restart."

#: Measurements that take seconds; the others are asked for by name.
USUAL = ("drain", "latency", "enqueue")
JOBS = {
    "drain": 10_000,
    "latency": 200,
    "enqueue": 10_000,
    "idle": 0,
    "backlog": 20_000,
    "goals": 100_000,
    "wide": 1_000_000,
    "schedules": 60,
    "restart": 20_000,
}


def add_arguments(parser: ArgumentParser) -> None:
    """Adds its options."""
    parser.add_argument(
        "measure", nargs="*", metavar="MEASUREMENT", help=f"Any of {', '.join(JOBS)} (default: {', '.join(USUAL)})."
    )
    parser.add_argument("--backend", metavar="ALIAS", help="The TASKS alias to measure (default: default).")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="Runners of the worker (default: 2).")
    parser.add_argument("--jobs", type=int, metavar="N", help="How many jobs; each measurement has its own default.")
    parser.add_argument(
        "--rounds", type=int, default=1, metavar="N", help="Repeat so often, and take the median of each figure."
    )
    parser.add_argument(
        "--ready", type=int, default=0, metavar="N", help="restart: so many more jobs are in line when it starts anew."
    )
    parser.add_argument("--json", action="store_true", help="Print the figures of each round as JSON.")


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    """Measures and prints."""
    wanted = options["measure"] or USUAL
    for name in wanted:
        if name not in JOBS:
            raise CommandError(f"there is no measurement '{name}'; there are: {', '.join(JOBS)}")
    if options["processes"] < 1 or options["rounds"] < 1 or (options["jobs"] is not None and options["jobs"] < 1):
        raise CommandError("--processes, --rounds and --jobs count from 1")
    if options["ready"] < 0 or (options["ready"] and "restart" not in wanted):
        raise CommandError("--ready counts jobs for the measurement 'restart'")
    backend = chosen_backend(options["backend"])
    connection = migrated_connection(backend)

    # Imported here: importing the module is what registers its task.
    from gristmill.bench import measure, rows
    from gristmill.bench.worker import track

    figures: dict[str, list[float]] = {}
    try:
        for number in range(options["rounds"]):
            for name in wanted:
                if not options["json"]:
                    command.stderr.write(f"round {number + 1} of {options['rounds']}: {name} …")
                rows.clear(backend.alias)
                with track() as ran:
                    found = measure.MEASUREMENTS[name](
                        ran,
                        backend=backend.alias,
                        processes=options["processes"],
                        jobs=options["jobs"] or JOBS[name],
                        **({"ready": options["ready"]} if name == "restart" else {}),
                    )
                for figure, value in found.items():
                    figures.setdefault(figure, []).append(value)
    except (TimeoutError, RuntimeError) as error:
        raise CommandError(str(error)) from error
    finally:
        rows.clear(backend.alias)

    if options["json"]:
        command.stdout.write(json.dumps({"database": connection.vendor, "figures": figures}))
        return
    command.stdout.write(f"{connection.vendor}, {options['processes']} runners")
    for figure, values in figures.items():
        spread = f"   ({min(values):,.2f} to {max(values):,.2f})" if len(values) > 1 else ""
        command.stdout.write(f"  {figure:<52}{statistics.median(values):>12,.2f}{spread}")
