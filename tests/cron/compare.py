"""Holds Gristmill's next occurrence against croniter's on random expressions, zones and instants.

    cargo build -p gristmill
    pip install croniter tzdata
    python tests/cron/compare.py --cases 100000

Prints the seed, how many cases agree, and each named difference with its count (differences.py has the reasons); ends
with status 1 where a difference has no name or all of them are more than 2 % of the cases.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from zoneinfo import ZoneInfo, reset_tzpath

ROOT = Path(__file__).resolve().parents[2]
MOST = 0.02


def one_copy_of_the_time_zones() -> str:
    """Both sides read the same time zone data: that of the tzdata package, else the system's."""
    package = find_spec("tzdata")
    if package and package.origin:
        folder = Path(package.origin).parent / "zoneinfo"
        os.environ["TZDIR"] = str(folder)
        reset_tzpath([str(folder)])
        return (folder / "tzdata.zi").read_text().splitlines()[0].strip("# ")
    return "the system's"


DATA = one_copy_of_the_time_zones()

from cases import Case, Generator  # noqa: E402 - where zones are read from comes first
from differences import DIFFERENCES, croniters, explanation, plain  # noqa: E402


def binary() -> Path:
    """The program that answers for Gristmill: GRISTMILL_BINARY names it, else where cargo puts it."""
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    return Path(os.environ.get("GRISTMILL_BINARY") or target / "debug" / "gristmill")


def gristmills(cases: list[Case]) -> list[int | None]:
    """Gristmill's next run in seconds since 1970; None where it says that the expression never runs."""
    questions = "".join(
        json.dumps({"cron": case.cron, "zone": case.zone, "after": case.after}) + "\n" for case in cases
    )
    answered = subprocess.run([binary(), "cron"], input=questions, capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in answered.stdout.splitlines()]
    for case, answer in zip(cases, answers, strict=True):
        refused = answer.get("error", "")
        if refused and not refused.startswith("it would never run"):
            raise AssertionError(f"{case} was refused: {refused}")
    return [next(iter(answer.get("next", [])), None) for answer in answers]


@dataclass
class Tally:
    """What a comparison found."""

    cases: int = 0
    named: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    unnamed: list[str] = field(default_factory=list)

    @property
    def different(self) -> int:
        return self.named.total() + len(self.unnamed)

    def add(self, other: Tally) -> None:
        self.cases += other.cases
        self.named += other.named
        self.examples = {**other.examples, **self.examples}
        self.unnamed += other.unnamed

    def failed(self) -> bool:
        return bool(self.unnamed) or self.different > MOST * self.cases


def compare(seed: int | str, count: int) -> Tally:
    generator, tally = Generator(seed), Tally()
    cases = [generator.case() for _ in range(count)]
    for case, ours in zip(cases, gristmills(cases), strict=True):
        tally.cases += 1
        theirs = croniters(case, plain(case))
        if ours == theirs:
            continue
        text = f"{case.cron!r} in {case.zone} after {local(case, case.after)}: "
        text += f"{local(case, ours)}, croniter {local(case, theirs)}"
        names = explanation(case, ours)
        if names is None:
            tally.unnamed.append(text)
        else:
            name = " + ".join(difference.name for difference in names)
            tally.named[name] += 1
            tally.examples.setdefault(name, text)
    return tally


def local(case: Case, at: float | None) -> str:
    if at is None:
        return "never"
    moment = datetime.fromtimestamp(at, ZoneInfo(case.zone))
    return moment.isoformat(" ") + (" (second time)" if moment.fold else "")


def report(tally: Tally, seed: int) -> str:
    lines = [f"seed {seed}; time zones: {DATA}; {tally.cases} cases, {tally.cases - tally.different} agree"]
    lines += [f"{tally.different} differ ({tally.different / tally.cases:.2%}), {len(tally.unnamed)} without a name"]
    for name, count in tally.named.most_common():
        lines.append(f"  {count:6} {count / tally.cases:7.3%}  {name}")
        lines += [f"{'':17} {one.reason}" for one in DIFFERENCES if one.name == name]
        lines.append(f"{'':17} {tally.examples[name]}")
    lines += [f"  no name: {text}" for text in tally.unnamed[:60]]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=None, help="repeats a run; by default a new one")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**9) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    if not binary().exists():
        sys.exit(f"{binary()} is missing; make it with: cargo build -p gristmill")
    started, tally, batch = time.monotonic(), Tally(), 5_000
    counts = [min(batch, options.cases - done) for done in range(0, options.cases, batch)]
    with ProcessPoolExecutor(options.processes) as pool:
        for part in pool.map(compare, [f"{seed}/{number}" for number in range(len(counts))], counts):
            tally.add(part)
    print(report(tally, seed))
    print(f"{time.monotonic() - started:.0f} s")
    return int(tally.failed())


if __name__ == "__main__":
    sys.exit(main())
