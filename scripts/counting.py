"""Reads what test runners print: how many tests passed and failed, which failed, and with which seed.

It also counts the tests' assertions, so that a gate that has lost some says so (counts.json has the least of each).
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from steps import ROOT

PYTHON_ASSERTION = re.compile(
    r"^\s*(assert\b|self\.assert\w+\(|with pytest\.(raises|warns)|pytest\.fail\()", re.MULTILINE
)
RUST_ASSERTION = re.compile(
    r"\b(assert|assert_eq|assert_ne|prop_assert|prop_assert_eq|same|panic)!\s*[\(\{\[]|\.expect\(\""
)


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
    if (passed or failures) and re.search(r" in \d[\d.]*s", last):
        return int(passed[1]) if passed else 0, sum(map(int, failures))
    return None


def failed_tests(output: str) -> list[str]:
    """The names of the tests that failed, as their runner takes them."""
    pytest = re.findall(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
    cargo = re.findall(r"^test (\S+)(?: - should panic)? \.\.\. FAILED", output, re.MULTILINE)
    django = re.findall(r"^(?:FAIL|ERROR): \w+ \(([\w.]+)\)", output, re.MULTILINE)
    return list(dict.fromkeys(pytest + cargo + django))


def seeds(output: str) -> list[str]:
    """Every `SEED=n`, under whichever name."""
    return list(dict.fromkeys(re.findall(r"\b\w*SEED=\d+", output)))


def least() -> dict[str, int]:
    """How many tests and assertions there have been; raised when there are more, lowered only with a reason."""
    counts: dict[str, int] = json.loads((ROOT / "scripts" / "counts.json").read_text())
    return counts


def assertions() -> int:
    """How many assertions stand in the tests of this tree."""
    python = [path for folder in ("python/tests", "tests", "examples") for path in (ROOT / folder).rglob("*.py")]
    rust = [path for path in (ROOT / "crates").rglob("*.rs") if is_test(path)]
    found = sum(len(PYTHON_ASSERTION.findall(path.read_text())) for path in python)
    return found + sum(len(RUST_ASSERTION.findall(path.read_text())) for path in rust)


def is_test(path: Path) -> bool:
    """Whether a Rust file holds tests: in a tests folder, the test kit, the simulation, or beside what they ask."""
    return bool({"tests", "testkit", "sim"} & set(path.parts)) or "#[cfg(test)]" in path.read_text()
