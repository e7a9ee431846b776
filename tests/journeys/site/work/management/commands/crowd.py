"""`manage.py crowd SECONDS GENERATIONS`: enqueues as a busy web process does; prints how many jobs come of it."""

from __future__ import annotations

import time

from django.core.management.base import BaseCommand, CommandParser
from django.db import connection, transaction

from work import tasks


class Command(BaseCommand):
    """Reads, then enqueues, one short transaction after another."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("seconds", type=float)
        parser.add_argument("generations", type=int)

    def handle(self, *, seconds: float, generations: int, **options: object) -> None:
        asked, until = 0, time.monotonic() + seconds
        while time.monotonic() < until:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("select count(*) from gristmill_worker")
                tasks.beget.enqueue(generations)
            asked += 1 + generations
            time.sleep(0.005)
        self.stdout.write(str(asked))
