"""What failed beside other tests is asked again alone: only a pass then, of the very test, makes up for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import steps
from steps import Step
from suite import Tally

FAILS = "SEED=7\ntest shop::pays ... FAILED\ntest result: FAILED. 3 passed; 1 failed\n"
PASSES = "test shop::pays ... ok\ntest result: ok. 1 passed; 0 failed\n"
FAILS_ALONE = "test shop::pays ... FAILED\ntest result: FAILED. 0 passed; 1 failed\n"
FINDS_NOTHING = "test result: ok. 0 passed; 0 failed\n"
MANY_FAIL = "".join(f"test shop::pays_{n} ... FAILED\n" for n in range(6)) + "test result: FAILED. 3 passed; 6 failed\n"

# Prints the next of its answers, and fails when that does; what it was asked with goes into a file.
RUNNER = """
import os, pathlib, sys
folder, *names = sys.argv[1:]
answer = min(pathlib.Path(folder).glob("answer-*"))
text = answer.read_text()
answer.unlink()
pathlib.Path(folder, "asked").open("a").write(f"{names} {os.environ.get('SEED')}\\n")
print(text, end="")
sys.exit("FAILED" in text)
"""


Ask = Callable[..., Tally]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """A run whose one step has these answers, one a time that it is asked."""
    monkeypatch.setattr(steps, "LOGS", tmp_path / "logs")

    def ask(*answers: str) -> Tally:
        for number, answer in enumerate(answers):
            (tmp_path / f"answer-{number}").write_text(answer)
        command = [sys.executable, "-c", RUNNER, tmp_path]
        tally = Tally()
        tally.ask([Step("shop", command, one=command)])
        tally.ask_again()
        return tally

    return ask


def test_a_test_that_passes_alone_has_passed_and_is_told_as_flaky(tmp_path: Path, ask: Ask) -> None:
    tally = ask(FAILS, PASSES)
    assert (tally.passed, tally.failed, tally.flaky) == (4, 0, ["shop: shop::pays"])
    assert tally.ended == []
    assert (tmp_path / "asked").read_text() == "[] None\n['shop::pays'] 7\n", "by its name, with its seed"


def test_a_test_that_fails_twice_has_failed(ask: Ask) -> None:
    tally = ask(FAILS, FAILS_ALONE)
    assert (tally.passed, tally.failed, tally.flaky) == (3, 1, [])
    assert [done.status for done in tally.ended] == [1]


def test_a_test_that_is_not_found_again_has_failed(ask: Ask) -> None:
    tally = ask(FAILS, FINDS_NOTHING)
    assert (tally.passed, tally.failed, tally.flaky) == (3, 1, [])


@pytest.mark.parametrize("answer", [PASSES, MANY_FAIL], ids=["what passes", "many failures"])
def test_nothing_else_is_asked_again(tmp_path: Path, ask: Ask, answer: str) -> None:
    ask(answer)
    assert (tmp_path / "asked").read_text() == "[] None\n"
