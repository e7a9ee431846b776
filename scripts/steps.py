"""Runs a command as one quiet step: a line while it works, its time when it is done, its log's end when it fails.

Every other script here tells its story through these lines, so that `make test` reads the same on a terminal
(where the last line lives and shows what is at work) and in a log file (where a line is written once).
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
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(
    os.environ.get("GRISTMILL_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gristmill"
)
LOGS = ROOT / ".venv" / "logs"

TAIL_LINES = 40
# A long log names its failures before its end.
TELLING = re.compile(r"\bFAILED\b|panicked at|^error|^E  +\w*(Error|assert)|SEED=\d")
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


@dataclass(frozen=True)
class Step:
    """A command with a title."""

    title: str
    argv: Sequence[str | Path]
    cwd: Path = ROOT
    env: Mapping[str, str] = field(default_factory=dict)
    # What mends it, said when it fails.
    hint: str = ""
    # How many cores it keeps busy, and why it takes its time.
    cores: float = 1.0
    why: str = ""
    # The command that runs one of its tests, with {test} where its name goes.
    repeat: str = ""
    # The command that takes names of its tests and runs those alone; none where that cannot be.
    one: Sequence[str | Path] = ()

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return LOGS / (re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-") + ".log")


@dataclass(frozen=True)
class Done:
    """How a step ended. Processor time is its own and that of the processes it waited for."""

    step: Step
    status: int
    seconds: float
    cpu_seconds: float
    output: str


class Running:
    """A step at work, its output going into a log file."""

    def __init__(self, step: Step) -> None:
        LOGS.mkdir(parents=True, exist_ok=True)
        self.step = step
        self.started = time.monotonic()
        with step.log.open("wb") as output:
            self.process = subprocess.Popen(
                [str(part) for part in step.argv],
                cwd=step.cwd,
                env={**os.environ, **step.env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def done(self) -> Done | None:
        """How it ended, once it has."""
        pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
        if not pid:
            return None
        self.process.returncode = os.waitstatus_to_exitcode(status)
        cpu_seconds = usage.ru_utime + usage.ru_stime
        output = self.step.log.read_text(errors="replace")
        return Done(self.step, self.process.returncode, self.seconds, cpu_seconds, output)

    def stop(self) -> None:
        """Ends it before its time."""
        end(self.process)


def step(
    title: str,
    argv: Sequence[str | Path],
    *,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    hint: str = "",
) -> str:
    """Runs argv with its output in a log file, gives the output back, and raises StepFailed when it fails."""
    running = Running(Step(title, argv, cwd, env or {}, hint))
    line = Line(f"  {title:<44}")
    try:
        while not (done := running.done()):
            line.working(f"{running.seconds:7.0f} s  {last_line(running.step.log)}", f" … {running.seconds:.0f} s")
            time.sleep(0.1)
    except BaseException:
        running.stop()
        line.end(f" {running.seconds:7.1f} s  stopped")
        raise
    line.end(f" {done.seconds:7.1f} s" + ("  FAILED" if done.status else ""))
    if done.status:
        tell_failure(done)
        raise StepFailed(title, done.output)
    return done.output


def tell_failure(done: Done) -> None:
    """What its log says of failures, its last lines, and what mends it."""
    log = shown(done.step.log)
    rows = done.output.rstrip().splitlines()
    telling = [row for row in rows[:-TAIL_LINES] if TELLING.search(row)][:TELLING_LINES]
    if telling:
        say(f"\nWhat {log} says of failures:")
        say("\n".join("    " + row for row in telling))
    say(f"\nIts last lines ({log}):")
    say("\n".join("    " + row for row in rows[-TAIL_LINES:]))
    if done.step.hint:
        say(f"\n{done.step.hint}")
    say()


class Line:
    """A line that lives on a terminal, and elsewhere grows now and then until it ends."""

    def __init__(self, start: str) -> None:
        self.start = start
        self.terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self.next_still = time.monotonic() + STILL_SECONDS
        if not self.terminal:
            print(start, end="", flush=True)

    def working(self, text: str, still: str) -> None:
        """Shows a text on a terminal; elsewhere adds `still` once a minute."""
        if self.terminal:
            width = max(shutil.get_terminal_size().columns, 40) - 1
            print(f"\r\x1b[2K{(self.start + text)[:width]}", end="", flush=True)
        elif time.monotonic() > self.next_still:
            self.next_still += STILL_SECONDS
            print(still, end="", flush=True)

    def end(self, text: str) -> None:
        """Its last word."""
        say((f"\r\x1b[2K{self.start}" if self.terminal else "") + text)


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
