"""`manage.py keep COUNT SEED`: enqueues so many held jobs, which take the failures of others in different ways."""

from __future__ import annotations

import random

from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from goals import tasks


class Command(BaseCommand):
    """Enqueues, and prints the ids."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("count", type=int)
        parser.add_argument("seed", type=int)

    def handle(self, *, count: int, seed: int, **options: object) -> None:
        chance = random.Random(seed)
        with transaction.atomic():
            for _ in range(count):
                on_precondition_failure = chance.choice(("proceed", "fail", "strand"))
                mode = chance.choice(("all", "all", "any"))
                task = tasks.step.using(hold=True, after_mode=mode, on_precondition_failure=on_precondition_failure)
                self.stdout.write(task.enqueue().id.replace("-", ""))
