"""
`manage.py cross SECONDS SEED`: has jobs wait for each other at random, against each other and in circles.

Some are retried, held and cancelled meanwhile. Prints how often what was done, as JSON. Whatever the database raises
ends it.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter

from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from goals import tasks
from gristmill import operations
from gristmill.models import Job


class Command(BaseCommand):
    """One of many processes that do so at the same time."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("seconds", type=float)
        parser.add_argument("seed", type=int)

    def handle(self, *, seconds: float, seed: int, **options: object) -> None:
        chance = random.Random(seed)
        ids = [
            job_id.hex for job_id in Job.objects.filter(task_name=tasks.step.module_path).values_list("pk", flat=True)
        ]
        ids.sort()
        done: Counter[str] = Counter()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            # Sometimes several in one transaction, whose locks then meet others'.
            with transaction.atomic():
                for _ in range(chance.choice((1, 1, 1, 4))):
                    done.update(act(chance, ids))
            time.sleep(0.002)
        self.stdout.write(json.dumps(done))


def act(chance: random.Random, ids: list[str]) -> dict[str, int]:
    """Does one thing; says to how many jobs, and how many were refused."""
    job, *others = chance.sample(ids, chance.randint(2, 4))
    drawn = chance.random()
    if drawn < 0.75:
        answer = operations.add_preconditions(job, others)
    elif drawn < 0.97:
        answer = operations.retry([job, *others])
    elif drawn < 0.99:
        answer = operations.hold([job, *others])
    else:
        answer = operations.cancel(job)
    return {**answer.done, "refused": sum(answer.refused.values())}
