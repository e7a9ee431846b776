"""How a handler asks to be run later."""

from __future__ import annotations

from datetime import datetime, timedelta


class Postpone(Exception):
    """Raised or returned by a handler to run later: in `delay` (seconds or a timedelta), or at the date `until`."""

    def __init__(
        self, delay: float | timedelta | None = None, *, until: datetime | None = None, reason: str = ""
    ) -> None:
        super().__init__(reason)
        self.delay, self.until, self.reason = delay, until, reason
