"""`manage.py dated SECONDS RATE`: enqueues jobs that are due one after another; prints `ID DUE` for each."""

from __future__ import annotations

import time
from datetime import timedelta

from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction
from django.utils import timezone

from work import tasks

# Until the first is due, everything is committed.
AHEAD = 1.0


class Command(BaseCommand):
    """Enqueues in one transaction; DUE is by the clock that tasks write down."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("seconds", type=float)
        parser.add_argument("rate", type=float)

    def handle(self, *, seconds: float, rate: float, **options: object) -> None:
        now, began = timezone.now(), time.monotonic()
        with transaction.atomic():
            for n in range(round(seconds * rate)):
                after = AHEAD + n / rate
                due = now + timedelta(seconds=after)
                # Short ones and long ones, some with a key.
                if n % 3 == 0:
                    job = tasks.last.using(run_after=due).enqueue(0.4)
                elif n % 3 == 1:
                    job = tasks.only.using(run_after=due).enqueue(n)
                else:
                    job = tasks.note.using(run_after=due).enqueue()
                self.stdout.write(f"{str(job.id).replace('-', '')} {began + after}")
                if n % 5 == 0:
                    tasks.note.using(after=[job]).enqueue()
