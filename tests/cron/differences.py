"""Where Gristmill and croniter part: each difference has a name, a reason, and a question that proves it.

A difference is explained when croniter itself gives Gristmill's answer to the same case put otherwise: in words that
mean the same to both, or with the switch that makes it do as cron does. What no name explains is a defect of one of
the two, and fails the comparison.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from zoneinfo import ZoneInfo

from cases import BOUNDS, NAMES, Case, changes, offset
from croniter import CroniterError, croniter

UNITS = list(BOUNDS)
# More at once would explain too much.
MOST_TOGETHER = 3


@dataclass(frozen=True)
class Asking:
    """How croniter is asked: with which fields, and as what."""

    fields: tuple[str, ...]
    as_cron_does: bool = False
    skip_second_showing: bool = False
    days_apart: bool = False
    back_to_the_change: bool = False
    afresh_at_the_change: bool = False


def plain(case: Case) -> Asking:
    """As written, but for `5L`, the last Friday: croniter writes it `L5`."""
    fields = case.cron.split()
    if len(fields) > 1:
        fields[4] = re.sub(r"\b(\d)L\b", r"L\1", fields[4])
    return Asking(tuple(fields))


def croniters(case: Case, asking: Asking) -> int | None:
    """Croniter's next run in seconds since 1970, None where it finds none or refuses."""
    if asking.days_apart:
        day, month, weekday = asking.fields[2:5]
        apart = [(day, month, "*"), ("*", month, weekday)]
        answers = [one_answer(case, asking, (*asking.fields[:2], *days, *asking.fields[5:])) for days in apart]
        return min((answer for answer in answers if answer is not None), default=None)
    return one_answer(case, asking, asking.fields)


def one_answer(case: Case, asking: Asking, fields: tuple[str, ...]) -> int | None:
    run = answer_from(case.after, case, asking, fields)
    if asking.afresh_at_the_change and run is not None:
        zone = ZoneInfo(case.zone)
        back = [at for at in changes(case.zone) if case.after < at <= run and offset(zone, at) < offset(zone, at - 1)]
        # From the last second before a change it sees a run at the change itself; from the change, all later ones.
        for at in (second for change in back for second in (change - 1, change)):
            afresh = answer_from(at, case, asking, fields)
            run = run if afresh is None else min(run, afresh)
    return run


def answer_from(after: float, case: Case, asking: Asking, fields: tuple[str, ...]) -> int | None:
    zone = ZoneInfo(case.zone)
    try:
        runs = croniter(" ".join(fields), datetime.fromtimestamp(after, zone), implement_cron_bug=asking.as_cron_does)
        while True:
            run = int(runs.get_next(float))
            if asking.back_to_the_change:
                run = forward_change_within_a_minute_before(run, zone) or run
            if not (asking.skip_second_showing and datetime.fromtimestamp(run, zone).fold):
                return run
    except CroniterError:
        return None


def forward_change_within_a_minute_before(run: int, zone: ZoneInfo) -> int | None:
    return next((at for at in range(run, run - 60, -1) if offset(zone, at) > offset(zone, at - 1)), None)


def is_fixed(fields: tuple[str, ...]) -> bool:
    """Neither minute nor hour has an asterisk or a step, and not every hour is named."""
    return not re.search(r"[*/]|@hourly", " ".join(fields[:2]))


def numbered(unit: str, text: str) -> int:
    names = NAMES.get(unit, [])
    value = names.index(text) + BOUNDS[unit][0] if text in names else int(text)
    return 0 if unit == "weekday" and value == 7 else value


def spelled_out(unit: str, item: str) -> str:
    """A range round the end with a step, as the list of its values."""
    found = re.fullmatch(r"(\w+)-(\w+)/(\d+)", item)
    if not found:
        return item
    low, high, step = numbered(unit, found[1]), numbered(unit, found[2]), int(found[3])
    least, greatest = BOUNDS[unit]
    size = greatest - least + 1
    if low <= high:
        return item
    return ",".join(str((low - least + n) % size + least) for n in range(0, high + size - low + 1, step))


