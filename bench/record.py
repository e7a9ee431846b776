"""What a benchmark's task does: append its number and the time to a file. Shared by all contenders."""

import os
import struct
import time

_SHAPE = struct.Struct("<qq")
_open: tuple[int, int] | None = None


def ran(number: int) -> None:
    """Appends 16 bytes: the number, and the machine's monotonic clock in nanoseconds."""
    global _open
    if _open is None or _open[0] != os.getpid():
        _open = os.getpid(), os.open(os.environ["BENCH_FILE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(_open[1], _SHAPE.pack(number, time.monotonic_ns()))


def read(path: str) -> list[tuple[int, int]]:
    """All that was appended, in order."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return []
    return list(_SHAPE.iter_unpack(data[: len(data) // 16 * 16]))
