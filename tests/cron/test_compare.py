"""A comparison with croniter: CRON_CASES of it, twice; differences.py has the names, compare.py is the same by hand."""

from __future__ import annotations

import os
import random
import subprocess

import pytest

pytest.importorskip("croniter")

import compare
import environments
from cases import Case, Generator
from differences import DIFFERENCES, croniters, explanation, plain

CASES = int(os.environ.get("CRON_CASES", "1500"))


@pytest.fixture(scope="module", autouse=True)
def answering() -> None:
    """The program that answers for Gristmill: the one that is named, else built as this checkout's environments do."""
    if "GRISTMILL_BINARY" not in os.environ:
        os.environ["CARGO_TARGET_DIR"] = str(environments.TARGET)
        (build,) = environments.build(everything=False)
        subprocess.run(build.argv, cwd=compare.ROOT, check=True)


@pytest.mark.parametrize("seed", [1, random.SystemRandom().randrange(10**9)], ids=["known", "fresh"])
def test_the_next_run_is_croniters_but_for_differences_that_have_a_name(seed: int) -> None:
    tally = compare.compare(seed, CASES)

    print(compare.report(tally, seed))
    assert tally.unnamed == []
    # So few cases scatter; the bound of compare.py is for many.
    assert tally.different <= 1.5 * compare.MOST * CASES


def test_a_seed_gives_the_same_cases() -> None:
    one, two = Generator(7), Generator(7)
    assert [one.case() for _ in range(50)] == [two.case() for _ in range(50)]


def test_a_wrong_answer_has_no_name() -> None:
    # Else the names would explain anything: an hour, a minute, a second and a day off, where they are least alike.
    generator, asked, explained = Generator(8), 0, []
    for case in (generator.case() for _ in range(60)):
        right = croniters(case, plain(case))
        if right is not None:
            wrong = [right + off for off in (3600, -3600, 86_400, 1, 60)]
            explained += [(case, answer) for answer in wrong if explanation(case, answer)]
            asked += len(wrong)
    assert len(explained) <= 0.01 * asked, explained


# One case for each name, so that none of them lies about unused.
KNOWN = {
    "stepped-day": (Case("0 12 */2 * mon", "UTC", 1_767_225_600), 1_767_614_400),
    "counted-weekday-or-day": (Case("0 0 11 * sun#1", "UTC", 1_767_225_600), 1_767_484_800),
    "fixed-in-the-fold": (Case("30 2 * * *", "Europe/Berlin", 1_792_888_201), 1_792_978_200),
    "step-round-the-end": (Case("0 20-4/3 * * *", "UTC", 1_767_225_600), 1_767_232_800),
    "first-instant-after-the-gap": (Case("30 2 * * * 20", "Europe/Berlin", 1_774_740_000), 1_774_746_000),
    "missed-second-showing": (Case("*/29,26-36 2 * * sun", "Pacific/Chatham", 257_865_542.5), 257_868_780),
    "asterisk-later-in-a-list": (Case("0 0 5,* * mon", "UTC", 1_767_225_600), 1_767_312_000),
}


@pytest.mark.parametrize("name", [difference.name for difference in DIFFERENCES])
def test_each_named_difference_is_there_and_is_proved(name: str) -> None:
    case, expected = KNOWN[name]

    assert compare.gristmills([case]) == [expected]
    assert croniters(case, plain(case)) != expected
    assert [difference.name for difference in explanation(case, expected) or []] == [name]
