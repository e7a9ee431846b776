"""What the admin's overview tells of a project, looked at as often as a journey likes."""

from __future__ import annotations

import json
import subprocess
import sys
from textwrap import dedent
from types import TracebackType
from typing import Any

from project import SITE, Project
from typing_extensions import Self
from waiting import wait_for

APP = {"JOURNEY_APPS": "looking"}
IMPORTS = """
from datetime import timedelta
from django.db import connection, transaction
from django.utils import timezone
from gristmill import Constant, operations, remote
from gristmill.models import CancelRequestRow, Job, JobRow, PropagationRow, Schedule, ScheduledRow, Worker
from looking.tasks import collapse, offend
from work.tasks import note, novelty, stand
MINUTES = timedelta(minutes=10)
"""
Seen = list[list[str]]


class Overview:
    """A process of the project that shows the page; see the site's command `overlook`."""

    def __init__(self, project: Project, env: dict[str, str]) -> None:
        self.errors = project.folder / "overlook.log"
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "overlook"], cwd=SITE, text=True, env={**project.env, **APP, **env},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.kill()
        self.process.communicate()

    def do(self, code: str) -> None:
        """Runs code in the project, as in `manage.py shell`."""
        self._ask(run=IMPORTS + dedent(code))

    def look(self, **differing: Any) -> Seen:
        """The problems that are told."""
        return self._ask(**differing)

    def _ask(self, **asked: Any) -> Seen:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, self.errors.read_text()
        found: Seen = json.loads(answer)
        return found

    def shows(self, told: dict[str, str], within: float = 10, **differing: Any) -> None:
        """Waits until problems of these kinds are told, each in a sentence with these words."""
        seen: Seen = []

        def all_of_them() -> bool:
            seen[:] = self.look(**differing)
            return all(any(kind == each and words in said for each, said in seen) for kind, words in told.items())

        try:
            wait_for("problems to be told", all_of_them, within)
        except AssertionError as error:
            missing = {kind: words for kind, words in told.items() if not any(kind == each for each, _ in seen)}
            raise AssertionError(f"{error}: {told}; nothing of {missing} in {seen}") from None

    def has_lost(self, *kinds: str, within: float = 10, **differing: Any) -> None:
        """Waits until no problem of these kinds is told."""
        seen: Seen = []

        def none_of_them() -> bool:
            seen[:] = self.look(**differing)
            return not any(kind in kinds for kind, _ in seen)

        try:
            wait_for("problems to be gone", none_of_them, within)
        except AssertionError as error:
            raise AssertionError(f"{error}: {kinds}; there is {seen}") from None
