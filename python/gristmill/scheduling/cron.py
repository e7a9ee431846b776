"""
Reads a cron expression, to say what is wrong with it when it is written down.

When it runs is the engine's to know (`crates/core/src/schedule`). This reader accepts what the engine accepts and
refuses the rest in the same sentences, so that a mistake is seen at import, where no engine is at hand. The dialect is
told in `docs/reference/cron.md`.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache

from gristmill.scheduling.fields import (
    DAY_OF_MONTH,
    HOUR,
    MINUTE,
    MONTH,
    SECOND,
    WEEKDAY,
    Wrong,
    items,
    value_of,
    values_of,
)

#: In the engine's bytes; every list that makes sense is shorter.
LONGEST = 1_000
#: How many years without a run prove that there is none.
YEARS = 50
#: Of a long expression, what is told of it.
SHOWN = 80

_NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
# Unicode's white space, which is not quite what Python's strip() takes away; and ASCII's.
_SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_BETWEEN = re.compile(r"[ \t\n\f\r]+")
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


class CronError(ValueError):
    """There is no such schedule; says which field is wrong and what would be right."""


def read(text: str) -> str:
    """
    Returns a rule without the spaces around it: a cron expression, or `manual` for one that runs only by hand.

    Raises CronError with the engine's own sentence for what is neither, and for what would never run.
    """
    text = text.strip(_SPACES)
    if text.translate(_LOWER) == "manual":
        return "manual"
    _check(text)
    return text


@lru_cache(maxsize=256)
def _check(text: str) -> None:
    if len(text.encode("utf-8", "surrogatepass")) > LONGEST:
        raise _whole("an expression has at most 1000 characters", text)
    lower = text.translate(_LOWER)
    if lower.startswith("@"):
        if lower not in _NAMED:
            names = "@yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly"
            raise _whole(f"the names are {names}", text)
        lower = _NAMED[lower]
    fields = [each for each in _BETWEEN.split(lower) if each]
    if len(fields) not in (5, 6):
        raise _whole(
            "write five fields (minute hour day-of-month month weekday) or six with seconds at the end, "
            f"not {len(fields)}",
            text,
        )
    days = Days()
    unit = MINUTE
    try:
        values_of(unit := MINUTE, fields[0])
        values_of(unit := HOUR, fields[1])
        unit = DAY_OF_MONTH
        days.read_numbered(fields[2])
        months = values_of(unit := MONTH, fields[3])
        unit = WEEKDAY
        days.read_weekdays(fields[4])
        for second in fields[5:]:
            values_of(unit := SECOND, second)
    except Wrong as wrong:
        raise CronError(f"{unit.name}: {wrong}, in '{text}'") from None
    if not _ever_runs(days, months):
        raise CronError(
            f"it would never run: no month named has a day named; check day of month and month, in '{text}'"
        )


def _whole(problem: str, text: str) -> CronError:
    return CronError(f"{problem}, in '{text[:SHOWN]}'")


@dataclass
class Days:
    """The two day fields of an expression."""

    numbered: set[int] = field(default_factory=set)
    weekdays: set[int] = field(default_factory=set)
    # `L`, `5L` and `5#2`.
    last_day: bool = False
    last_weekdays: set[int] = field(default_factory=set)
    nth_weekdays: set[tuple[int, int]] = field(default_factory=set)
    # A field that begins with an asterisk is no restriction of its own: then both fields have to name a day.
    either: bool = True

    def read_numbered(self, text: str) -> None:
        """Reads the days of the month; raises Wrong."""
        self.either &= text[0] not in "*?"
        for item in items(text):
            if item == "l":
                self.last_day = True
            elif "w" in item:
                raise Wrong(f"'{item}': the nearest working day (W) is not known here")
            elif "l" in item:
                raise Wrong(f"'{item}': L, the last day of the month, stands alone or in a list")
            else:
                self.numbered |= values_of(DAY_OF_MONTH, item)

    def read_weekdays(self, text: str) -> None:
        """Reads the weekdays; raises Wrong."""
        self.either &= text[0] not in "*?"
        for item in items(text):
            if "#" in item:
                weekday, _, nth = item.partition("#")
                if nth not in ("1", "2", "3", "4", "5"):
                    raise Wrong(f"'{item}': after # comes a number from 1 to 5, as in 5#2")
                self.nth_weekdays.add((value_of(WEEKDAY, weekday) % 7, int(nth)))
            elif item == "l":
                raise Wrong("L needs a weekday here: 5L is the last Friday of the month")
            elif item.endswith("l") or item.startswith("l"):
                weekday = item[:-1] if item.endswith("l") else item[1:]
                self.last_weekdays.add(value_of(WEEKDAY, weekday) % 7)
            else:
                self.weekdays |= values_of(WEEKDAY, item)

    def first_named(self, year: int, month: int) -> int | None:
        """Returns the first day of a month that is named, if there is one."""
        first, length = monthrange(year, month)
        for day in range(1, length + 1):
            # 0 is Sunday here, and Monday in Python's calendar.
            weekday = (first + day) % 7
            by_number = day in self.numbered or (self.last_day and day == length)
            by_weekday = (
                weekday in self.weekdays
                or (weekday, (day + 6) // 7) in self.nth_weekdays
                or (weekday in self.last_weekdays and day + 7 > length)
            )
            if (by_number or by_weekday) if self.either else (by_number and by_weekday):
                return day
        return None


def _ever_runs(days: Days, months: set[int]) -> bool:
    # Any stretch of that length will do; this one has a century without a leap day in it.
    end = date(2096, 1, 1).toordinal() + YEARS * 366
    for year in range(2096, 2096 + YEARS + 1):
        for month in sorted(months):
            day = days.first_named(year, month)
            if day is not None:
                return date(year, month, day).toordinal() < end
    return False


__all__ = ["CronError", "read"]
