"""What a database's error speaks of is told twice, by the engine and by a handler's own transaction: alike."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENGINE = ROOT / "crates" / "store" / "src" / "codes.rs"
RUNNER = ROOT / "python" / "gristmill" / "database" / "refusals.py"
# A transaction that the server ended because it was idle or open for too long: to a handler that is its own doing, to
# the engine a session that is gone.
OF_A_HANDLER = "25P03"


def engine(table: str) -> dict[str, str]:
    """The engine's table: what each prefix of a SQLSTATE speaks of."""
    text = ENGINE.read_text()
    body = text[text.index(f"const {table}:") :]
    return dict(re.findall(r'\("(\w+)", About::(\w+)\)', body[: body.index("];")]))


def runner(name: str) -> tuple[str, ...]:
    """A tuple of the runner's."""
    for node in ast.parse(RUNNER.read_text()).body:
        if isinstance(node, ast.Assign) and [getattr(target, "id", None) for target in node.targets] == [name]:
            return tuple(ast.literal_eval(node.value))
    raise AssertionError(f"{RUNNER} has no {name}")


def about(sqlstate: str) -> str:
    """As `codes::postgres` looks it up."""
    table = engine("POSTGRES")
    listed = [prefix for prefix in table if sqlstate.startswith(prefix)]
    return table[max(listed, key=len)] if listed else "Server"


def test_the_runner_takes_for_a_conflict_or_an_outage_what_the_engine_does() -> None:
    assert {about(sqlstate) for sqlstate in runner("CONFLICTS")} == {"Conflict"}
    away = runner("AWAY")
    assert {about(prefix) for prefix in away} == {"Server"}
    of_the_server = [prefix for prefix, what in engine("POSTGRES").items() if what == "Server" and prefix != "25"]
    assert [prefix for prefix in of_the_server if not prefix.startswith(away)] == []
    assert not OF_A_HANDLER.startswith(away)


def test_what_speaks_of_a_row_is_what_was_settled() -> None:
    assert sorted(prefix for prefix, what in engine("POSTGRES").items() if what == "Row") == ["22", "23", "54"]
