"""
Where a page begins: the place of one job in its branch, as text for links and command lines.

A cursor names the branch, the value that the branch is ordered by, the job's id and the direction, as JSON in URL-safe
base64. It is no secret and is not trusted: what does not read as one is no cursor, and the first page is shown. Always
with the id: of jobs of one moment none is passed over.
"""

from __future__ import annotations

import base64
import json
from datetime import datetime, timezone
from typing import NamedTuple
from uuid import UUID

from gristmill.inspect.listing.branches import Branch, Order
from gristmill.values.moments import as_django, utc_text

#: Longer is no cursor of ours.
MOST_CHARACTERS = 400


#: Sorts before every id.
NIL = UUID(int=0)


class Key(NamedTuple):
    """A job's place: by what its branch sorts, and its id. Of a lane, its priority and its deadline."""

    moment: datetime | None
    id: UUID
    priority: int | None = None


class Cursor(NamedTuple):
    """A place, and whether the page lies before it."""

    key: Key
    backwards: bool = False


def written(branch: Branch, cursor: Cursor) -> str:
    """Returns a cursor as text."""
    moment, job_id, priority = cursor.key
    value = None if moment is None else utc_text(moment)
    said = [branch.name, value if priority is None else [priority, value], job_id.hex]
    text = json.dumps(said + ["back"] * cursor.backwards, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read(branch: Branch, order: Order, text: str | None, *, is_lane: bool = False) -> Cursor | None:
    """Reads a cursor of this branch and order; None for what is none."""
    if not text or len(text) > MOST_CHARACTERS:
        return None
    try:
        said = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        name, value, job_id, *back = said
        if name != branch.name or back not in ([], ["back"]):
            return None
        priority = None
        if is_lane:
            priority, value = value
            if type(priority) is not int or not -100 <= priority <= 100:
                return None
        if (value is None) != (order.column is None and not is_lane):
            return None
        key = Key(None if value is None else read_moment(value), UUID(hex=job_id), priority)
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    return Cursor(key, bool(back))


def read_moment(text: str) -> datetime:
    """Reads the UTC text of a moment; raises ValueError or TypeError."""
    if not isinstance(text, str):
        raise TypeError(text)
    moment = datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=timezone.utc)
    return as_django(moment)
