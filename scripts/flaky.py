"""Tests that fail beside others and pass alone: told as flaky, so that a crowded machine refuses no change.

What fails is asked once more when everything else is done, with the seed that it printed. A test that fails twice has
failed. One that passes then is a fault of the test, or of what waits too impatiently, and is named in the last lines
of the run: to be mended, not to be lived with.
"""

from __future__ import annotations

from dataclasses import replace

import counting
from steps import Done, Step

# More than these in one step is no accident of a crowded machine.
MOST_TESTS = 5


def alone(done: Done) -> Step | None:
    """The step that asks again what failed in this one; None if it cannot be asked by itself, or is too much."""
    named, counted = counting.failed_tests(done.output), counting.tests_in(done.output)
    if not done.step.one or counted is None or counted[1] != len(named) or not 0 < len(named) <= MOST_TESTS:
        return None
    seeds = dict(seed.split("=") for seed in counting.seeds(done.output)[:1])
    return replace(
        done.step,
        title=f"again, alone: {done.step.title}",
        argv=[*done.step.one, *named],
        env={**done.step.env, **seeds},
        cores=float("inf"),
    )


def passed(again: Done) -> list[str]:
    """The tests that passed when they were asked alone; none if not all of them were asked."""
    asked = [str(part) for part in again.step.argv[len(again.step.one) :]]
    if sum(counting.tests_in(again.output) or ()) != len(asked):
        return []
    failed = counting.failed_tests(again.output)
    return [test for test in asked if test not in failed]
