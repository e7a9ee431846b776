"""
What people search for, read into one form.

    Search.parse('state:failed args.order_id:7 error:"no such table" after:2h')

A term is `name:value`; a value with spaces stands in double quotes. A bare word is part of a task's name, and eight or
more hexadecimal digits are an id. Reading is pure: what needs a database (which tasks are known, whose ids begin so) is
asked for by whoever carries the search out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from difflib import get_close_matches
from typing import Any

from django.utils.dateparse import parse_date, parse_datetime

from gristmill.inspect.listing.branches import BRANCHES
from gristmill.inspect.tables import printable
from gristmill.values.durations import UNITS

#: A search is typed by hand; what is longer was pasted by mistake, and every term costs a condition.
MOST_CHARACTERS, MOST_TERMS = 200, 8
#: The fewest digits of an id that are looked for.
LEAST_DIGITS = 8
NAMES = ("id", "task", "queue", "state", "key", "schedule", "worker", "args.NAME", "error", "group", "before", "after")
#: Stands for the fingerprint of failures that have none: restored from elsewhere, or failed without having run.
WITHOUT_GROUP = "none"
#: Those of which one will do: two of them could not both be true of a job.
ANY_OF = {"id": "ids", "task": "tasks", "queue": "queues", "key": "keys", "schedule": "schedules", "worker": "workers"}

_TERM = re.compile(r'(?:([A-Za-z][\w.-]*):)?(?:"((?:[^"\\]|\\.)*)"|([^\s"]+))(?=\s|$)', re.DOTALL)
_HEX = re.compile(r"[0-9a-f]+")
_FINGERPRINT = re.compile(r"[0-9a-f]{16}")
_AGO = re.compile(r"(\d{1,6})([smhd])", re.ASCII)


class SearchError(ValueError):
    """A search that cannot be meant; its sentence says what to write instead."""


@dataclass(frozen=True)
class Search:
    """
    What a job has to be like. Of ids, tasks, queues, keys, schedules and workers any will do; the rest holds together.

    `words` are parts of a task's name. `args` are names of arguments, dotted where they lead into objects, with the
    text of a value. `before` and `after` are a moment, or for how long ago.
    """

    ids: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    schedules: tuple[str, ...] = ()
    workers: tuple[str, ...] = ()
    args: tuple[tuple[str, str], ...] = ()
    errors: tuple[str, ...] = ()
    # A fingerprint of failures; "none" is those that have none.
    group: str | None = None
    state: str | None = None
    before: datetime | timedelta | None = None
    after: datetime | timedelta | None = None

    @classmethod
    def parse(cls, text: str) -> Search:
        """Reads a search; raises SearchError, with a sentence that says what to write, for one that makes no sense."""
        if len(text) > MOST_CHARACTERS:
            raise SearchError(f"a search has {MOST_CHARACTERS} characters at most, and this one {len(text):,}")
        found, terms = cls(), split(text)
        if len(terms) > MOST_TERMS:
            raise SearchError(f"a search has {MOST_TERMS} terms at most, and this one {len(terms)}")
        for name, value in terms:
            found = found.with_term(name, value)
        return found

    def with_term(self, name: str | None, value: str) -> Search:
        """Returns it with one more term; raises SearchError."""
        if name is None:
            digits = value.replace("-", "").lower()
            if len(digits) >= LEAST_DIGITS and _HEX.fullmatch(digits):
                name = "id"
            else:
                return replace(self, words=(*self.words, value))
        if not value:
            raise SearchError(f"nothing stands behind {name}:; write {name}:VALUE")
        if name.startswith("args."):
            return replace(self, args=(*self.args, (argument_of(name), value)))
        if name == "error":
            return replace(self, errors=(*self.errors, value))
        if name in READ_AS:
            if getattr(self, name) is not None:
                raise SearchError(f"{name}: stands there twice; leave one of the two out")
            found: dict[str, Any] = {name: READ_AS[name](name, value)}
            return replace(self, **found)
        if name in ANY_OF:
            field = ANY_OF[name]
            checked = digits_of(value) if name == "id" else value
            more: dict[str, Any] = {field: (*getattr(self, field), checked)}
            return replace(self, **more)
        near = get_close_matches(name, [each.partition(".")[0] for each in NAMES], n=1)
        meant = f"did you mean {near[0]}:?" if near else f"there is {', '.join(f'{each}:' for each in NAMES)}"
        raise SearchError(f'{printable(name)!r} is no term; {meant} Text with a colon in it stands in quotes: "a:b"')

    def since(self, age: timedelta) -> Search:
        """Returns it for what happened within so long."""
        return replace(self, after=age)

    def of_state(self, state: str) -> Search:
        """Returns it for the jobs of one branch."""
        return replace(self, state=state)

    def __bool__(self) -> bool:
        return self != Search()


def split(text: str) -> list[tuple[str | None, str]]:
    """Returns the terms of a search, each a name, if it has one, and a value; raises SearchError."""
    terms, at = [], 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        found = _TERM.match(text, at)
        if found is None:
            rest = printable(text[at:].split()[0], 40)
            if text.count('"', at) % 2:
                raise SearchError(f"a quote is opened and not closed at {rest}")
            # A name without its value, or a quote in the middle of a word.
            raise SearchError(f'{rest} cannot be read; write name:value or name:"a value with spaces"')
        name, quoted, plain = found.groups()
        value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        if name is None and quoted is None and plain.endswith(":"):
            raise SearchError(f"nothing stands behind {printable(plain, 40)}; write {printable(plain, 40)}VALUE")
        terms.append((name, value))
        at = found.end()
    return terms


def argument_of(name: str) -> str:
    """Returns the name of an argument, dotted where it leads into objects; raises SearchError."""
    path = name.removeprefix("args.")
    if not path or not all(path.split(".")):
        raise SearchError("an argument has a name: args.order_id:7, or args.0:7 for the first positional one")
    return path


def digits_of(value: str) -> str:
    """Returns the hexadecimal digits of an id or of a part of one; raises SearchError."""
    digits = value.replace("-", "").lower()
    if not _HEX.fullmatch(digits) or len(digits) > 32:
        raise SearchError(f"{printable(value)!r} is no id: 32 hexadecimal digits, or its first or last {LEAST_DIGITS}")
    if len(digits) < LEAST_DIGITS:
        raise SearchError(f"{digits!r} is too short: give the first or last {LEAST_DIGITS} digits of the id, or more")
    return digits


def state_of(name: str, value: str) -> str:
    """Returns the branch that a word names; raises SearchError."""
    word = value.lower()
    if word in BRANCHES and word != "all":
        return word
    known = [name for name in BRANCHES if name != "all"]
    near = get_close_matches(word, known, n=1)
    meant = f"did you mean {near[0]}?" if near else f"there is {', '.join(known)}"
    raise SearchError(f"{printable(value)!r} is no state; {meant}")


def group_of(name: str, value: str) -> str:
    """Returns the fingerprint of a group, or "none"; raises SearchError."""
    word = value.lower()
    if word == WITHOUT_GROUP or _FINGERPRINT.fullmatch(word):
        return word
    raise SearchError(
        f"{printable(value)!r} is no group; copy one of 16 digits from `manage.py gristmill failures`, or write "
        f"{name}:{WITHOUT_GROUP} for failures that have none"
    )


def moment_of(name: str, value: str) -> datetime | timedelta:
    """Returns a moment (without a zone it is Django's), or for how long ago; raises SearchError."""
    ago = _AGO.fullmatch(value)
    try:
        if ago is not None:
            return timedelta(**{UNITS[ago[2]]: int(ago[1])})
        day = parse_date(value)
        if isinstance(day, date):
            return datetime.combine(day, time())
        moment = parse_datetime(value)
    except (ValueError, OverflowError):
        moment = None
    if moment is None:
        raise SearchError(
            f"{printable(value)!r} is no date; write {name}:2026-12-24, {name}:2026-12-24T18:00, or how long ago it "
            f"is: {name}:2h, {name}:7d"
        )
    return moment


#: Terms that stand there once, and what reads them.
READ_AS: dict[str, Callable[[str, str], Any]] = {
    "before": moment_of,
    "after": moment_of,
    "state": state_of,
    "group": group_of,
}

__all__ = ["Search", "SearchError"]
