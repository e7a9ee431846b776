"""
Management commands, each in a process of its own that was forked from one which has imported Django already.

Most of what a short command costs is that import, and journeys run hundreds of commands.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

# What needs no settings; the project itself, and models, are imported by each command.
IMPORTED = [
    "desk",
    "django.core.management",
    "django.db.backends.postgresql.base",
    "django.db.backends.sqlite3.base",
    "django.template.engine",
    "django.views.debug",
    "gristmill.backend",
    "gristmill.checks",
    "gristmill.tasks.decorators",
]
ROOT = Path(__file__).resolve().parents[2]
# What pytest has put on the path for itself.
OURS = (ROOT / "tests", ROOT / "scripts")


def run(site: Path, arguments: Sequence[str], env: Mapping[str, str], within: float) -> tuple[int, str, str]:
    """The exit status of `manage.py` with these arguments, and what it has printed to either stream."""
    with tempfile.NamedTemporaryFile() as output, tempfile.NamedTemporaryFile() as errors:
        started = Started(site, arguments, env, output=output.name, errors=errors.name)
        try:
            status = started.wait(within)
        except subprocess.TimeoutExpired:
            started.process.kill()
            raise AssertionError(f"{' '.join(arguments)} still ran after {within:g} s") from None
        return status, output.read().decode(), errors.read().decode()


class Started:
    """A command that runs, in a session of its own; it may become another program."""

    def __init__(
        self, site: Path, arguments: Sequence[str], env: Mapping[str, str], *, output: str, errors: str
    ) -> None:
        self.arguments = arguments
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(IMPORTED)
        self.process = context.Process(target=become, args=(site, arguments, dict(env), output, errors))
        self.process.start()
        assert self.process.pid
        self.pid = self.process.pid

    def poll(self) -> int | None:
        """How it ended, if it has."""
        return self.process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """How it ended, when it has."""
        self.process.join(timeout)
        if self.process.exitcode is None:
            raise subprocess.TimeoutExpired(list(self.arguments), timeout or 0.0)
        return self.process.exitcode


def become(site: Path, arguments: Sequence[str], env: Mapping[str, str], output: str, errors: str) -> None:
    """Runs the command in this process, as `python manage.py` would."""
    os.setsid()
    for number, name in ((1, output), (2, errors)):
        os.dup2(os.open(name, os.O_WRONLY | os.O_APPEND), number)
    os.environ.clear()
    os.environ.update(env, DJANGO_SETTINGS_MODULE="settings")
    os.chdir(site)
    own = [entry for entry in env.get("PYTHONPATH", "").split(os.pathsep) if entry]
    rest = [entry for entry in sys.path if not any(Path(entry).is_relative_to(folder) for folder in OURS)]
    sys.path[:] = [str(site), *own, *rest]
    sys.argv = ["manage.py", *arguments]
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
