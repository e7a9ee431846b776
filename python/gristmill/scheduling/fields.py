"""One field of a cron expression: its text, and the values that the text stands for."""

from __future__ import annotations

from typing import NamedTuple


class Wrong(ValueError):
    """What is wrong with a field, without its name."""


class Unit(NamedTuple):
    """What a field counts."""

    name: str
    least: int
    greatest: int
    # What a range of it looks like.
    example: str
    names: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """How many values it has."""
        return self.greatest - self.least + 1


MINUTE = Unit("minute", 0, 59, "10-20")
HOUR = Unit("hour", 0, 23, "9-17")
DAY_OF_MONTH = Unit("day of month", 1, 31, "1-7")
MONTH = Unit(
    *("month", 1, 12, "jun-aug"),
    ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
)
# From Sunday, which may be written 7 too.
WEEKDAY = Unit("weekday", 0, 6, "mon-fri", ("sun", "mon", "tue", "wed", "thu", "fri", "sat"))
SECOND = Unit("second", 0, 59, "10-20")


def values_of(unit: Unit, text: str) -> set[int]:
    """Returns the values of a whole field; raises Wrong."""
    return {value for item in items(text) for value in _values_of_item(unit, item)}


def items(text: str) -> list[str]:
    """Returns the items of a list; raises Wrong for an empty one."""
    found = text.split(",")
    if "" in found:
        raise Wrong(f"'{text}' has an empty place between its commas")
    return found


def value_of(unit: Unit, text: str) -> int:
    """Returns one value, by number or by name, as written: Sunday may be 7."""
    if text in unit.names:
        return unit.names.index(text) + unit.least
    greatest = 7 if unit is WEEKDAY else unit.greatest
    value = _number(text)
    if value is not None:
        if unit.least <= value <= greatest:
            return value
        raise Wrong(f"{text} is not between {unit.least} and {greatest}")
    if not unit.names:
        raise Wrong(f"'{text}' is not a number between {unit.least} and {greatest}")
    names = ", ".join(unit.names)
    raise Wrong(f"'{text}' is neither a number between {unit.least} and {greatest} nor one of {names}")


def _values_of_item(unit: Unit, item: str) -> set[int]:
    base, slash, step_text = item.partition("/")
    step = _step_of(unit, item, step_text) if slash else 1
    if base in ("*", "?"):
        if base == "?" and unit not in (DAY_OF_MONTH, WEEKDAY):
            raise Wrong("'?' may stand for a day of month or a weekday only; write *")
        low, high = unit.least, unit.greatest
    elif "-" in base:
        low, high = _range_of(unit, base)
    else:
        low = _once(unit, value_of(unit, base))
        high = unit.greatest if slash else low
    # Round the end of the field if `high` lies before `low`.
    length = high - low if high >= low else high + unit.size - low
    return {(low - unit.least + distance) % unit.size + unit.least for distance in range(0, length + 1, step)}


def _range_of(unit: Unit, base: str) -> tuple[int, int]:
    low_text, _, high_text = base.partition("-")
    if not low_text or not high_text or "-" in high_text:
        raise Wrong(f"'{base}' is not a range; write its two ends, like {unit.example}")
    low, high = value_of(unit, low_text), value_of(unit, high_text)
    # `0-7` names Sunday twice and means the whole week.
    if unit is WEEKDAY and (low, high) == (0, 7):
        return unit.least, unit.greatest
    return _once(unit, low), _once(unit, high)


def _step_of(unit: Unit, item: str, text: str) -> int:
    step = _number(text)
    if step is None:
        raise Wrong(f"the step of '{item}' is not a number")
    if step == 0:
        raise Wrong(f"the step of '{item}' is 0; the least is 1")
    if step > unit.size:
        raise Wrong(
            f"the step of '{item}' is longer than the field, which has {unit.size} values; "
            "an interval (every=…) has no such bound"
        )
    return step


def _number(text: str) -> int | None:
    """Reads plain digits only: no sign, no more than four."""
    return int(text) if 1 <= len(text) <= 4 and text.isascii() and text.isdigit() else None


def _once(unit: Unit, value: int) -> int:
    """Returns a value under its first name: 7 and 0 are one day."""
    return value % 7 if unit is WEEKDAY else value
