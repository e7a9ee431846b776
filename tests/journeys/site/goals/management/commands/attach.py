"""
`manage.py attach ID…`: has new and old jobs wait for these that run.

Prints whether they still ran after all those requests and a job that the worker has run meanwhile.
"""

from __future__ import annotations

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
        for ask in (
            lambda: tasks.step.using(after=ids).enqueue(),
            lambda: operations.add_preconditions(kept, ids),
            lambda: tasks.step.using(after=[kept, *ids], deadline=60).enqueue(),
            lambda: operations.release(kept),
        ):
            assert ask()
        # The worker that notes who waits for whom goes on with its work, too.
        tasks.step.enqueue().wait(timeout=60)
        states = set(Job.objects.filter(pk__in=ids).values_list("state", flat=True))
        self.stdout.write(str(states == {"running"}))
