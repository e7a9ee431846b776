"""
Ends processes, with whatever they leave behind.

A runner's descendants are in its process group unless they have moved to one of their own. Those lose their parent
when the runner dies; the kernel gives them to the zygote, which has asked for orphans and ends them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Collection, Iterator
from typing import Any

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
# In the environment of everything that a runner starts: the runner's number.
MARK = "GRISTMILL_RUNNER"


def die_with_parent(parent: int) -> None:
    """Has the kernel SIGKILL this process when its parent's thread ends; ends it now if that has happened already."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def outlive_parent() -> None:
    """Undoes `die_with_parent`."""
    prctl(PR_SET_PDEATHSIG, 0)


def adopt_orphans() -> None:
    """Has every descendant that loses its parent become a child of this process."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def kill_group(pid: int) -> None:
    """SIGKILLs a runner and everything in its process group."""
    # The group does not exist yet when neither side of the fork has come to make it.
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def kill_orphans(spared: Collection[int], living: Collection[int]) -> set[int]:
    """
    SIGKILLs the children of this process but those spared, and those that belong to a living runner; gives their pids.

    What they have started becomes a child of this process in turn, so nothing is left when this finds none.
    """
    found = set()
    for pid in children():
        if pid in spared or runner_of(pid) in living:
            continue
        found.add(pid)
        # It leads a group when it has moved away from its runner's; a whole group cannot fork away from a signal.
        kill_group(pid)
    return found


def children(*, dead: bool = True) -> Iterator[int]:
    """Gives the pids of this process's children; without the `dead` ones, which wait to be reaped, if you like."""
    own = str(os.getpid())
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            with contextlib.suppress(OSError), open(f"/proc/{entry}/stat", "rb") as stat:
                # The name before it may hold anything, parentheses too.
                state, parent = stat.read().rpartition(b")")[2].split(None, 2)[:2]
                if parent.decode() == own and (dead or state not in b"ZX"):
                    yield int(entry)


def runner_of(pid: int) -> int | None:
    """Returns the number of the runner that a process comes from, where its environment tells."""
    with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/environ", "rb") as environ:
        for variable in environ.read().split(b"\0"):
            if variable.startswith(f"{MARK}=".encode()):
                return int(variable.partition(b"=")[2])
    return None


def prctl(option: int, value: int) -> None:
    """Sets an attribute of this process in the kernel; raises OSError when that fails."""
    if _libc.prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


_libc: Any = ctypes.CDLL(None, use_errno=True)
