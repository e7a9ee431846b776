"""The page of exit statuses has every status that a command may end with, in both languages."""

from __future__ import annotations

import re
from pathlib import Path

from gristmill.worker import exit_statuses

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "exit-statuses.md"


def table() -> dict[str, int]:
    rows = re.findall(r"^\| (\d+) \| ([a-z ]+) \|", PAGE.read_text(), re.MULTILINE)
    return {name.upper().replace(" ", "_"): int(status) for status, name in rows}


def test_the_table_is_what_python_has() -> None:
    named = {name: value for name, value in vars(exit_statuses).items() if isinstance(value, int)}
    assert table() == named


def test_the_engine_ends_with_nothing_else() -> None:
    sources = [
        path.read_text() for folder in ("cli", "engine") for path in (ROOT / "crates" / folder / "src").rglob("*.rs")
    ]
    text = "\n".join(sources)
    given = {int(number) for number in re.findall(r"Self::\w+(?:\(_\))? => (\d+),", text)}
    given |= {int(number) for number in re.findall(r"const [A-Z]+: u8 = (\d+);", text)}
    assert {0, 2, 3, 77, 78, 99} <= given
    assert given <= set(table().values())


def test_no_command_ends_with_a_number_of_its_own() -> None:
    folder = ROOT / "python" / "gristmill" / "commands"
    text = "\n".join(path.read_text() for path in folder.glob("*.py"))
    given = {int(number) for number in re.findall(r"(?:SystemExit\(|returncode=)(\d+)", text)}
    assert given <= set(table().values())
