"""
Ends a sync handler from outside: an exception raised in its code, and nowhere else.

The handlers of SIGALRM (its time is over) and SIGUSR1 (someone cancels it) run between two instructions of whatever
the main thread does. They raise only while the handler runs, only when the innermost frame is not the runner's own,
and never in the middle of a frame on the socket; otherwise they look again a millisecond later. So an exception that
comes as the handler returns is dropped, and its success stands. Before they raise they end the handler's queries on
the server.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from gristmill.exceptions import Cancelled, TimedOut
from gristmill.runner.attempt import Attempt
from gristmill.runner.leftovers import is_in_foreign_code, is_raised_in_foreign_code
from gristmill.runner.queries import stop_queries
from gristmill.values.failure import causes

Value = TypeVar("Value")

try:
    import resource
except ImportError:  # pragma: no cover
    resource = None  # type: ignore[assignment]

PAGE = os.sysconf("SC_PAGE_SIZE")
# Seconds until the next look, and the longest that a timer takes.
AGAIN = 0.001
LONGEST = 366 * 24 * 3600.0
# Seconds for telling what went wrong.
PATIENCE = 2
# Seconds after which what has swallowed its interruption is interrupted again.
INSISTS = 0.5
SIGNALS = (signal.SIGALRM, signal.SIGUSR1)
# What an exception is asked for its text by; stopped in there, nothing is half-done.
TEXTS = ("__str__", "__repr__")


class TookTooLong(BaseException):
    """Raised in what is not a handler, and has taken more time than there is for it."""


class Guard:
    """Calls handlers, and ends the one that runs."""

    def __init__(self, listen: Callable[[], None]) -> None:
        # Reads what the worker has sent; asks `cancel` if it names the job that runs.
        self.listen = listen
        self.armed = False
        # How deep the main thread is in code that must not be left half-done.
        self.held = 0
        self.limited = False
        self.is_impatient = False
        # What was last done with patience was interrupted.
        self.was_slow = False
        self.timeout: float | None = None
        # When the time is over, on now()'s clock, and whether an alert came that has not been read.
        self.ends = math.inf
        self.unread = False
        self.memory: tuple[int, int] | None = None
        # What is to be raised, and what has been.
        self.due: BaseException | None = None
        self.fired: BaseException | None = None
        # The function whose limits these are.
        self.handler: Callable[..., Any] | None = None
        # Something has been stopped half-way that was not made for it: this process should not run another job.
        self.spoiled = False

    def install(self) -> None:
        """Takes the signals; in the main thread."""
        signal.signal(signal.SIGALRM, self._time_is_over)
        signal.signal(signal.SIGUSR1, self._alerted)

    def call(self, attempt: Attempt, function: Callable[..., Any], first: tuple[Any, ...]) -> Any:
        """Calls a handler within its limits; returns or raises what it does, or raises TimedOut or Cancelled."""
        self.fired = None
        self.handler = attempt.call.function
        result = attempt.result
        try:
            # First, or the shortest of times would be over unnoticed.
            self.armed = True
            if attempt.limits is not None:
                self._limit(*attempt.limits)
            if self.due is not None:
                self.limited = True
                self.fired = self.due
                raise self.due
            return function(*first, *result.args, **result.kwargs)
        finally:
            self.armed = False
            if self.limited:
                self._lift()

    @contextmanager
    def patience(self) -> Iterator[None]:
        """Raises TookTooLong in what is done meanwhile: an exception's own text may never end."""
        self.is_impatient = True
        # Again and again: what formats exceptions swallows what their text raises, and asks once more.
        signal.setitimer(signal.ITIMER_REAL, PATIENCE, PATIENCE)
        try:
            yield
        finally:
            self.is_impatient = False
            signal.setitimer(signal.ITIMER_REAL, 0)

    def within(self, seconds: float, function: Callable[..., Value], *arguments: Any) -> Value:
        """
        Calls what is not a handler; raises TookTooLong in it when so many seconds are over, until it gives way.

        Also where it swallows that and returns.
        """
        self.was_slow = False
        # A task may have blocked them, or taken them for itself.
        self.install()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        try:
            self.is_impatient = True
            signal.setitimer(signal.ITIMER_REAL, min(seconds, LONGEST), INSISTS)
            value = function(*arguments)
        finally:
            self.is_impatient = False
            signal.setitimer(signal.ITIMER_REAL, 0)
        if self.was_slow:
            raise TookTooLong("stopped, as its time was over")
        return value

    def cancel(self) -> None:
        """Has the handler that runs, or is about to, end as cancelled."""
        if self.fired is None:
            self.due = Cancelled("someone cancelled this job while it ran")

    def reason_for(self, error: BaseException, attempt: Attempt) -> str | None:
        """Says which limit an exception came from; None when it is the handler's own."""
        if isinstance(self.fired, Cancelled):
            return "cancelled"
        if self.fired is not None and any(link is self.fired for link in causes(error)):
            return "timeout"
        reason = memory_reason(error, attempt)
        if reason is not None:
            self.spoiled |= is_raised_in_foreign_code(error.__traceback__, attempt.call.function)
        return reason

    def was_cut_short(self, reason: str) -> bool:
        """Tells whether the handler was stopped by a limit or a cancel, whatever it made of that."""
        return self.fired is not None or reason == "memory"

    def cancelled(self) -> Cancelled | None:
        """Returns what was raised in the handler because someone cancelled it."""
        return self.fired if isinstance(self.fired, Cancelled) else None

    def _limit(self, timeout: float | None, megabytes: float | None) -> None:
        self.limited = True
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        if megabytes:
            self._limit_memory(int(megabytes * 1024 * 1024))
        if timeout:
            self.timeout, self.ends = timeout, now() + timeout
            self._wind(timeout)

    def _limit_memory(self, most: int) -> None:
        """Lets the process grow until its resident memory could be `most` bytes."""
        with open("/proc/self/statm") as statm:
            _, resident, _, _, _, data, _ = (int(pages) * PAGE for pages in statm.read().split())
        soft, hard = self.memory = resource.getrlimit(resource.RLIMIT_DATA)
        room = data + max(most - resident, 0)
        if hard != resource.RLIM_INFINITY:
            room = min(room, hard)
        if soft != resource.RLIM_INFINITY:
            room = min(room, soft)
        resource.setrlimit(resource.RLIMIT_DATA, (room, hard))

    def _lift(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        self.limited, self.due, self.timeout = False, None, None
        self.ends, self.unread = math.inf, False
        if self.memory is not None:
            resource.setrlimit(resource.RLIMIT_DATA, self.memory)
            self.memory = None

    def _time_is_over(self, number: int, frame: FrameType | None) -> None:
        if self.is_impatient:
            if self.held or (frame is not None and frame.f_code is WITHIN):
                # As it returns by itself, or is not to be left half-done; the timer comes again.
                return
            self.was_slow = True
            is_text = frame is not None and frame.f_code.co_name in TEXTS
            self.spoiled |= not is_text and is_in_foreign_code(frame, None)
            self._stop_queries()
            raise TookTooLong("stopped, as its time was over")
        if self.armed:
            self._look(frame)

    def _alerted(self, number: int, frame: FrameType | None) -> None:
        # Where nothing is armed, the runner's own code reads what has been sent.
        if self.armed:
            self.unread = True
            self._look(frame)

    def _look(self, frame: FrameType | None) -> None:
        """Raises what is due by now, or sets the timer for what is not."""
        if self.unread and not self._read():
            self._look_again()
            return
        left = self.ends - now()
        if self.due is None and left <= 0:
            self.due = TimedOut(f"it ran longer than its timeout of {self.timeout or 0:g} s")
        if self.due is not None:
            self._raise_in(frame, self.due)
        elif left < math.inf:
            self._wind(left)

    def _read(self) -> bool:
        """Reads what the worker has sent, unless a frame is half written or half read."""
        if self.held:
            return False
        # A timer that runs out meanwhile is lost: what is due is looked at afterwards.
        self.unread = self.armed = False
        try:
            self.listen()
        finally:
            self.armed = True
        return True

    def _raise_in(self, frame: FrameType | None, error: BaseException) -> None:
        if self.fired is not None:
            self.due = None
            return
        if self.held or frame is None or frame.f_code is CALL:
            self.due = error
            self._look_again()
            return
        self.fired, self.due = error, None
        self.spoiled |= self.handler is not None and is_in_foreign_code(frame, self.handler)
        self._stop_queries()
        raise error

    def _stop_queries(self) -> None:
        """Ends the handler's queries on the server, where they would go on without it."""
        self.held += 1
        try:
            stop_queries()
        finally:
            self.held -= 1

    def _look_again(self) -> None:
        self.limited = True
        self._wind(AGAIN)

    def _wind(self, seconds: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, max(min(seconds, LONGEST), 1e-6))


CALL = Guard.call.__code__
WITHIN = Guard.within.__code__


def now() -> float:
    """Returns seconds on a clock that nothing sets, and that no library for tests replaces."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def memory_reason(error: BaseException, attempt: Attempt) -> str | None:
    """Says "memory" of a MemoryError in a job whose memory is limited."""
    limited = attempt.limits is not None and attempt.limits[1]
    return "memory" if limited and isinstance(error, MemoryError) else None
