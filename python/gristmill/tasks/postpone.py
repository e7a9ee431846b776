"""How a handler asks to be run later."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils import timezone

from gristmill.tasks.preconditions import preconditions
from gristmill.values.bounds import refuse_beyond

if TYPE_CHECKING:
    from gristmill.tasks.preconditions import After

# Seconds; longer waits are dates.
LONGEST = 366 * 24 * 3600.0
MAX_REASON = 1000


class Postpone(Exception):
    """
    Raised or returned by a handler that wants its job to run later: not a failure, and not an attempt that counts.

    `delay` is in seconds or a timedelta and counts from now; nothing negative, a year at most. `until` is a date
    instead, aware under USE_TZ. `after` is what it waits for besides: a result, a Job, an id, or several of them, such
    as jobs that the handler has just enqueued. They are added to what the job waits for, and only those count that
    have not ended when it goes back; its task's `after_mode` and `on_precondition_failure` hold for them. `after=[]`
    adds nothing: the job waits for what is still open of all that it was ever given, and runs at once where nothing
    is. With none of the three, the job waits as long as its options say (5 s by default), whatever is open. `reason`
    is for people. What a transactional handler has written is kept.

    Raises TypeError or ValueError for what makes no sense. A job in `after` that is not there fails the attempt with
    UnknownJob.
    """

    def __init__(
        self,
        delay: float | timedelta | None = None,
        *,
        until: datetime | None = None,
        after: After | None = None,
        reason: str = "",
    ) -> None:
        if delay is not None and until is not None:
            raise TypeError("Postpone takes a delay or a date, not both")
        if isinstance(delay, timedelta):
            delay = delay.total_seconds()
        if delay is not None:
            if isinstance(delay, bool) or not isinstance(delay, (int, float)) or delay != delay:
                raise TypeError(f"Postpone takes seconds or a timedelta, not {delay!r}")
            delay = float(min(max(delay, 0), LONGEST))
        if until is not None:
            if not isinstance(until, datetime):
                raise TypeError(f"Postpone's until is a datetime, not {until!r}")
            if settings.USE_TZ and timezone.is_naive(until):
                raise ValueError("Postpone's until is naive, but USE_TZ is True; use django.utils.timezone")
            try:
                refuse_beyond(until)
            except ValueError as error:
                raise ValueError(f"Postpone's until {error}; got {until!r}") from None
        self.delay: float | None = delay
        self.until = until
        try:
            self.after = None if after is None else preconditions(after)
        except ValueError as error:
            raise TypeError(f"Postpone's after {error}") from None
        self.reason = str(reason)[:MAX_REASON]
        super().__init__(self.reason or "postponed")
