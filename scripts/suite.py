"""Runs the project's checks and tests, side by side, and sums them up: scripts/run suite.py GOAL.

A failing step does not stop the others, so one run tells everything that is wrong. The last line counts tests,
and checks as one test each.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

import counting
import environments
import flaky
import gate
import postgres
import pythons
import side_by_side
import sizes
import steps
from steps import CACHE, ROOT, Done, Step

SLOWEST = 10


@dataclass
class Tally:
    """What has passed and failed so far."""

    passed: int = 0
    failed: int = 0
    ended: list[Done] = field(default_factory=list)
    # Tests that failed beside others and passed alone.
    flaky: list[str] = field(default_factory=list)

    def ask(self, chosen: Sequence[Step]) -> None:
        """Runs steps and counts their tests."""
        for done in side_by_side.run(chosen, verdict):
            passed, failed = counts(done)
            self.passed += passed
            self.failed += failed
            self.ended.append(done)
            if done.status:
                tell_how_to_repeat(done)

    def ask_again(self) -> None:
        """Asks what has failed once more, alone: what passes then has passed, and is told as flaky."""
        failed = [(done, step) for done in self.ended if done.status and (step := flaky.alone(done))]
        first = {step.title: done for done, step in failed}
        for again in side_by_side.run([step for _, step in failed], verdict):
            passed = flaky.passed(again)
            self.passed += len(passed)
            self.failed -= len(passed)
            self.flaky += [f"{first[again.step.title].step.title}: {test}" for test in passed]
            if passed and not again.status:
                self.ended.remove(first[again.step.title])


def counts(done: Done) -> tuple[int, int]:
    """Passed and failed tests of a step; a plain command is one."""
    passed, failed = counting.tests_in(done.output) or (int(done.status == 0), 0)
    return passed, max(failed, int(done.status != 0))


def verdict(done: Done) -> str:
    """The words of a step's line."""
    passed, failed = counts(done)
    if counting.tests_in(done.output) is None:
        return "FAILED" if done.status else "ok"
    return f"{failed} FAILED, {passed} passed" if failed else f"{passed} passed"


def tell_how_to_repeat(done: Done) -> None:
    """The command for each of the first tests that failed, with the seed that it printed."""
    seeds = " ".join(counting.seeds(done.output)[:1])
    for test in counting.failed_tests(done.output)[:3]:
        if done.step.repeat:
            steps.say(f"  Repeat it: {seeds} {done.step.repeat.format(test=test)}".replace(":  ", ": "))
    steps.say()


def check(tally: Tally) -> None:
    """What can be said without running the project."""
    environments.pair("new")
    tally.ask(gate.check())


def everything(tally: Tally) -> None:
    """The gate, at sizes that find what each test is for; CI adds a slice of the full ones, and the other halves."""
    ci = bool(os.environ.get("CI"))
    full = sizes.SLICES[sizes.slice_of_this_commit(CACHE / "slices.json")] if ci else ()
    whole(tally, full, with_more=ci)


def everything_at_full_size(tally: Tally) -> None:
    """The gate with all that CI ever adds, and what has an environment of its own."""
    whole(tally, sizes.SIZES, with_more=True, with_longest=True)


def whole(tally: Tally, full: Collection[str], *, with_more: bool, with_longest: bool = False) -> None:
    pythons.old(), pythons.need_new()  # before minutes are spent
    steps.say(f"  Sizes: {sizes.said(sizes.env(full))}")
    prepare(tally, ["tools", "new", "old", *(["unfold"] if with_longest else [])])
    with postgres.shared():
        chosen = [*gate.check(), *gate.tests(), *(gate.more() if with_more else [])]
        chosen += gate.longest() if with_longest else []
        tally.ask(gate.sized(chosen, full))
        tally.ask_again()
    hold_the_floor(tally)


def prepare(tally: Tally, names: Sequence[str]) -> None:
    """Compiles everything once, and makes the environments beside that."""
    environments.need_rust()
    environments.prepare(names, environments.build(everything=True))
    for name in names:
        if name in ("old", "new"):
            environments.pair(name)


def hold_the_floor(tally: Tally) -> None:
    """Fewer tests or assertions than there have been is a failure, until counts.json says otherwise."""
    least = counting.least()
    found = {"tests": tally.passed + tally.failed, "assertions": counting.assertions()}
    for name, number in found.items():
        steps.say(f"  {number:,} {name}; at least {least[name]:,} there have to be (scripts/counts.json)")
        if number < least[name]:
            tally.failed += 1


