"""Lengths of time as people write them: `90s`, `15m`, `2h`, `7d`."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from datetime import timedelta

from gristmill.values.bounds import LONGEST

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
#: Longer is a slip of the hand, and would lead to dates that no database can tell.
MOST_DAYS = int(LONGEST) // 86_400
_WRITTEN = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)([smhd])", re.ASCII)


def duration(text: str) -> timedelta:
    """Reads `90s`, `15m`, `2h`, `7d`; a type for argparse."""
    found = _WRITTEN.fullmatch(text.strip())
    if found is None:
        raise ArgumentTypeError(f"{text!r} is not a length of time; write 90s, 15m, 2h or 7d")
    amount = float(found[1])
    if amount * timedelta(**{UNITS[found[2]]: 1}).total_seconds() > MOST_DAYS * 86_400:
        raise ArgumentTypeError(f"{text!r} is longer than {MOST_DAYS:,} days")
    return timedelta(**{UNITS[found[2]]: amount})
