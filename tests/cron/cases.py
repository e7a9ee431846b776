"""Random questions for a cron library: an expression, a zone and an instant, half of them near a change of clocks."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

SINCE = int(datetime(1970, 1, 2, tzinfo=timezone.utc).timestamp())
UNTIL = int(datetime(2037, 12, 1, tzinfo=timezone.utc).timestamp())
# Closer together than any two changes that matter here, far enough apart to be quick.
STRIDE = int(timedelta(days=14).total_seconds())

BOUNDS = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "weekday": (0, 6), "second": (0, 59)}
NAMES = {
    "month": ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    "weekday": ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
}
NICKNAMES = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")


@dataclass(frozen=True)
class Case:
    """A question: the next run of `cron` in `zone` after `after`, in seconds since 1970-01-01 00:00 UTC."""

    cron: str
    zone: str
    after: float


def zones() -> list[str]:
    """The zones of the database, without what systems keep beside them."""
    return sorted(name for name in available_timezones() if name not in {"localtime", "Factory", "build/etc/localtime"})


def offset(zone: ZoneInfo, at: float) -> timedelta:
    """Local time less UTC."""
    return datetime.fromtimestamp(at, zone).utcoffset() or timedelta()


@cache
def changes(name: str) -> list[int]:
    """The instants at which a zone's clocks are set, found by looking at its offset."""
    zone, found = ZoneInfo(name), []
    for start in range(SINCE, UNTIL, STRIDE):
        low, high = start, start + STRIDE
        if offset(zone, low) == offset(zone, high):
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if offset(zone, middle) == offset(zone, low) else (low, middle)
        found.append(high)
    return found


class Generator:
    """The same seed gives the same cases, on the same copy of the time zone database."""

    def __init__(self, seed: int | str) -> None:
        self.random = random.Random(seed)
        self.zones = zones()

    def case(self) -> Case:
        zone = self.random.choice(self.zones)
        return Case(self.expression(), zone, self.instant(zone))

    def instant(self, zone: str) -> float:
        at = self.random.randint(SINCE, UNTIL)
        if self.random.random() < 0.5 and changes(zone):
            reach = self.random.choice((36, 2))
            at = self.random.choice(changes(zone)) + self.random.randint(-reach * 3600, 2 * 3600)
        return at + self.random.choice((0, 0, 0, 0.25, 0.5))

    def expression(self) -> str:
        if self.random.random() < 0.02:
            return self.random.choice(NICKNAMES)
        day, weekday = self.days()
        fields = [
            self.often("0", "30", "15", or_else=self.field("minute")),
            self.often("0", "2", "8", "*", or_else=self.field("hour")),
            day,
            self.often("*", or_else=self.field("month")),
            weekday,
        ]
        if self.random.random() < 0.15:
            fields.append(self.field("second"))
        return " ".join(fields)

    def often(self, *plain: str, or_else: str) -> str:
        return self.random.choice(plain) if self.random.random() < 0.5 else or_else

    def days(self) -> tuple[str, str]:
        """Day of month and weekday: seldom both, as in the crontabs that people write."""
        which = self.random.choices(("neither", "day", "weekday", "both"), (37, 30, 30, 3))[0]
        day = self.day() if which in ("day", "both") else "*"
        weekday = self.weekday() if which in ("weekday", "both") else "*"
        return day, weekday

    def day(self) -> str:
        return self.random.choice(("L", "L", "1,L", "?")) if self.random.random() < 0.15 else self.field("day")

    def weekday(self) -> str:
        chance = self.random.random()
        if chance < 0.1:
            return f"{self.value('weekday')}#{self.random.randint(1, 5)}"
        if chance < 0.2:
            return f"{self.random.randint(0, 6)}L"
        return self.field("weekday")

    def field(self, unit: str) -> str:
        count = self.random.choice((1, 1, 1, 1, 2, 3))
        return ",".join(self.item(unit) for _ in range(count))

    def item(self, unit: str) -> str:
        kinds = {"value": 208, "*/n": 56, "range": 56, "round": 24, "*": 28, "a/n": 16, "range/n": 12, "round/n": 1}
        kind = self.random.choices(list(kinds), list(kinds.values()))[0]
        low, high = sorted(self.random.sample(range(BOUNDS[unit][0], BOUNDS[unit][1] + 1), 2))
        if "round" in kind:
            low, high = high, low
        step = self.random.randint(2, {"weekday": 3, "month": 6, "hour": 12}.get(unit, 30))
        written = {
            "value": self.value(unit),
            "*/n": f"*/{step}",
            "*": "*",
            "a/n": f"{low}/{step}",
            "range": f"{self.name(unit, low)}-{self.name(unit, high)}",
            "round": f"{self.name(unit, low)}-{self.name(unit, high)}",
            "range/n": f"{low}-{high}/{step}",
            "round/n": f"{low}-{high}/{step}",
        }
        return written[kind]

    def value(self, unit: str) -> str:
        if unit == "weekday" and self.random.random() < 0.05:
            return "7"
        return self.name(unit, self.random.randint(*BOUNDS[unit]))

    def name(self, unit: str, value: int) -> str:
        names = NAMES.get(unit, [])
        return names[value - BOUNDS[unit][0]] if names and self.random.random() < 0.5 else str(value)
