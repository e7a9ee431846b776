"""
Plants bugs, one after the other, and looks whether the step of `make test` that each of them names finds it.

    scripts/run ../tests/plants/run.py [--all | --only WORD] [--list] [--json]

A plant takes one guard away (`plants.py`). It fails when its text is not found exactly once, when its step does not
build, passes, or takes too long, and when every assertion that found it has found another plant too: then there is one
test, and not two, between users and these two bugs. A step is run once with nothing planted before; one that fails then
finds nothing. The last line counts.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import copies
import environments
import plant_steps
import postgres
import steps
from findings import Finding, findings, is_built
from plants import PLANTS, Plant
from steps import ROOT

LOGS = steps.LOGS / "plants"
# Far more than any step takes: a plant may well have its step wait for what never comes.
STEP_SECONDS = 1500.0
# Plants of each step, unless all are asked for: an hour has no room for more.
OF_A_STEP = 2
# Findings that are told of each plant.
TOLD = 3


@dataclass
class Verdict:
    """What became of a plant."""

    plant: Plant
    # Why it counts as not found; empty when it was.
    why_not: str = ""
    seconds: float = 0.0
    found_by: set[Finding] = field(default_factory=set)
    # Those of them that have found no other plant.
    own: set[Finding] = field(default_factory=set)


class Gate:
    """Runs steps in the copy."""

    def __init__(self, tree: Path, url: str) -> None:
        self.tree = tree
        self.steps = plant_steps.steps(url)
        self.env = plant_steps.environment(url, str(environments.TARGET))

    def run(self, step: str, log: Path) -> tuple[int | None, str]:
        """Runs a step whole; gives its status, None where it took too long, and what it said."""
        wanted = self.steps[step]
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["sh", "-c", wanted.command],
                cwd=self.tree,
                env={**self.env, **wanted.env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                in_time = steps.wait_for_exit(process, STEP_SECONDS)
            finally:
                # What tests have started goes with them, and Ctrl-C does not reach a session of its own.
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        return process.returncode if in_time else None, log.read_text(errors="replace")


def try_out(plant: Plant, at_work: Gate, log: Path) -> Verdict:
    """Plants a bug, runs its step, and puts the guard back."""
    verdict = Verdict(plant)
    path = at_work.tree / plant.file
    text = path.read_text()
    if why := plant.does_not_apply(text):
        verdict.why_not = why
        return verdict
    began = time.monotonic()
    try:
        path.write_text(text.replace(plant.find, plant.put))
        status, output = at_work.run(plant.step, log)
    finally:
        path.write_text(text)
    verdict.seconds = time.monotonic() - began
    if status is None:
        verdict.why_not = f"its step did not end within {STEP_SECONDS:.0f} s"
    elif status == 0:
        verdict.why_not = "SURVIVED: its step passes"
    elif not is_built(output):
        verdict.why_not = "its step does not build with it"
    else:
        verdict.found_by = findings(output)
        if not verdict.found_by:
            verdict.why_not = "its step fails, and no assertion says so"
    return verdict


def try_all(plants: Sequence[Plant], at_work: Gate, tell: Teller) -> list[Verdict]:
    """Step by step, so that each is compiled with few changes between."""
    verdicts = []
    for step in at_work.steps:
        of_it = [plant for plant in plants if plant.step == step]
        if not of_it:
            continue
        began = time.monotonic()
        status, output = at_work.run(step, LOGS / f"{name_of(step)}.log")
        tell.step(step, time.monotonic() - began, status == 0, output)
        for plant in of_it:
            number = PLANTS.index(plant) + 1
            if status == 0:
                verdict = try_out(plant, at_work, LOGS / f"{name_of(step)}-{number:02}.log")
            else:
                verdict = Verdict(plant, "its step fails with nothing planted")
            verdicts.append(verdict)
            tell.plant(number, verdict)
    return verdicts


def judge(verdicts: Sequence[Verdict]) -> None:
    """Each plant needs an assertion of its own."""
    times = Counter(finding for verdict in verdicts for finding in verdict.found_by)
    for verdict in verdicts:
        verdict.own = {finding for finding in verdict.found_by if times[finding] == 1}
        if verdict.found_by and not verdict.own:
            others = [
                other.plant.bug for other in verdicts if other is not verdict and other.found_by & verdict.found_by
            ]
            verdict.why_not = "nothing finds it that does not find this one too: " + "; ".join(others)


class Teller:
    """Lines for a person; beside JSON they go to the standard error."""

    def __init__(self, aside: bool) -> None:
        self.stream = sys.stderr if aside else sys.stdout

    def say(self, text: str = "") -> None:
        print(text, file=self.stream, flush=True)

    def step(self, step: str, seconds: float, passes: bool, output: str) -> None:
        self.say(f"{step}: {'passes' if passes else 'FAILS'} with nothing planted, {seconds:.1f} s")
        for finding in sorted(findings(output)) if not passes else ():
            self.say(f"        {finding}")

    def plant(self, number: int, verdict: Verdict) -> None:
        self.say(f"  {number:>2}  {verdict.seconds:6.1f} s  {verdict.plant.bug}")
        if verdict.why_not:
            self.say(f"                FAILED: {verdict.why_not}")
        found_by = sorted(verdict.found_by)
        for finding in found_by[:TOLD]:
            self.say(f"                found by {finding}")
        if len(found_by) > TOLD:
            self.say(f"                and {len(found_by) - TOLD} more")


def name_of(step: str) -> str:
    return step.replace(" ", "-")


def as_json(verdicts: Sequence[Verdict], seconds: float) -> Mapping[str, object]:
    return {
        "seconds": round(seconds, 1),
        "passed": sum(not verdict.why_not for verdict in verdicts),
        "failed": sum(bool(verdict.why_not) for verdict in verdicts),
        "plants": [
            {
                "bug": verdict.plant.bug,
                "file": verdict.plant.file,
                "step": verdict.plant.step,
                "seconds": round(verdict.seconds, 1),
                "why_not": verdict.why_not or None,
                "found_by": [str(finding) for finding in sorted(verdict.found_by)],
                "own": [str(finding) for finding in sorted(verdict.own)],
            }
            for verdict in verdicts
        ],
    }


def chosen(word: str | None, *, every: bool) -> list[Plant]:
    """The plants that have this word in what is said of them; without one, every plant or some of each step."""
    if word or every:
        return [plant for plant in PLANTS if not word or word in f"{plant.bug} {plant.file} {plant.step}"]
    taken: Counter[str] = Counter()
    some = []
    for plant in PLANTS:
        taken[plant.step] += 1
        if taken[plant.step] <= OF_A_STEP:
            some.append(plant)
    return some


def listed(plants: Sequence[Plant]) -> Iterator[str]:
    for plant in plants:
        why = plant.does_not_apply((ROOT / plant.file).read_text())
        yield f"{PLANTS.index(plant) + 1:>3}  {plant.step:<20} {plant.bug}"
        yield f"     {'':<20} {plant.file}" + (f": {why}" if why else "")


def main() -> int:
    parser = argparse.ArgumentParser(description="Plants bugs, and looks whether the tests find them.")
    parser.add_argument("--all", action="store_true", help=f"all of them, and not {OF_A_STEP} of each step")
    parser.add_argument("--only", metavar="WORD", help="plants with this word in their sentence, file or step")
    parser.add_argument("--list", action="store_true", help="say which there are, and whether they apply")
    parser.add_argument("--json", action="store_true", help="what became of each, for programs")
    arguments = parser.parse_args()
    plants = chosen(arguments.only, every=arguments.all)
    if arguments.list:
        print("\n".join(listed(plants)))
        return 0
    steps.stop_on_signals()
    tell, began = Teller(aside=arguments.json), time.monotonic()
    try:
        with copies.copy() as tree, postgres.server() as url:
            at_work = Gate(tree, url)
            made = subprocess.run(["sh", "-c", plant_steps.ENVIRONMENT], cwd=tree, env=at_work.env, stdout=sys.stderr)
            if made.returncode:
                return 1
            verdicts = try_all(plants, at_work, tell)
    except KeyboardInterrupt:
        return 130
    judge(verdicts)
    minutes, seconds = divmod(time.monotonic() - began, 60)
    tell.say(f"\n{len(verdicts)} planted bugs took {minutes:.0f} min {seconds:.0f} s.")
    failed = [verdict for verdict in verdicts if verdict.why_not]
    for verdict in failed:
        tell.say(
            f"Not found: {verdict.plant.bug}\n    {verdict.why_not}\n    {verdict.plant.file}; {verdict.plant.step}"
        )
    if arguments.json:
        print(json.dumps(as_json(verdicts, time.monotonic() - began), indent=2))
    tell.say(f"{len(verdicts) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed or not verdicts else 0


if __name__ == "__main__":
    sys.exit(main())
