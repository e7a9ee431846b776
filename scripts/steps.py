"""Runs a command as one quiet step: a line while it works, its time when it is done, its log's end when it fails.

Every other script here tells its story through these lines, so that `make test` reads the same on a terminal
(where the line lives and shows the latest output) and in a log file (where it is written once).
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(
    os.environ.get("GRISTMILL_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gristmill"
)
LOGS = ROOT / ".venv" / "logs"

TAIL_LINES = 40
# A long log names its failures before its end.
TELLING = re.compile(r"\bFAILED\b|panicked at|^error|^E  +\w*(Error|assert)")
TELLING_LINES = 15
# In a log file nothing moves, so a long step says now and then that it is still at work.
STILL_SECONDS = 60.0


class StepFailed(Exception):
    """A step ended badly. What there is to say has been printed; `output` is all that it wrote."""

    def __init__(self, title: str, output: str = "") -> None:
        super().__init__(title)
        self.output = output


def say(text: str = "") -> None:
    """One line, at once, even into a pipe."""
    print(text, flush=True)


def stop(sentence: str) -> SystemExit:
    """What to raise when the machine lacks something: one sentence and status 1."""
    return SystemExit(sentence)


def need(program: str, advice: str) -> str:
    """The path of a program, or an end that says how to get it."""
    found = shutil.which(program)
    if not found:
        raise stop(f"{program} is missing. {advice}")
    return found


def step(
    title: str,
    argv: Sequence[str | Path],
    *,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    hint: str = "",
) -> str:
    """Runs argv with its output in a log file, gives the output back, and raises StepFailed when it fails."""
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / (re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") + ".log")
    line = Line(title)
    with log.open("wb") as output:
        started = time.monotonic()
        process = subprocess.Popen(
            [str(part) for part in argv],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            while process.poll() is None:
                line.working(time.monotonic() - started, log)
                wait_for_exit(process, seconds=0.25)
        except BaseException:
            end(process)
            line.done("stopped", time.monotonic() - started)
            raise
    text = log.read_text(errors="replace")
    if process.returncode == 0:
        line.done("", time.monotonic() - started)
        return text
    line.done("FAILED", time.monotonic() - started)
    rows = text.rstrip().splitlines()
    telling = [row for row in rows[:-TAIL_LINES] if TELLING.search(row)][:TELLING_LINES]
    if telling:
        say(f"\nWhat {shown(log)} says of failures:")
        say("\n".join("    " + row for row in telling))
    say(f"\nIts last lines ({shown(log)}):")
    say("\n".join("    " + row for row in rows[-TAIL_LINES:]))
    if hint:
        say(f"\n{hint}")
    raise StepFailed(title, text)


class Line:
    """The one line of a running step."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self.next_still = STILL_SECONDS
        if not self.terminal:
            print(f"  {title:<44}", end="", flush=True)

    def working(self, seconds: float, log: Path) -> None:
        if self.terminal:
            width = max(shutil.get_terminal_size().columns, 40) - 1
            text = f"  {self.title:<44} {seconds:5.0f} s  {last_line(log)}"
            print(f"\r\x1b[2K{text[:width]}", end="", flush=True)
        elif seconds > self.next_still:
            self.next_still += STILL_SECONDS
            print(f" … {seconds:.0f} s", end="", flush=True)

    def done(self, word: str, seconds: float) -> None:
        start = "\r\x1b[2K" + f"  {self.title:<44}" if self.terminal else ""
        say(f"{start} {seconds:7.1f} s  {word}".rstrip())


def wait_for_exit(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether it ended within this time."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def end(process: subprocess.Popen[bytes]) -> None:
    """Asks a child to stop, waits a little, then makes it."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        if not wait_for_exit(process, seconds=10):
            process.kill()
            process.wait()


def stop_on_signals() -> None:
    """TERM and HUP unwind like Ctrl-C does, so that every `finally` runs."""

    def unwind(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    # A shell starts what it puts in the background with INT ignored; the scripts mean it all the same.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, unwind)
    signal.signal(signal.SIGHUP, unwind)


def last_line(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 400))
        rows = file.read().decode(errors="replace").split("\n")
    printable = [re.sub(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x1f]", "", row).strip() for row in rows]
    return next((row for row in reversed(printable) if row), "")


def shown(path: Path) -> str:
    """A path as a reader in the checkout would type it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
