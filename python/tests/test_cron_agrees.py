"""The engine reads cron expressions; what is refused before it is asked would be refused by it too."""

from __future__ import annotations

import random

import pytest

from gristmill.schedules import engine_cron
from gristmill.schedules.rules import _one_rule

SEED = 20_260_101
UNITS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7), (0, 59))
NAMES = {3: "jan feb mar apr may jun jul aug sep oct nov dec", 4: "sun mon tue wed thu fri sat"}
ODD = (
    *("", "*", "?", "-", "/", ",", "#", "L", "l", "w", "15W", "1-", "-1", "1--2", "*/0", "*/", "/2", "*/2/3", "5#0"),
    *("5#", "#2", "5#2#3", "LL", "L5L", "1,,2", ",", "1-2-3", "007", "00001", "+1", "1.5", "\u0661", "\xb2", "é"),
    *("mo", "monday", "JAN", "Fri", "*5", "5*", "0-7", "7-7", "7/2", "L-3", "L,1", "friL", "Lfri", "5l,1#1"),
)
WHOLE = (
    *("", " ", "manual", " MANUAL ", "Manual\n", "@yearly", "@Daily", "@midnight", "@reboot", "@", "@weekly extra"),
    *("0 0 31 2 *", "0 0 30 feb *", "0 0 29 2 *", "0 0 31 2,4,6,9,11 ?", "0 0 29 2 1#5", "0 0 ? 2 1#5", "0 0 * 2 *#1"),
    *(
        "* * * *",
        "* * * * * * *",
        "\x1f* * * * *",
        "\xa0* * * * *\u2003",
        "*\v* * * *",
        "* * * * *\x1f",
        "*\u2003* * * *",
    ),
    *("0 0 */2 * mon", "0 0 31 2 1L", "0 0 */31 2 *", "0 0 */30 2 1", "* " * 600, "1," * 400 + "1 * * * *", "é" * 600),
)


def value(pick: random.Random, place: int) -> str:
    least, greatest = UNITS[place]
    if place in NAMES and pick.random() < 0.3:
        return pick.choice(NAMES[place].split())
    # Now and then out of bounds.
    return str(pick.randint(least, greatest) if pick.random() < 0.95 else pick.randint(greatest, greatest + 50))


def item(pick: random.Random, place: int) -> str:
    kind = pick.random()
    if kind < 0.05:
        return pick.choice(ODD)
    if place in (2, 4) and kind < 0.2:
        return pick.choice(("?", "L", f"{value(pick, 4)}#{pick.randint(1, 6)}", f"{value(pick, 4)}L", "*/2"))
    base = pick.choice(("*", value(pick, place), f"{value(pick, place)}-{value(pick, place)}"))
    return f"{base}/{pick.randint(0, 65)}" if pick.random() < 0.15 else base


def expression(pick: random.Random) -> str:
    count = pick.choices((5, 6, 4, 7), (70, 25, 3, 2))[0]
    fields = [
        ",".join(item(pick, place % 6) for _ in range(pick.choices((1, 2, 4), (70, 20, 10))[0]))
        for place in range(count)
    ]
    text = pick.choice((" ", "  ", "\t")).join(fields)
    return text.upper() if pick.random() < 0.05 else text


def refusal(text: str) -> str | None:
    try:
        _one_rule(text, None)
    except ValueError as error:
        return str(error).removeprefix("cron: ")
    return None


def test_what_the_engine_can_read_is_never_refused_where_it_is_written_down() -> None:
    pick = random.Random(SEED)
    expressions = [*WHOLE, *(f"0 {odd} * * *" for odd in ODD), *(f"0 0 {odd} 6 {odd}" for odd in ODD)]
    expressions += [expression(pick) for _ in range(8_000)]

    answers = engine_cron.ask([{"cron": text, "zone": "UTC", "after": 0, "count": 0} for text in expressions])

    asked = list(zip(expressions, answers, strict=True))
    assert [text for text, answer in asked if answer.error is None and refusal(text) is not None] == []
    refused = sum(answer.error is not None for answer in answers)
    assert 1_000 < refused < len(answers) - 1_000


@pytest.mark.parametrize("text", ["* * * *", "* * * * * * *", "daily"])
def test_what_does_not_look_like_an_expression_is_refused_at_once_in_the_engines_words(text: str) -> None:
    (answer,) = engine_cron.ask([{"cron": text, "zone": "UTC", "count": 0}])

    assert refusal(text) == answer.error


def test_a_rule_is_kept_as_it_was_written() -> None:
    assert _one_rule(" 30 8 * * MON-fri\n", None) == ("30 8 * * MON-fri", None)
    assert _one_rule(" Manual ", None) == ("manual", None)