@dataclass(frozen=True)
class Difference:
    """A named difference: what it is, where it can be, and how the case is put so that both agree."""

    name: str
    reason: str
    otherwise: Callable[[Case, Asking], Asking | None]


def change(asking: Asking, **how: object) -> Asking:
    return Asking(**{**asking.__dict__, **how})


def stepped_day(case: Case, asking: Asking) -> Asking | None:
    fields = asking.fields
    if len(fields) < 5 or not any(re.match(r"\*.", fields[place]) for place in (2, 4)):
        return None
    return change(asking, as_cron_does=True)


def counted_weekday_or_day(case: Case, asking: Asking) -> Asking | None:
    fields = asking.fields
    if len(fields) < 5 or not re.search(r"#|L\d", fields[4]) or fields[2] in ("*", "?"):
        return None
    return change(asking, days_apart=True)


def fixed_in_the_fold(case: Case, asking: Asking) -> Asking | None:
    return change(asking, skip_second_showing=True) if is_fixed(asking.fields) else None


def missed_second_showing(case: Case, asking: Asking) -> Asking | None:
    return change(asking, afresh_at_the_change=True)


def first_instant_after_the_gap(case: Case, asking: Asking) -> Asking | None:
    return change(asking, back_to_the_change=True)


def asterisk_later(case: Case, asking: Asking) -> Asking | None:
    fields = list(asking.fields)
    for place, unit in ((2, "day"), (4, "weekday")):
        if len(fields) > place and not fields[place].startswith("*"):
            least, greatest = BOUNDS[unit]
            fields[place] = fields[place].replace("*", f"{least}-{greatest}")
    return change(asking, fields=tuple(fields)) if tuple(fields) != asking.fields else None


def step_round_the_end(case: Case, asking: Asking) -> Asking | None:
    if len(asking.fields) < 5:
        return None
    fields = tuple(
        ",".join(spelled_out(unit, item) for item in field.split(","))
        for unit, field in zip(UNITS, asking.fields, strict=False)
    )
    return change(asking, fields=fields) if fields != asking.fields else None


DIFFERENCES = [
    Difference(
        "stepped-day",
        "a day field that begins with an asterisk is no restriction, as in cron: `*/2` and `mon` have both to hold; "
        "croniter takes either (its implement_cron_bug does as cron does)",
        stepped_day,
    ),
    Difference(
        "counted-weekday-or-day",
        "`5#2` and `5L` are restrictions like any weekday, so a day of month is enough by itself; croniter wants both, "
        "or finds nothing",
        counted_weekday_or_day,
    ),
    Difference(
        "fixed-in-the-fold",
        "a fixed time of day that comes twice in autumn runs the first time only; croniter runs it twice",
        fixed_in_the_fold,
    ),
    Difference(
        "step-round-the-end",
        "`20-4/3` counts on evenly over the end of the field (20, 23, 2); croniter starts anew, one off (20, 23, 3)",
        step_round_the_end,
    ),
    Difference(
        "first-instant-after-the-gap",
        "what a gap has swallowed runs at the first instant after it; croniter goes on by whole minutes from the "
        "missing time, so it keeps the seconds, and runs late where the gap ends within a minute (Monrovia, 1972)",
        first_instant_after_the_gap,
    ),
    Difference(
        "missed-second-showing",
        "an interval runs each time that its local time is shown; croniter overlooks the second time where the next "
        "one but for it lies by the same offset, or where the hour before holds a time that is shown but once",
        missed_second_showing,
    ),
    Difference(
        "asterisk-later-in-a-list",
        "`5,*` does not begin with an asterisk, so it is a restriction, to all days, as in cron; to croniter it is "
        "none, and makes a full week in the other field none as well",
        asterisk_later,
    ),
]


def explanation(case: Case, ours: int | None) -> list[Difference] | None:
    """The fewest named differences, three at most, that together make croniter give our answer; None where none do."""
    for count in range(1, MOST_TOGETHER + 1):
        for some in combinations(DIFFERENCES, count):
            asking: Asking | None = plain(case)
            for difference in some:
                asking = asking and difference.otherwise(case, asking)
            if asking and croniters(case, asking) == ours:
                return list(some)
    return None
