"""
Forgets finished jobs, with their attempts.

Workers do this by themselves, by OPTIONS["RETENTION"] (14 days where nothing is said); this is for when it should
happen now, or otherwise. A job with a retention of its own goes by that, and nothing is forgotten within 60 s of its
end. It works in batches of 1,000, each a transaction of its own, so it may be stopped at any time.

  manage.py gristmill prune                                          as workers do
  manage.py gristmill prune --older-than 7d --failed-older-than 30d  keep failures longer
  manage.py gristmill prune --queue mail --older-than 1h --dry-run   how many would it be?
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand

from gristmill.commands.aliases import chosen_backend, migrated_connection
from gristmill.commands.gauge import Gauge
from gristmill.inspect.tables import counted
from gristmill.values.bounds import seconds_of
from gristmill.values.durations import duration
from gristmill.verbs.pruning import Rule, prunable, prune
from gristmill.worker.options import RETENTION

HELP = "Forget finished jobs."

#: A dry run counts to here.
CAP = 100_000


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options."""
    for option, text in (
        ("--older-than", "Forget what ended longer ago: 90s, 15m, 2h, 7d (default: OPTIONS['RETENTION'])."),
        ("--failed-older-than", "The same for jobs that failed, were cancelled or poisoned (default: --older-than)."),
    ):
        parser.add_argument(option, type=duration, metavar="AGE", help=text)
    parser.add_argument("--queue", metavar="Q", help="Only jobs of this queue.")
    parser.add_argument("--dry-run", action="store_true", help="Only say how many jobs it would be.")
    parser.add_argument("--backend", metavar="ALIAS", help="The TASKS alias whose jobs are meant (default: default).")
    parser.add_argument("--json", action="store_true", help="Print one JSON object.")


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    """Forgets, and tells how many."""
    backend = chosen_backend(options["backend"])
    connection = migrated_connection(backend)
    retention = seconds_of(backend.options.get("RETENTION"))
    age = options["older_than"]
    if age is None:
        age = timedelta(seconds=RETENTION if retention is None else retention)
    failed_age = age if options["failed_older_than"] is None else options["failed_older_than"]
    queue = None if options["queue"] is None else (backend.alias, options["queue"])
    rule = Rule(age, failed_age, queue)

    if options["dry_run"]:
        found = prunable(connection, rule, CAP)
        said, text = {"dry_run": True, "prunable": min(found, CAP), "at_least": found > CAP}, "Would forget {}."
        amount = counted(min(found, CAP), found > CAP)
    else:
        pruned, whole = 0, True
        try:
            with Gauge(command.stderr, "pruned") as gauge:
                for count in prune(connection, rule):
                    pruned += count
                    gauge.show(pruned)
        except KeyboardInterrupt:
            whole = False
        said, text = {"dry_run": False, "pruned": pruned}, "Forgot {}." if whole else "Stopped; {} forgotten."
        amount = counted(pruned)
    command.stdout.write(json.dumps(said) if options["json"] else text.format(amount))
    if not options["dry_run"] and not whole:
        raise SystemExit(130)
