"""
`manage.py attach ID…`: has new and old jobs wait for these that run.

Prints the seconds that the longest such request took, and whether they still ran after a job that the worker has run
meanwhile.
"""

from __future__ import annotations

import time

from django.core.management.base import BaseCommand, CommandParser

from goals import tasks
from gristmill import operations
from gristmill.models import Job


class Command(BaseCommand):
    """Each a request of its own, as in a web process."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("ids", nargs="+")

    def handle(self, *, ids: list[str], **options: object) -> None:
        kept = tasks.step.using(hold=True).enqueue()
        longest = 0.0
        for ask in (
            lambda: tasks.step.using(after=ids).enqueue(),
            lambda: operations.add_preconditions(kept, ids),
            lambda: tasks.step.using(after=[kept, *ids], deadline=60).enqueue(),
            lambda: operations.release(kept),
        ):
            began = time.monotonic()
            assert ask()
            longest = max(longest, time.monotonic() - began)
        # The worker that notes who waits for whom goes on with its work, too.
        tasks.step.enqueue().wait(timeout=10)
        states = set(Job.objects.filter(pk__in=ids).values_list("state", flat=True))
        self.stdout.write(f"{longest} {states == {'running'}}")
