"""Job ids: UUIDs of version 7, so that later jobs sort after earlier ones."""

import os
import threading
import time
import uuid
from datetime import datetime, timezone

_lock = threading.Lock()
_last = 0


def new_id() -> uuid.UUID:
    """
    Returns a fresh id that sorts after every id made in this process before.

    RFC 9562, section 6.2, method 3: 48 bits of milliseconds, then 12 bits of the fraction of a millisecond,
    then 62 random bits. When the clock stands still or goes back, the last fraction plus one is taken.
    """
    global _last
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    moment = milliseconds << 12 | (nanoseconds << 12) // 1_000_000
    with _lock:
        _last = moment = max(moment, _last + 1)
    random_bits = int.from_bytes(os.urandom(8), "big") & 0x3FFF_FFFF_FFFF_FFFF
    return uuid.UUID(int=moment >> 12 << 80 | 0x7 << 76 | (moment & 0xFFF) << 64 | 0b10 << 62 | random_bits)


def first_id_at(moment: datetime) -> uuid.UUID:
    """
    Returns the least id that could have been made at a moment, to the millisecond; naive means this process's zone.

    Ids made before it sort before it: a date becomes a range of the primary key.
    """
    milliseconds = int(moment.astimezone(timezone.utc).timestamp() * 1000)
    return uuid.UUID(int=min(max(milliseconds, 0), 2**48 - 1) << 80)


def made_at(job_id: uuid.UUID) -> datetime | None:
    """Returns when an id was made, in UTC and to the millisecond; None for one of another version."""
    if job_id.version != 7:
        return None
    try:
        return datetime.fromtimestamp((job_id.int >> 80) / 1000, timezone.utc)
    except (OverflowError, ValueError, OSError):
        return None


def parse_id(text: object) -> uuid.UUID | None:
    """Returns the id that `text` spells (32 hex digits, with or without hyphens), or None when it spells none."""
    if isinstance(text, uuid.UUID):
        return text
    if not isinstance(text, str) or len(text) not in (32, 36):
        return None
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
