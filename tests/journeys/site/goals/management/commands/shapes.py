"""`manage.py shapes SECONDS RATE SEED`: enqueues goals of many shapes, so many jobs a second; prints their ids."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction
from work.tasks import leave_a_mark, stumble

from goals import tasks
from gristmill import Graph, chain, group


class Command(BaseCommand):
    """A shape a transaction."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("seconds", type=float)
        parser.add_argument("rate", type=float)
        parser.add_argument("seed", type=int)

    def handle(self, *, seconds: float, rate: float, seed: int, **options: object) -> None:
        chance = random.Random(seed)
        began, asked, shapes = time.monotonic(), 0, 0
        while (passed := time.monotonic() - began) < seconds or shapes < len(SHAPES):
            if asked > passed * rate:
                time.sleep(0.01)
                continue
            # One of each, then as it comes.
            shape = SHAPES[shapes] if shapes < len(SHAPES) else chance.choice(SHAPES)
            with transaction.atomic():
                ids = [result.id for result in shape(chance)]
            asked, shapes = asked + len(ids), shapes + 1
            self.stdout.write("\n".join(job_id.replace("-", "") for job_id in ids))
            self.stdout.flush()


def a_step(chance: random.Random) -> Any:
    """One of those that end well, sooner or later."""
    kinds = [tasks.step.with_args(chance.choice((0, 0, 5, 30))), leave_a_mark.with_args(), stumble.with_args()]
    return chance.choices(kinds, (6, 2, 1))[0]


def in_a_row(chance: random.Random) -> Iterable[Any]:
    """A chain."""
    return chain(*(a_step(chance) for _ in range(chance.randint(2, 6)))).enqueue()


def out_and_in(chance: random.Random) -> Iterable[Any]:
    """A fan-out and a fan-in."""
    return chain(a_step(chance), group(a_step(chance) for _ in range(8)), tasks.step).enqueue()


def diamonds(chance: random.Random) -> Iterable[Any]:
    """A diamond on a diamond, drawn by hand."""
    graph = Graph()
    top = graph.add(tasks.step, 5)
    sides = [graph.add(a_step(chance), after=top) for _ in range(2)]
    middle = graph.add(tasks.step, after=sides)
    sides = [graph.add(tasks.step.using(priority=chance.randint(-9, 9)), after=middle) for _ in range(3)]
    graph.add(tasks.step.using(after_mode="any"), after=sides)
    return graph.enqueue()


def after_a_failure(chance: random.Random) -> Iterable[Any]:
    """What fails, what that strands, what strands with that, and what only wants to know."""
    first = tasks.sulk.enqueue()
    second = tasks.step.using(after=[first, tasks.step.enqueue(20)]).enqueue()
    third = tasks.step.using(after=second).enqueue()
    told = tasks.step.using(after=first, on_precondition_failure="proceed").enqueue()
    return [first, second, third, told]


def one_by_one(chance: random.Random) -> Iterable[Any]:
    """Each enqueued for those before it, some of which have a date."""
    results: list[Any] = []
    for _ in range(5):
        after = chance.sample(results, chance.randint(0, len(results)))
        run_after = timedelta(seconds=chance.choice((0, 0, 1)))
        results.append(tasks.step.using(after=after, run_after=run_after).enqueue(chance.choice((0, 20))))
    return results


def gathered(chance: random.Random) -> Iterable[Any]:
    """What finds out while it runs, and what waits for that."""
    return [
        result
        for task in (tasks.gather, tasks.gather_at_once)
        for result in chain(task.with_args(chance.randint(1, 4)), tasks.step).enqueue()
    ]


SHAPES: list[Callable[[random.Random], Iterable[Any]]] = [
    *(in_a_row, out_and_in, diamonds, after_a_failure, one_by_one, gathered),
]
