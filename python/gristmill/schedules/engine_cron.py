"""Has the engine read rules: what they say in words, and when they run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

from gristmill.values.binary import BinaryMissing, find_binary

#: Seconds; thousands of questions take one.
PATIENCE = 60


class Answer(NamedTuple):
    """What a rule means; or what is wrong with it."""

    describe: str
    next: list[datetime]
    previous: list[datetime]
    error: str | None = None


def question(
    definition: dict[str, Any],
    *,
    after: datetime | None = None,
    before: datetime | None = None,
    count: int = 1,
) -> dict[str, Any]:
    """Returns what is asked about a schedule's definition: in words, and when it runs after or before an instant."""
    asked: dict[str, Any] = {"zone": definition.get("timezone") or "UTC", "count": count}
    if definition.get("every") is not None:
        asked["every"] = definition["every"]
    else:
        asked["cron"] = definition.get("cron") or ""
    if after is not None:
        asked["after"] = after.timestamp()
    if before is not None:
        asked["before"] = before.timestamp()
    return asked


def ask(questions: Sequence[dict[str, Any]]) -> list[Answer]:
    """Asks the `gristmill` executable; raises BinaryMissing or RuntimeError where it gives no answer."""
    if not questions:
        return []
    lines = "".join(f"{json.dumps(each)}\n" for each in questions)
    done = subprocess.run(
        [find_binary(), "cron"], input=lines, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    if len(answers) != len(questions):
        raise RuntimeError(f"gristmill cron gave no answer: {done.stderr.strip() or f'exit status {done.returncode}'}")
    return [_answer(answer) for answer in answers]


def ask_if_possible(questions: Sequence[dict[str, Any]]) -> list[Answer] | None:
    """Asks likewise; None where nobody can be asked: what people see then is the rule as it was written."""
    try:
        return ask(questions)
    except (BinaryMissing, RuntimeError, OSError, subprocess.TimeoutExpired):
        return None


def _answer(answer: dict[str, Any]) -> Answer:
    if "error" in answer:
        return Answer("", [], [], str(answer["error"]))
    return Answer(str(answer["describe"]), _moments(answer.get("next")), _moments(answer.get("previous")))


def _moments(seconds: list[float] | None) -> list[datetime]:
    return [datetime.fromtimestamp(second, timezone.utc) for second in seconds or []]


__all__ = ["Answer", "ask", "ask_if_possible", "question"]
