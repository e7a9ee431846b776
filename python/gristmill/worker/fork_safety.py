"""Makes sure that a process has one thread before it forks."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator


class CannotServe(Exception):
    """Why no runner can be forked, in one sentence for people."""


def refuse_threads() -> None:
    """
    Raises CannotServe unless this process has one thread: a fork copies locks held by others, but not their holders.

    Libraries that care about forks (OpenBLAS under numpy, for one) end their threads in a handler of the fork itself,
    so threads that Python does not know are judged after a trial.
    """
    others = [thread.name for thread in threading.enumerate() if thread is not threading.current_thread()]
    if others:
        raise CannotServe(
            f"cannot fork runners while other threads run: {', '.join(sorted(others))}; "
            "start them in the task or after the fork (os.register_at_fork), not at import"
        )
    if native_threads() == 1:
        return
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    if (count := native_threads()) != 1:
        raise CannotServe(
            f"cannot fork runners: {count - 1} threads of a native library run "
            f"({', '.join(sorted(native_thread_names()))}); keep it from starting them at import"
        )


def native_threads() -> int:
    """Returns how many threads the operating system counts in this process."""
    return len(os.listdir("/proc/self/task"))


def native_thread_names() -> Iterator[str]:
    """Names every thread but the main one as the operating system does."""
    for thread in os.listdir("/proc/self/task"):
        if int(thread) != os.getpid():
            with contextlib.suppress(OSError), open(f"/proc/self/task/{thread}/comm") as comm:
                yield comm.read().strip()
