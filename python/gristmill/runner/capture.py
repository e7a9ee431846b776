"""
Keeps what handlers print, bounded, while it goes on to the real streams.

Stands in for `sys.stdout` and `sys.stderr` from before Django is set up, so that logging handlers write here too. Each
async job has its own record, by a context variable that threads started through asgiref inherit; whatever else prints
while a sync job runs is that job's.
"""

from __future__ import annotations

import io
import os
import select
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any, TextIO

from gristmill.values.failure import storable

# Bytes of UTF-8 kept of each end; both and the line between them are at most 64 KiB.
HEAD = 32 * 1024 - 128
TAIL = 32 * 1024
# Bytes that a job may send on to the real streams.
MAX_PASSED_ON = 64 * 1024
# A pipe that is ready for writing takes this much without waiting (POSIX: PIPE_BUF).
PIECE = 4096
# So begins a line that is JSON already, as `gristmill.worker.logs` makes it.
STRUCTURED = '{"timestamp": "'
FULL = "[gristmill: a job has printed more than 64 KiB; the rest is not shown here]\n"


class Record:
    """What one job has printed: the beginning, the end, and how much there was between."""

    __slots__ = ("head", "head_room", "job", "left_out", "lock", "room", "tail", "tail_length", "unfinished", "used")

    def __init__(self) -> None:
        self.lock = threading.RLock()
        # What was asked for, by the name of its parts; None while no job runs.
        self.job: dict[str, Any] | None = None
        self.used = False
        self.clear()

    def clear(self) -> None:
        """Forgets it all."""
        self.used = False
        self.head: list[str] = []
        self.head_room = HEAD
        self.tail: deque[str] = deque()
        self.tail_length = 0
        self.left_out = 0
        # What may still be sent on, and by descriptor the line that has not ended.
        self.room = MAX_PASSED_ON
        self.unfinished: dict[int, str] = {}

    def add(self, text: str) -> None:
        """Adds what was printed; costs no more memory than is kept."""
        with self.lock:
            self.used = True
            if self.head_room:
                first = text[: self.head_room]
                self.head.append(first)
                self.head_room -= len(first)
                if len(first) == len(text):
                    return
                text = text[len(first) :]
            if len(text) >= TAIL:
                self.left_out += self.tail_length + len(text) - TAIL
                self.tail.clear()
                self.tail.append(text[-TAIL:])
                self.tail_length = TAIL
                return
            self.tail.append(text)
            self.tail_length += len(text)
            # Small pieces are joined, so that a million one-character prints are not a million objects.
            if len(self.tail) > 1024:
                joined = "".join(self.tail)
                self.tail.clear()
                self.tail.append(joined)
            while self.tail_length - len(self.tail[0]) >= TAIL:
                gone = len(self.tail.popleft())
                self.tail_length -= gone
                self.left_out += gone
            if self.tail_length > 2 * TAIL:
                joined = "".join(self.tail)
                self.left_out += self.tail_length - TAIL
                self.tail.clear()
                self.tail.append(joined[-TAIL:])
                self.tail_length = TAIL

    def text(self) -> str:
        """Returns it as storable text of at most 64 KiB, and a line that says how much was left out."""
        with self.lock:
            head, tail = "".join(self.head), "".join(self.tail)
            left_out = self.left_out
        if len(tail) > TAIL:
            left_out += len(tail) - TAIL
            tail = tail[-TAIL:]
        head_bytes, tail_bytes = storable(head).encode(), storable(tail).encode()
        if not left_out and len(head_bytes) + len(tail_bytes) <= HEAD + TAIL:
            return (head_bytes + tail_bytes).decode()
        kept_head = head_bytes[:HEAD].decode(errors="ignore")
        kept_tail = tail_bytes[-TAIL:].decode(errors="ignore") if tail_bytes else ""
        if not tail_bytes:
            # Text that fits by its characters, but not by its bytes.
            kept_tail = head_bytes[HEAD:][-TAIL:].decode(errors="ignore")
        kept = len(kept_head) + len(kept_tail)
        left_out = max(left_out + len(head) + len(tail) - kept, 1)
        return f"{kept_head}\n[… {left_out:,} characters left out …]\n{kept_tail}"


_record: ContextVar[Record | None] = ContextVar("gristmill_record", default=None)
# Of the sync job that runs, or of nobody.
_sync: Record | None = None


def serve_sync(record: Record | None) -> None:
    """Has whatever prints outside an async job be recorded here."""
    global _sync
    _sync = record


def begin(record: Record) -> None:
    """Has whatever prints in this context, and in those made from it, be recorded here."""
    _record.set(record)


def current() -> Record | None:
    """Returns the record of the job that this code belongs to."""
    return _record.get() or _sync


