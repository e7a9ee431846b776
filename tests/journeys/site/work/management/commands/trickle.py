"""
`manage.py trickle SECONDS RATE SEED`: enqueues a mixture of jobs, so many a second.

Prints `KIND ID` for each that was committed, and `? KIND ID` where the answer to the commit was lost.
"""

from __future__ import annotations

import random
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError, InterfaceError, connection, transaction

from work import tasks

BATCH = 10


class Command(BaseCommand):
    """Goes on through outages."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("seconds", type=float)
        parser.add_argument("rate", type=float)
        parser.add_argument("seed", type=int)

    def handle(self, *, seconds: float, rate: float, seed: int, **options: object) -> None:
        chance = random.Random(seed)
        began, asked = time.monotonic(), 0
        while (passed := time.monotonic() - began) < seconds:
            if asked < passed * rate:
                asked += self.enqueue(chance)
            else:
                time.sleep(0.01)

    def enqueue(self, chance: random.Random) -> int:
        """Enqueues a few in one transaction; gives how many."""
        made: list[tuple[str, str]] = []
        told = False
        try:
            with transaction.atomic():
                for _ in range(BATCH):
                    kind, arguments = choose(chance)
                    made.append((kind, getattr(tasks, kind).enqueue(*arguments).id.replace("-", "")))
                told = True
        except (DatabaseError, InterfaceError):
            connection.close()
            time.sleep(0.2)
            if not told:
                return 0
            # All were asked for, so the commit itself failed, or its answer did.
            self.say("? ", made)
            return BATCH
        self.say("", made)
        return BATCH

    def say(self, mark: str, made: list[tuple[str, str]]) -> None:
        for kind, job in made:
            self.stdout.write(f"{mark}{kind} {job}")
        self.stdout.flush()


def choose(chance: random.Random) -> tuple[str, list[Any]]:
    """A task and its arguments."""
    drawn = chance.random()
    if drawn < 0.55:
        return "leave_a_mark", [chance.choice((0, 0, 5, 30))]
    if drawn < 0.70:
        return "note", []
    if drawn < 0.80:
        return "stumble", []
    if drawn < 0.88:
        return "dawdle", [2]
    if drawn < 0.98:
        return "rest", [0.1]
    return "last", [1.0]