def some(tally: Tally, titles: str) -> None:
    """The steps whose titles begin so, at the sizes of `make test`, and all that they print."""
    prepare(tally, ["tools", "new", *(["unfold"] if gate.THEME.startswith(titles) else [])])
    with postgres.shared():
        known = [*gate.check(), *gate.tests(), *gate.more(), *gate.longest()]
        chosen = [step for step in known if step.title.startswith(titles)]
        if not chosen:
            raise steps.stop(f"No step's title begins with {titles!r}.")
        tally.ask(gate.sized(chosen, ()))
    for done in tally.ended:
        steps.say(done.output)


def conformance(tally: Tally) -> None:
    """The store's questions alone, all of them."""
    some_rust(tally, "store", ("sqlite", "postgres", "plans", "model", "goals", "ticks"))


def sim(tally: Tally) -> None:
    """The engine's simulation, longer than `make test` has time for; SEED repeats a run, SIM_SECONDS bounds it."""
    some_rust(tally, "engine", ("unit",), ("sim", "--nocapture"))
    for line in tally.ended[-1].output.splitlines():
        if re.match(r"\.*(seeds \d|\w+ found with SEED)", line) or "simulated hours" in line:
            steps.say(f"    {line.lstrip('.')}")


def some_rust(tally: Tally, crate: str, targets: Collection[str], arguments: Sequence[str] = ()) -> None:
    prepare(tally, ["tools", environments.best("best")])
    with postgres.shared():
        titles = {f"rust: {crate}, {target}" for target in targets}
        chosen = [step for step in gate.rust(crate) if step.title in titles]
        chosen = [replace(step, argv=[*step.argv, *arguments]) for step in chosen]
        tally.ask(gate.sized(chosen, sizes.SIZES))


def django_suite(tally: Tally) -> None:
    """The tests that Django has for its own backends."""
    prepare(tally, ["tools", "new", "old"])
    with postgres.shared():
        tally.ask([gate.django_suite("old"), gate.django_suite("new")])


def journeys(tally: Tally) -> None:
    """Real workers and real signals."""
    environments.pair("new")
    with postgres.shared():
        tally.ask(gate.sized([gate.journeys()], ()))


def bench(tally: Tally) -> None:
    """The race of bench/README.md, on a release build and with the durability that users have."""
    python = environments.pair("best", profile="release") / "python"
    with postgres.server(durable=True) as url:
        status = subprocess.call(
            [python, "bench/run.py", "--alone"], cwd=ROOT, env={**os.environ, postgres.VARIABLE: url}
        )
    tally.passed, tally.failed = int(status == 0), int(status != 0)


def pages_bench(tally: Tally) -> None:
    """Every page of the admin on a nearly empty database and on a full one: bench/README.md."""
    python = environments.pair("best") / "python"
    with postgres.server(durable=True) as url:
        status = subprocess.call([python, "bench/pages/run.py"], cwd=ROOT, env={**os.environ, postgres.VARIABLE: url})
    tally.passed, tally.failed = int(status == 0), int(status != 0)


def tell(goal: str, tally: Tally, seconds: float) -> None:
    """The slowest steps with their reasons, what it cost, and the counts."""
    slowest = sorted(tally.ended, key=lambda done: -done.seconds)[:SLOWEST]
    if len(tally.ended) > SLOWEST:
        steps.say("\nThe ten slowest steps:")
        for done in slowest:
            steps.say(f"  {done.step.title:<36} {done.seconds:7.1f} s  {done.step.why}".rstrip())
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    minutes, rest = divmod(seconds, 60)
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    steps.say(
        f"\nmake {goal} took {minutes:.0f} min {rest:.0f} s: {used.ru_utime:.0f} s user, {used.ru_stime:.0f} s system, "
        f"on {os.cpu_count()} cores; load {load}."
    )
    for done in tally.ended:
        if done.status:
            steps.say(f"Failed: {done.step.title} ({steps.shown(done.step.log)})")
    for test in tally.flaky:
        steps.say(f"Flaky, to be mended: it failed beside the others and passed alone: {test}")
    steps.say(f"{tally.passed} passed, {tally.failed} failed")


GOALS: dict[str, Callable[[Tally], None]] = {
    "bench": bench,
    "check": check,
    "conformance": conformance,
    "django-suite": django_suite,
    "journeys": journeys,
    "pages-bench": pages_bench,
    "sim": sim,
    "test": everything,
    "test-long": everything_at_full_size,
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs the project's checks and tests.")
    parser.add_argument("goal", choices=[*sorted(GOALS), "step"])
    parser.add_argument("titles", nargs="?", default="", help="of step: how the titles of the steps begin")
    options = parser.parse_args()
    goal = options.goal
    steps.stop_on_signals()
    started, tally = time.monotonic(), Tally()
    try:
        if goal == "step":
            some(tally, options.titles)
        else:
            GOALS[goal](tally)
    except steps.StepFailed:
        return 1
    except KeyboardInterrupt:
        return 130
    tell(goal, tally, time.monotonic() - started)
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
