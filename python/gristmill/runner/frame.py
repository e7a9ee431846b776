"""
Frames on the worker's private sockets; `docs/design/wire.md` says what they mean.

A frame is a length (u32, little-endian, of what follows), a kind (one byte) and a payload. Frames about a job begin
with its id (16 bytes) and token (u64, little-endian).
"""

import struct

# Of the kind and the payload together.
MAX_LENGTH = 16 * 1024 * 1024
HEADER = struct.Struct("<IB")
JOB_HEADER = struct.Struct("<IB16sQ")
STARTED = struct.Struct("<IB16sQQ")
JOB = struct.Struct("<16sQ")
INSTANT = struct.Struct("<Q")


class BadFrame(Exception):
    """The peer does not speak this protocol; nothing that it says can be trusted any more."""


def pack(kind: int, payload: bytes = b"") -> bytes:
    """Returns one frame; raises ValueError when the payload is too long."""
    if len(payload) >= MAX_LENGTH:
        raise ValueError(f"a frame of {len(payload):,} bytes is over the limit of {MAX_LENGTH:,}")
    return HEADER.pack(len(payload) + 1, kind) + payload


def pack_job(kind: int, job: bytes, token: int, payload: bytes = b"") -> bytes:
    """Returns one frame about a job; raises ValueError when the payload is too long."""
    if len(payload) >= MAX_LENGTH - JOB.size:
        raise ValueError(f"a frame of {len(payload):,} bytes is over the limit of {MAX_LENGTH:,}")
    return JOB_HEADER.pack(len(payload) + 1 + JOB.size, kind, job, token) + payload


class Parser:
    """Makes frames of a byte stream, whatever pieces it comes in."""

    __slots__ = ("_needed", "_pending")

    def __init__(self) -> None:
        self._pending = bytearray()
        # How many bytes must be there before there is a frame.
        self._needed = 4

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Returns the frames that `data` completes as (kind, payload); raises BadFrame for an impossible length."""
        if self._pending:
            self._pending += data
            if len(self._pending) < self._needed:
                return []
            data = bytes(self._pending)
        frames = []
        position, end = 0, len(data)
        self._needed = 4
        while end - position >= 4:
            length = int.from_bytes(data[position : position + 4], "little")
            if not 1 <= length <= MAX_LENGTH:
                raise BadFrame(f"a frame of {length:,} bytes")
            following = position + 4 + length
            if following > end:
                self._needed = 4 + length
                break
            frames.append((data[position + 4], data[position + 5 : following]))
            position = following
        self._pending = bytearray(data[position:])
        return frames
