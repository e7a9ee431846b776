"""The page on the admin names every kind of trouble that the overview knows, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [*ROOT.glob("python/gristmill/inspect/problems/*.py"), ROOT / "python/gristmill/inspect/surveys.py"]
# Those of ready jobs that nobody claims are causes, which `explain` tells as well.
#: Made by the tests of what is asked of workers.
ELSEWHERE = {"quiet", "only quiet"}
CAUSES = ROOT / "python/gristmill/tasks/discovery/unserved.py"


def kinds() -> set[str]:
    return {kind for path in SOURCES for kind in named(path, "Problem")} | set(named(CAUSES, "Cause"))


def named(path: Path, called: str) -> Iterator[str]:
    """The texts that a first argument of these calls may be."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == called and node.args:
            # A kind that depends on something is told from both of its texts; what is compared is none.
            first = node.args[0]
            chosen = [first.body, first.orelse] if isinstance(first, ast.IfExp) else [first]
            yield from (each.value for each in chosen if isinstance(each, ast.Constant))


def test_every_kind_of_trouble_is_named_and_there_are_25_at_least() -> None:
    page = (ROOT / "docs/operating/admin.md").read_text()
    (table,) = re.findall(r"^\| kind \|.*?\n\n", page, re.MULTILINE | re.DOTALL)
    told = [kind for row in re.findall(r"^\| ([a-z][^|]+) \|", table, re.MULTILINE)[1:] for kind in row.split(", ")]
    assert sorted(told) == sorted(kinds())
    assert len(told) >= 25


def test_every_kind_of_trouble_is_made_by_the_journey() -> None:
    journey = (ROOT / "tests/journeys/test_troubles.py").read_text()
    assert [kind for kind in sorted(kinds() - ELSEWHERE) if f'"{kind}":' not in journey] == []
