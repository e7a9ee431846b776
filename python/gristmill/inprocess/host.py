"""
The engine's decisions and SQL, as a child process that works on this process's database connection.

The child has no connection of its own: each statement comes back over its pipe and is carried out here. What is said
there is told in `docs/design/wire.md`. One child is kept for the next run; it ends with this process.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
from collections.abc import Iterator
from typing import IO, Any

from django.utils import timezone

from gristmill.runner.frame import HEADER, MAX_LENGTH, BadFrame, pack
from gristmill.values.binary import find_binary
from gristmill.values.moments import utc_text

# Longer than an idle child needs to see that its input has ended.
PATIENCE = 5.0


class HostGone(RuntimeError):
    """The child process ended in the middle of a run."""


class Host:
    """One `gristmill host`."""

    def __init__(self) -> None:
        # In a session of its own: Ctrl-C at the terminal is for this process to understand.
        self.process = subprocess.Popen(
            [find_binary(), "host"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.input: IO[bytes] = self.process.stdin
        self.output: IO[bytes] = self.process.stdout

    def say(self, kind: bytes, payload: bytes = b"") -> None:
        """Sends one frame."""
        self.send(pack(ord(kind), payload))

    def send(self, frames: bytes) -> None:
        """Sends frames, and with them the time: Django's, which a test may have stopped."""
        try:
            self.input.write(pack(ord("N"), utc_text(timezone.now()).encode()) + frames)
            self.input.flush()
        except OSError:
            raise self._gone() from None

    def hear(self) -> tuple[bytes, bytes]:
        """Waits for the next frame: its kind and payload."""
        length, kind = HEADER.unpack(self._read(HEADER.size))
        if not 1 <= length <= MAX_LENGTH:
            raise BadFrame(f"a frame of {length:,} bytes")
        return bytes([kind]), self._read(length - 1)

    def _read(self, size: int) -> bytes:
        data = self.output.read(size)
        if len(data) < size:
            raise self._gone()
        return data

    def _gone(self) -> HostGone:
        self.close()
        status = self.process.returncode
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        return HostGone(f"the process `gristmill host` ended in the middle of a run: {how}")

    def is_alive(self) -> bool:
        """Tells whether it can take another request."""
        return self.process.poll() is None

    def close(self) -> None:
        """Ends it."""
        with contextlib.suppress(OSError):
            self.input.close()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.output.close()

    def forget(self) -> None:
        """Lets go of it in a fork of its parent, who still needs it."""
        for stream in (self.input, self.output):
            with contextlib.suppress(OSError):
                # Not through the stream: it may hold what the parent has not sent yet.
                os.close(stream.detach().fileno())  # type: ignore[attr-defined]
        self.process.returncode = 0


# All that live, and the one that waits for its next run.
_alive: set[Host] = set()
_idle: list[Host] = []


@contextlib.contextmanager
def borrowed() -> Iterator[Host]:
    """Gives a host to one run. One that is left in the middle of a run is ended."""
    host = _idle.pop() if _idle else None
    if host is not None and not host.is_alive():
        host.close()
        _alive.discard(host)
        host = None
    if host is None:
        host = Host()
        _alive.add(host)
    try:
        yield host
    except BaseException:
        _alive.discard(host)
        host.close()
        raise
    if _idle:
        _alive.discard(host)
        host.close()
    else:
        _idle.append(host)


def close_all() -> None:
    """Ends every host; the next run starts one."""
    _idle.clear()
    while _alive:
        _alive.pop().close()


def _after_fork() -> None:
    _idle.clear()
    while _alive:
        _alive.pop().forget()


atexit.register(close_all)
os.register_at_fork(after_in_child=_after_fork)


def plain(value: Any) -> Any:
    """Returns a value in the engine's form: Python's driver for SQLite reads some columns as moments."""
    return value if value is None or isinstance(value, (int, float, str)) else value.isoformat(" ", "microseconds")
