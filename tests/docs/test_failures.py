"""Every test that the page of failures names exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "operating" / "failures.md"
TESTS = ("crates", "python/tests", "tests")


def test_each_row_names_tests_that_exist() -> None:
    text = PAGE.read_text()
    rows = [line for line in text.splitlines() if line.startswith("|") and "---" not in line]
    named = {name for line in rows for name in re.findall(r"`([a-z0-9_]{12,})`", line.rsplit("|", 2)[-2])}
    assert len(named) > 50
    sources = "\n".join(
        path.read_text()
        for folder in TESTS
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".rs"} and "target" not in path.parts
    )
    defined = set(re.findall(r"\b(?:def|fn) (\w+)", sources)) | set(re.findall(r"^\s*(\w+)(?:,|;)$", sources, re.M))
    assert sorted(named - defined) == []


def test_no_row_goes_without_a_test() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("|") and "---" not in line]
    bare = [line for line in rows if "shown by" not in line and not re.search(r"`[a-z0-9_]{12,}` *\|$", line)]
    assert bare == []
