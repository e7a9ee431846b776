"""What a handler says of itself while it runs: the context's `progress`, `log` and `metadata`."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime, timezone
from json import dumps
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from gristmill.compat import TaskContext
from gristmill.runner import capture
from gristmill.runner.frame import pack_job
from gristmill.values.json_rule import encode

if TYPE_CHECKING:
    from gristmill.results.result import JobResult
    from gristmill.runner.attempt import Attempt

    Base = TaskContext[..., Any]
else:
    Base = TaskContext

logger = logging.getLogger("gristmill")

PROGRESS = ord("G")
# Bytes of JSON, of the message and of the metadata each.
MAX_BYTES = 16 * 1024
FRAMES_A_SECOND = 10


class Reporter:
    """Says a job's newest progress to the worker, at most ten times a second and once more at the end."""

    __slots__ = ("attempt", "closed", "metadata", "said", "send", "sent_at", "shown", "unsent")

    def __init__(self, attempt: Attempt, send: Callable[[bytes], None]) -> None:
        self.attempt = attempt
        self.send = send
        self.closed = False
        # What the handler sees, once it has asked for it, and how it was when last sent.
        self.metadata: dict[str, Any] | None = None
        self.said: str | None = None
        self.shown: dict[str, Any] = {"done": None, "total": None, "message": None}
        self.unsent = False
        self.sent_at: deque[float] = deque([-math.inf] * FRAMES_A_SECOND, maxlen=FRAMES_A_SECOND)

    def report(self, done: float | None, total: float | None, message: str | None) -> None:
        """Says how far the job is; raises TypeError or ValueError for what is not JSON or too long."""
        shown: dict[str, Any] = {"done": number(done, "done"), "total": number(total, "total"), "message": None}
        if message is not None:
            shown["message"] = str(message)
            checked(shown["message"], "message")
        metadata = self._metadata()
        if self.closed:
            return
        self.shown, self.unsent = shown, True
        now = time.monotonic()
        if now - self.sent_at[0] >= 1:
            self.sent_at.append(now)
            self.send(self._frame(metadata))

    def last(self) -> bytes:
        """Returns the frame that is still to be sent before the end, if there is one; nothing is said after it."""
        self.closed = True
        try:
            metadata = self._metadata()
        except Exception:
            logger.warning("job %s: its metadata is not recorded", self.attempt.result.id, exc_info=True)
            metadata = self.said
        return self._frame(metadata) if self.unsent or metadata != self.said else b""

    def _metadata(self) -> str | None:
        if self.metadata is None:
            return None
        text = checked(self.metadata, "metadata")
        # Nothing to say until there is something in it.
        return None if text == "{}" and self.said is None else text

    def _frame(self, metadata: str | None) -> bytes:
        self.unsent, self.said = False, metadata
        shown = dumps(self.shown, ensure_ascii=False)
        text = f'{shown[:-1]}, "metadata": {metadata or "null"}}}'
        return pack_job(PROGRESS, self.attempt.job, self.attempt.token, text.encode())


def number(value: float | None, name: str) -> float | None:
    """Checks a count: None or a finite number."""
    if value is None:
        return None
    if isinstance(value, (str, bytes)) or not math.isfinite(value := float(value)):
        raise ValueError(f"progress: {name} is a finite number, not {value!r}")
    return value


def checked(value: Any, where: str) -> str:
    """Returns `value` as JSON text of at most 16 KiB; raises what `gristmill.values.json_rule.encode` does."""
    text = encode(value, where=where)
    if len(text) > MAX_BYTES or len(text.encode()) > MAX_BYTES:
        raise ValueError(f"{where}: more than {MAX_BYTES:,} bytes of JSON; keep it small and store the rest elsewhere")
    return text


class Context(Base):
    """What a task with `takes_context=True` gets as its first argument."""

    __slots__ = ("reporter",)
    reporter: Reporter

    def progress(self, done: float | None, total: float | None = None, message: str | None = None) -> None:
        """
        Says how far the job is: `done` of `total`, in whatever the task counts, and a message for people.

        May be called as often as you like: at most ten a second are written down, and the newest always is. Raises
        TypeError or ValueError for numbers that are not finite, and for a message or metadata over 16 KiB.
        """
        self.reporter.report(done, total, message)

    def log(self, message: object) -> None:
        """Adds a line with the time of day (UTC) to the job's output."""
        capture.say(f"{datetime.now(timezone.utc):%H:%M:%S.%f} {message}")

    @property
    def metadata(self) -> dict[str, Any]:
        """A dict of the job's own, JSON of at most 16 KiB: sent with the next progress, and before the end."""
        if self.reporter.metadata is None:
            self.reporter.metadata = {}
        return self.reporter.metadata

    @property
    def schedule_name(self) -> str | None:
        """The schedule that this job is of; None for a job that was enqueued."""
        return self.reporter.attempt.schedule_name

    @property
    def nominal(self) -> datetime | None:
        """
        The instant of the schedule that this job stands for, however late it runs; the same in each of its attempts.

        In the current time zone, naive without USE_TZ. None for a job that was enqueued or run by hand.
        """
        return self.reporter.attempt.nominal

    @property
    def preconditions(self) -> list[JobResult[..., Any]]:
        """
        The results of the jobs that this one waited for, in the order of their ids, read when first asked for.

        All that it was ever given: in its enqueue, by `Postpone(after=…)` and by hand. What was pruned since is left
        out. Async handlers use `await context.apreconditions()`.
        """
        return self.reporter.attempt.preconditions()

    async def apreconditions(self) -> list[JobResult[..., Any]]:
        """See `preconditions`."""
        return await sync_to_async(lambda: self.preconditions)()


def context_of(attempt: Attempt, send: Callable[[bytes], None]) -> Context:
    """Makes the context of an attempt."""
    attempt.reporter = Reporter(attempt, send)
    context = object.__new__(Context)
    object.__setattr__(context, "task_result", attempt.result)
    object.__setattr__(context, "reporter", attempt.reporter)
    return context
