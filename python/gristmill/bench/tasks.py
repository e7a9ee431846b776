"""The task that the benchmark runs. Registered only in workers that the benchmark starts."""

import os
import struct
import time

from gristmill.tasks.decorators import task

#: Names the file that bodies append to; set only by the benchmark, for the workers it starts.
FILE = "GRISTMILL_BENCH_FILE"
#: Name of the task of which no worker knows anything.
UNKNOWN = "gristmill.bench.tasks.unknown"

_shape = struct.Struct("<qq")
_open: tuple[int, int] | None = None


@task(schedulable=True)
def noop(number: int) -> None:
    """Appends its number and the machine's monotonic clock, 16 bytes in all, and does nothing else."""
    global _open
    if _open is None or _open[0] != os.getpid():
        _open = os.getpid(), os.open(os.environ[FILE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(_open[1], _shape.pack(number, time.monotonic_ns()))


def read(path: str) -> list[tuple[int, int]]:
    """Returns what the bodies appended, in order: (number, nanoseconds)."""
    with open(path, "rb") as file:
        data = file.read()
    return list(_shape.iter_unpack(data[: len(data) // _shape.size * _shape.size]))
