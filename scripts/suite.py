"""Runs the project's checks and tests, step by step, and sums them up: scripts/run suite.py GOAL.

A failing step does not stop the others, so one run tells everything that is wrong. The last line counts tests,
and checks as one test each.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import environments
import postgres
import pythons
import steps
from steps import CACHE, ROOT

PYTHON_SOURCES = ("python", "scripts", "tests", "examples", "bench")
CARGO_DENY = "cargo-deny@0.20.2"


@dataclass
class Tally:
    """What has passed and failed so far."""

    passed: int = 0
    failed: int = 0
    failed_steps: list[str] = field(default_factory=list)

    def step(
        self,
        title: str,
        argv: Sequence[str | Path],
        *,
        cwd: Path = ROOT,
        env: Mapping[str, str] | None = None,
        hint: str = "",
    ) -> str:
        """Runs one step, counts it, and gives its output."""
        try:
            output = steps.step(title, argv, cwd=cwd, env=env, hint=hint)
            passed, failed = tests_in(output) or (1, 0)
        except steps.StepFailed as error:
            output = error.output
            passed, failed = tests_in(output) or (0, 1)
            failed = max(failed, 1)
            self.failed_steps.append(title)
            steps.say()
        self.passed += passed
        self.failed += failed
        return output


def check(tally: Tally) -> None:
    """What can be said without running the project."""
    bin_folder, tools = environments.pair("new"), environments.tools()
    sources = [name for name in PYTHON_SOURCES if (ROOT / name).exists()]
    tally.step("rust: format", ["cargo", "fmt", "--all", "--check"], hint="`cargo fmt --all` mends it.")
    tally.step(
        "python: format",
        [tools / "ruff", "format", "--check", *sources],
        hint="`.venv/tools/bin/ruff format` mends it.",
    )
    tally.step("python: lint", [tools / "ruff", "check", *sources])
    tally.step(
        "rust: lint",
        ["cargo", "clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"],
        env=CARGO,
    )
    tally.step("python: types", [bin_folder / "mypy", "--strict"], env={"PYTHONPATH": "python"})
    tally.step("house rules", [bin_folder / "pytest", "-q", *PLAIN, "tests/tidy"])
    deny(tally)


def deny(tally: Tally) -> None:
    """Licences, sources and banned crates. Advisories are not asked for: their database is no package."""
    kept = CACHE / "tools"
    if os.environ.get("CI") and not (shutil.which("cargo-deny") or (kept / "bin" / "cargo-deny").exists()):
        # Minutes to build, so it is built where nobody waits and kept for the next run.
        tally.step("rust: cargo-deny, once", ["cargo", "install", "--quiet", "--locked", "--root", kept, CARGO_DENY])
    found = shutil.which("cargo-deny") or shutil.which("cargo-deny", path=str(kept / "bin"))
    if not found:
        steps.say(
            f"  rust: licences and sources: skipped, there is no cargo-deny (cargo install --locked {CARGO_DENY})"
        )
        return
    tally.step(
        "rust: licences and sources",
        [found, "--workspace", "--log-level", "error", "check", "bans", "licenses", "sources"],
    )


def audit(tally: Tally) -> None:
    """Known vulnerabilities in what the Python side installs, where the package index can be asked about them."""
    title = "python: known vulnerabilities"
    argv = [environments.tools() / "pip-audit", "--progress-spinner", "off", "-r", "scripts/requirements/new.txt"]
    try:
        answer = steps.step(title, argv)
    except steps.StepFailed:
        tally.failed += 1
        tally.failed_steps.append(title)
        return
    unknown = answer.count("could not be audited")
    if unknown:
        steps.say(f"    not counted: the index that is reached here knows nothing of {unknown} packages")
    else:
        tally.passed += 1


def rust(tally: Tally) -> None:
    """Every crate's tests: the store's ask both databases, the pool's start Python processes."""
    # As many made-up histories as make a difference; by itself the test is content with a few.
    os.environ.setdefault("GRISTMILL_MODEL_CASES_SQLITE", "2000")
    os.environ.setdefault("GRISTMILL_MODEL_CASES_POSTGRES", "300")
    os.environ.setdefault("GRISTMILL_GOALS_CASES_SQLITE", "400")
    os.environ.setdefault("GRISTMILL_GOALS_CASES_POSTGRES", "100")
    cargo_test(tally, "rust: tests", "--workspace")


def cron(tally: Tally) -> None:
    """When a schedule is due, held against croniter's answers."""
    bin_folder = environments.pair("new")
    tally.step(
        "cron: the program that answers",
        ["cargo", "build", "--quiet", "-p", "gristmill"],
        env=CARGO,
    )
    tally.step("cron: against croniter", [bin_folder / "pytest", "-q", *PLAIN, "tests/cron"], env=CARGO)


def conformance(tally: Tally) -> None:
    """The store's questions alone."""
    cargo_test(tally, "conformance", "-p", "gristmill-store")


def sim(tally: Tally) -> None:
    """The engine's simulation, longer than `make test` has time for; SEED repeats a run, SIM_SECONDS bounds it."""
    os.environ.setdefault("SIM_SECONDS", "120")
    output = cargo_test(tally, "sim", "-p", "gristmill-engine", "sim", "--", "--nocapture")
    for line in output.splitlines():
        if re.match(r"\.*(seeds \d|\w+ found with SEED)", line) or "simulated hours" in line:
            steps.say(f"    {line.lstrip('.')}")


