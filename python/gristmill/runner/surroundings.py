"""
What of its process a task may have changed, and the next job must not meet: put back, or told as lost.

Looking costs a few microseconds a job, and nothing else where nothing has changed.
"""

from __future__ import annotations

import gc
import locale
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

# The plain functions; those of `locale` and `signal` read what they are given and name what they give back.
setlocale: Any = getattr(sys.modules.get("_locale"), "setlocale", locale.setlocale)
sigmask: Any = sys.modules["_signal"].pthread_sigmask
LC_ALL = locale.LC_ALL

Plain = tuple[str, Callable[[], Any], Callable[[Any], Any]]
#: What is read by one function and set by another; none of them has more of Python in it than it must.
PLAIN: tuple[Plain, ...] = (
    ("the locale", partial(setlocale, LC_ALL), partial(setlocale, LC_ALL)),
    ("blocked signals", partial(sigmask, signal.SIG_BLOCK, ()), partial(sigmask, signal.SIG_SETMASK)),
    ("the default timeout of sockets", socket.getdefaulttimeout, socket.setdefaulttimeout),
    ("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    ("garbage collection", gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
    ("logging.disable", lambda: logging.root.manager.disable, logging.disable),
    # Who has given it away does not get it again, unless root gives it.
    ("its priority", partial(os.getpriority, os.PRIO_PROCESS, 0), lambda value: None),
)
READ = tuple(read for _, read, _ in PLAIN)


class Surroundings:
    """What a process is like before its first job."""

    def __init__(self) -> None:
        self.folder = folder()
        self.umask = os.umask(0o077)
        os.umask(self.umask)
        self.environ = os.environ
        self.variables = dict(raw(self.environ))
        self.clock = clock()
        self.streams = sys.stdin, sys.stdout, sys.stderr
        self.plain = [read() for read in READ]

    def restore(self) -> list[str]:
        """Puts back what has changed, and names what cannot be."""
        os.umask(self.umask)
        if (sys.stdin, sys.stdout, sys.stderr) != self.streams:
            sys.stdin, sys.stdout, sys.stderr = self.streams
        if os.environ is not self.environ or raw(self.environ) != self.variables:
            self._restore_environment()
        if [read() for read in READ] == self.plain and folder() == self.folder and clock() == self.clock:
            return []
        return self._put_back()

    def _put_back(self) -> list[str]:
        left: list[str] = []
        if clock() != self.clock:
            time.tzset()
            if clock() != self.clock:
                left.append("the time zone")
        if folder() != self.folder:
            with suppress(OSError, TypeError):
                os.chdir(self.folder)  # type: ignore[arg-type]
            if folder() != self.folder:
                left.append("the working directory")
        for (name, read, put_back), first in zip(PLAIN, self.plain, strict=True):
            if read() != first:
                with suppress(Exception):
                    put_back(first)
                if read() != first:
                    left.append(name)
        return left

    def _restore_environment(self) -> None:
        # The environment itself is in this object, whatever has been put in its place.
        os.environ = self.environ  # noqa: B003
        for name in [*raw(self.environ)]:
            if name not in self.variables:
                del self.environ[os.fsdecode(name)]
        for name, value in self.variables.items():
            if raw(self.environ).get(name) != value:
                self.environ[os.fsdecode(name)] = os.fsdecode(value)
        # Whoever set TZ may have told C, too.
        time.tzset()


def folder() -> str | None:
    """Returns the working directory; None where it is gone."""
    try:
        return os.getcwd()
    except OSError:
        return None


def raw(environ: Any) -> dict[bytes, bytes]:
    """Returns what an environment holds, as it holds it: decoded, each comparison would cost as much as a small job."""
    data: dict[bytes, bytes] = environ._data
    return data


def clock() -> tuple[Any, ...]:
    """Returns what C takes for the time zone."""
    return time.timezone, time.altzone, time.tzname
