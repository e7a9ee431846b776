"""
The ends of time: one rule for every date and every length of time, applied wherever one enters.

A length of time is seconds or a timedelta, and a hundred years at most. A date lies a week from either end of
the years 1 to 9999, in UTC: so its default deadline is a date too, and so is what any time zone calls it. The engine's
`crates/core/src/moment.rs` and the tables have the same ends.

Whoever asks puts the option's name before the sentences that are raised.
"""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta, timezone
from typing import Any

from django.conf import settings
from django.utils import timezone as django_timezone

#: A hundred years, in seconds. Whoever gives more has slipped.
LONGEST = 36_525 * 86_400.0
#: How much later than it is due a job's deadline is, unless it has one of its own; as the engine's SQL has it.
USUAL_DEADLINE = timedelta(hours=168)
#: In UTC, naive.
EARLIEST, LATEST = datetime.min + USUAL_DEADLINE, datetime(9999, 12, 31) - USUAL_DEADLINE
#: What a date is between.
ENDS = f"{EARLIEST.date().isoformat()} and {LATEST.date().isoformat()}"


def seconds_of(value: Any) -> float | None:
    """Returns a length of time in seconds; None for what is none, such as True, text, NaN and infinities."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def seconds(value: Any, *, least: float = 0) -> float:
    """Returns a length of time in seconds; raises ValueError for what is none, or out of bounds."""
    found = seconds_of(value)
    if found is None or not least <= found <= LONGEST:
        bound = "from 0 up" if not least else "above 0"
        raise ValueError(f"must be a number of seconds {bound} or a timedelta, a hundred years at most")
    return found


def run_after(value: Any) -> datetime | timedelta | None:
    """Returns when a job is due: at a date, or so long after its enqueue, which may be before it; raises ValueError."""
    if value is None:
        return None
    if isinstance(value, datetime):
        refuse_beyond(value)
        return value
    found = seconds_of(value)
    if found is None or isinstance(value, date) or abs(found) > LONGEST:
        raise ValueError(
            "must be a datetime, or a number of seconds or a timedelta after the enqueue, a hundred years at most"
        )
    return value if isinstance(value, timedelta) else timedelta(seconds=found)


def moment(value: Any) -> datetime:
    """Returns a date, as USE_TZ wants it; raises ValueError for what is none, or beyond the ends."""
    if not isinstance(value, datetime):
        raise ValueError("must be a datetime")
    if settings.USE_TZ and value.utcoffset() is None:
        raise ValueError("must be an aware datetime")
    refuse_beyond(value)
    return value


def refuse_beyond(value: datetime) -> None:
    """Raises ValueError for a date beyond the ends."""
    try:
        if value.utcoffset() is None:
            value = value.replace(tzinfo=django_timezone.get_default_timezone())
        is_within = EARLIEST <= value.astimezone(timezone.utc).replace(tzinfo=None) <= LATEST
    except (OverflowError, ValueError):
        # A time zone's way out of the calendar.
        is_within = False
    if not is_within:
        raise ValueError(f"must be between {ENDS}, in UTC")


def later(now: datetime, by: timedelta) -> datetime:
    """Returns the date that is so much later; raises ValueError for one beyond the ends."""
    try:
        found = now + by
        refuse_beyond(found)
    except (OverflowError, ValueError):
        raise ValueError(f"{by} after {now} is no date between {ENDS}, in UTC") from None
    return found


__all__ = [
    "LATEST",
    "LONGEST",
    "USUAL_DEADLINE",
    "later",
    "moment",
    "refuse_beyond",
    "run_after",
    "seconds",
    "seconds_of",
]
