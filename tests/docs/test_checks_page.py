"""The page of system checks has each of them, and no other."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ID = re.compile(r"gristmill\.[EW]\d{3}")


def test_the_page_has_every_check_that_there_is_once() -> None:
    given = {found for path in ROOT.glob("python/gristmill/**/*.py") for found in ID.findall(path.read_text())}
    rows = re.findall(r"^\| `(gristmill\.\w+)` \|", (ROOT / "docs/reference/checks.md").read_text(), re.MULTILINE)
    assert given, "no check was found where they are said to be"
    assert rows == sorted(given)


def test_every_check_is_asked_for_by_a_test() -> None:
    given = {found[-4:] for path in ROOT.glob("python/gristmill/**/*.py") for found in ID.findall(path.read_text())}
    tests = "\n".join(path.read_text() for path in ROOT.glob("python/tests/test_*.py"))
    assert sorted(each for each in given if not re.search(rf"\b{each}\b", tests)) == []
