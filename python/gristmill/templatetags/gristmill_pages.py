"""What our pages say of moments and numbers, and how their scripts are let in."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from gristmill.inspect.redacting import HIDDEN
from gristmill.inspect.tables import age as length_in_words
from gristmill.inspect.tables import duration
from gristmill.models.fields import Unreadable

register = template.Library()

#: Longer values are cut.
MOST_CHARACTERS = 4_096


@register.filter
def age(seconds: float | None) -> str:
    """Says how long: 4 s, 3 min, 5 h, 2 d."""
    return "" if seconds is None else length_in_words(seconds)


@register.filter
def length_of(seconds: float) -> str:
    """Says how long it took, short ones in milliseconds: 40 ms, 4 s, 3 min."""
    return duration(seconds)


@register.filter(name="json")
def as_json(value: Any) -> str:
    """Writes a value as JSON; what is hidden, or could not be read, as it is."""
    if isinstance(value, str) and (value == HIDDEN or isinstance(value, Unreadable)):
        return value
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS] + "…"


@register.filter
def capped(number: int, more: bool = False) -> str:
    """Says how many, "10,000+" where it was counted no further, and nothing for zero."""
    return f"{number:,}{'+' if more else ''}" if number or more else ""


@register.simple_tag
def moment(value: datetime | None) -> SafeString | str:
    """Says how far away a moment is, and the moment itself to whoever points at it."""
    if value is None:
        return ""
    seconds = (value - timezone.now()).total_seconds() if timezone.is_aware(value) else 0.0
    said = f"in {length_in_words(seconds)}" if seconds > 0 else f"{length_in_words(-seconds)} ago"
    there = f"{timezone.localtime(value) if timezone.is_aware(value) else value:%Y-%m-%d %H:%M:%S %Z}"
    return format_html('<time datetime="{}" title="{}">{}</time>', value.isoformat(), there, said)


@register.simple_tag
def moment_of(row: Any, what: str) -> SafeString | str:
    """Says when a job in a list was enqueued, started or ended, or is due."""
    return moment(row.at(what))


@register.simple_tag(takes_context=True)
def nonce(context: Any) -> SafeString | str:
    """Returns the nonce of a content security policy, as Django 6.1's own tag does, on every version."""
    value = context.get("csp_nonce")
    return format_html(' nonce="{}"', value) if value else ""
