"""Who is told of failures: OPTIONS["NOTIFY"], mail addresses or the path of a function that takes a notice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.module_loading import import_string

NAME = "NOTIFY"
#: A list is typed by hand.
MOST_ADDRESSES = 50


def is_set(options: Mapping[str, Any]) -> bool:
    """Tells whether anybody is to be told."""
    return bool(options.get(NAME))


def addresses(options: Mapping[str, Any]) -> list[str]:
    """Returns the mail addresses; none where it is a function."""
    given = options.get(NAME)
    return [*given] if isinstance(given, (list, tuple)) else []


def function(options: Mapping[str, Any]) -> Callable[[Any], Any] | None:
    """Returns the function; None where it is a list of addresses. Raises ImportError."""
    given = options.get(NAME)
    found: Callable[[Any], Any] | None = import_string(given) if isinstance(given, str) else None
    return found


def notify_error(options: Mapping[str, Any]) -> str | None:
    """Says what is wrong with it, behind the name of OPTIONS; None when nothing is."""
    given = options.get(NAME)
    if given is None:
        return None
    if isinstance(given, (list, tuple)):
        wrong = [each for each in given if not _is_address(each)]
        if wrong:
            return f"['{NAME}'] has {wrong[0]!r:.200}, which is no mail address"
        if len(given) > MOST_ADDRESSES:
            return f"['{NAME}'] has {len(given)} addresses; {MOST_ADDRESSES} at most: name a mailing list instead"
        return None
    if not isinstance(given, str) or "." not in given or "@" in given:
        return (
            f"['{NAME}'] must be a list of mail addresses, such as ['ops@example.org'], or the path of a function that "
            f"takes a notice, such as 'shop.notices.tell', not {given!r:.200}"
        )
    try:
        found = import_string(given)
    except ImportError as error:
        return f"['{NAME}'] names {given!r}, which cannot be imported: {error}"
    return None if callable(found) else f"['{NAME}'] names {given!r}, which is not a function"


def _is_address(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        validate_email(value)
    except ValidationError:
        return False
    return True


__all__ = ["NAME", "addresses", "function", "is_set", "notify_error"]