def cargo_test(tally: Tally, title: str, *arguments: str) -> str:
    """One failing crate does not keep the others from being asked."""
    env = {**CARGO, "GRISTMILL_TEST_PYTHON": str(environments.pair("best") / "python")}
    with postgres.server() as url:
        argv = ["cargo", "test", "--quiet", "--no-fail-fast", *arguments]
        return tally.step(title, argv, env={**env, postgres.VARIABLE: url})


def python(tally: Tally) -> None:
    """The package's tests: each pair on each database."""
    with postgres.server() as url:
        for pair in ("old", "new"):
            bin_folder = environments.pair(pair)
            for database, env in databases(url):
                tally.step(f"python: {pair}, {database}", [bin_folder / "pytest", "-q"], env=env)


def site(tally: Tally) -> None:
    """The example site's own tests."""
    bin_folder = environments.pair("best")
    tally.step(
        "example site",
        [bin_folder / "python", "manage.py", "test", "--verbosity", "1"],
        cwd=ROOT / "examples/django_site",
    )


def django_suite(tally: Tally) -> None:
    """The tests that Django has for its own backends."""
    with postgres.server() as url:
        for pair in ("old", "new"):
            bin_folder = environments.pair(pair)
            tally.step(
                f"django's own suite: {pair}",
                [bin_folder / "python", "python/tests/django_suite/run.py"],
                env={postgres.VARIABLE: url},
            )


def journeys(tally: Tally) -> None:
    """Real workers and real signals."""
    bin_folder = environments.pair("new")
    with postgres.server() as url:
        tally.step(
            "journeys",
            [bin_folder / "pytest", "-q", *PLAIN, "tests/journeys"],
            env={postgres.VARIABLE: url},
        )


def pages(tally: Tally) -> None:
    """The code in the pages for users."""
    for pair in ("old", "new"):
        tally.step(f"pages: {pair}", [environments.pair(pair) / "pytest", "-q", *PLAIN, "tests/docs"])


def bench(tally: Tally) -> None:
    """The race of bench/README.md, on a release build and with the durability that users have."""
    python = environments.pair("best", profile="release") / "python"
    with postgres.server(durable=True) as url:
        status = subprocess.call(
            [python, "bench/run.py", "--alone"], cwd=ROOT, env={**os.environ, postgres.VARIABLE: url}
        )
    tally.passed, tally.failed = int(status == 0), int(status != 0)


def everything(tally: Tally) -> None:
    """In order of how soon each can say no."""
    for goal in (check, rust, cron, python, site, pages, django_suite, journeys, audit):
        goal(tally)


def databases(url: str) -> list[tuple[str, dict[str, str]]]:
    """The environment that names each database to the Python tests."""
    return [("SQLite", {"DATABASE_URL": ""}), ("PostgreSQL", {"DATABASE_URL": url})]


def tests_in(output: str) -> tuple[int, int] | None:
    """Passed and failed tests by what cargo, unittest and pytest print; None for a plain command."""
    cargo = re.findall(r"^test result: \S+ (\d+) passed; (\d+) failed", output, re.MULTILINE)
    asked = re.findall(r"^(\d+) asked, (\d+) failed", output, re.MULTILINE)
    if cargo or asked:
        failed = sum(int(bad) for _, bad in cargo + asked)
        return sum(int(good) for good, _ in cargo) + sum(int(all_) - int(bad) for all_, bad in asked), failed
    ran = re.findall(r"^Ran (\d+) tests?", output, re.MULTILINE)
    if ran:
        failed = sum(map(int, re.findall(r"(?:failures|errors|unexpected successes)=(\d+)", output)))
        return sum(map(int, ran)) - failed, failed
    last = output.rstrip().rsplit("\n", 1)[-1]
    passed, failures = re.search(r"(\d+) passed", last), re.findall(r"(\d+) (?:failed|errors?)\b", last)
    if passed or failures:
        return int(passed[1]) if passed else 0, sum(map(int, failures))
    return None


# The rules of the package's own tests (settings, warnings) are not those of the others.
PLAIN = ("-c", "tests/pytest.ini")
CARGO = {"CARGO_TARGET_DIR": str(environments.TARGET)}

GOALS: dict[str, Callable[[Tally], None]] = {
    "bench": bench,
    "check": check,
    "conformance": conformance,
    "django-suite": django_suite,
    "journeys": journeys,
    "sim": sim,
    "test": everything,
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs the project's checks and tests.")
    parser.add_argument("goal", choices=sorted(GOALS))
    goal = parser.parse_args().goal
    steps.stop_on_signals()
    started, tally = time.monotonic(), Tally()
    try:
        if goal == "test":
            pythons.old(), pythons.need_new()  # before minutes are spent
        GOALS[goal](tally)
    except steps.StepFailed:
        return 1
    except KeyboardInterrupt:
        return 130
    minutes, seconds = divmod(time.monotonic() - started, 60)
    steps.say(f"\nmake {goal} took {minutes:.0f} min {seconds:.0f} s.")
    for title in tally.failed_steps:
        steps.say(f"Failed: {title}")
    steps.say(f"{tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