class Stream(io.TextIOBase):
    """A standard stream whose text is recorded for the job that prints it."""

    def __init__(self, real: TextIO, told: Callable[[str, Record | None], str] | None = None) -> None:
        self.real = real
        # Makes of each line what is sent on; None sends it on as it is.
        self.told = told
        self.unfinished = ""
        self.bytes = Bytes(self)
        try:
            self.descriptor: int | None = real.fileno()
        except (OSError, ValueError, AttributeError):
            self.descriptor = None

    def write(self, text: str) -> int:
        """Records text and sends it on."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        record = current()
        if record is None:
            return self._write_through(text)
        record.add(text)
        if record.room > 0:
            self._pass_on(record, text)
        return len(text)

    def _write_through(self, text: str) -> int:
        """Writes what no job prints; whole lines where something is made of them."""
        if self.told is None:
            return self.real.write(text)
        *lines, self.unfinished = self._apart(self.unfinished, text).split("\n")
        self.real.write("".join(f"{self.told(line, None)}\n" for line in lines))
        return len(text)

    def _apart(self, unfinished: str, text: str) -> str:
        """Puts a text behind a line that has not ended; behind its end, where the text is a line of a log."""
        between = "\n" if unfinished and self.told is not None and text.startswith(STRUCTURED) else ""
        return f"{unfinished}{between}{text}"

    def _pass_on(self, record: Record, text: str) -> None:
        """Sends whole lines on, so that those of jobs that run side by side do not mix."""
        number = id(self)
        with record.lock:
            if len(text) > record.room:
                text = text[: record.room]
            text = self._apart(record.unfinished.pop(number, ""), text)
            end = text.rfind("\n") + 1
            if end < len(text):
                if len(text) - end > PIECE or len(text) >= record.room:
                    end = len(text)
                else:
                    record.unfinished[number] = text[end:]
            if end:
                self._send(record, text[:end])

    def _send(self, record: Record, text: str) -> None:
        if record.room <= 0:
            return
        record.room -= len(text)
        if record.room <= 0:
            text = f"{text}\n{FULL}"
        if self.told is not None:
            text = "".join(f"{self.told(line, record)}\n" for line in text.splitlines())
        try:
            if self.descriptor is None:
                self.real.write(text)
            else:
                send(self.descriptor, text.encode(self.real.encoding or "utf-8", "backslashreplace"))
        except (OSError, ValueError):
            # Nobody reads it: that is no trouble of the job's.
            record.room = 0

    def flush(self) -> None:
        """Sends on the line that has not ended."""
        record = current()
        if record is None:
            if self.unfinished:
                self._write_through("\n")
            self.real.flush()
        elif record.unfinished:
            with record.lock:
                if text := record.unfinished.pop(id(self), ""):
                    self._send(record, text)

    @property
    def buffer(self) -> Bytes:
        """The same as a binary stream."""
        return self.bytes

    # The real stream's own, as far as programs ask.
    def fileno(self) -> int:
        """Returns the real stream's descriptor."""
        return self.real.fileno()

    def isatty(self) -> bool:
        """Tells whether the real stream is a terminal."""
        return self.real.isatty()

    def writable(self) -> bool:
        """It is."""
        return True

    def close(self) -> None:
        """Does nothing: the next job prints too."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The real stream's."""
        return self.real.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """The real stream's."""
        return self.real.errors

    def __getattr__(self, name: str) -> Any:
        if name == "real":
            raise AttributeError(name)
        return getattr(self.real, name)


class Bytes(io.RawIOBase):
    """The binary side of a stream."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def write(self, data: Any) -> int:
        """Records bytes as the text that they are in UTF-8, and sends them on."""
        view = memoryview(data)
        if current() is None:
            self.stream.real.buffer.write(view)
            return view.nbytes
        size = 1024 * 1024
        flat = view.cast("B") if view.format != "B" or view.ndim != 1 else view
        for start in range(0, len(flat), size):
            self.stream.write(bytes(flat[start : start + size]).decode(errors="replace"))
        return view.nbytes

    def flush(self) -> None:
        """As the stream's."""
        self.stream.flush()

    def fileno(self) -> int:
        """As the stream's."""
        return self.stream.fileno()

    def isatty(self) -> bool:
        """As the stream's."""
        return self.stream.isatty()

    def writable(self) -> bool:
        """It is."""
        return True

    def close(self) -> None:
        """Does nothing: the next job prints too."""


def send(descriptor: int, data: bytes) -> None:
    """Writes what a descriptor takes without waiting: a reader that has stopped must not stop the job."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    for start in range(0, len(data), PIECE):
        ready = poll.poll(0)
        if not ready or not ready[0][1] & select.POLLOUT:
            raise BlockingIOError
        os.write(descriptor, data[start : start + PIECE])


def install(told: Callable[[str, str, Record | None], str] | None = None) -> None:
    """Puts the streams in place; only once, and before logging is set up. `told` makes of each line what is sent on."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, Stream):
            stream.flush()
            of_stream = None if told is None else partial(_told, told, name)
            setattr(sys, name, Stream(stream, of_stream))


def _told(told: Callable[[str, str, Record | None], str], name: str, line: str, record: Record | None) -> str:
    return told(line, name, record)


def flush() -> None:
    """Sends on what has no line end yet; at the end of a job."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Stream):
            stream.flush()


def say(line: str) -> None:
    """Adds a line to the output of the job that this code belongs to, and sends it on to the standard error."""
    record = current()
    text = f"{line}\n"
    if isinstance(sys.stderr, Stream):
        sys.stderr.write(text)
    elif record is not None:
        record.add(text)
