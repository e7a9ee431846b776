"""The deadline of the job that runs here: what it enqueues inherits it, so that it waits for nothing less urgent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime

#: Of the handler whose code this is. Async code that it awaits and `sync_to_async` see it too; bare threads do not.
_current: ContextVar[datetime | None] = ContextVar("gristmill_deadline")
#: Of the one handler that this process runs, for the threads that it starts.
_alone: datetime | None = None


def inherited_deadline() -> datetime | None:
    """Returns the deadline of the job that runs here; None outside of one, and where it is not known."""
    return _current.get(_alone)


@contextmanager
def inheriting(deadline: datetime | None, *, alone: bool = False) -> Iterator[None]:
    """Has what is enqueued meanwhile inherit a deadline; `alone`: in any thread, as nothing else runs here."""
    global _alone
    mark = _current.set(deadline)
    if alone:
        _alone = deadline
    try:
        yield
    finally:
        if alone:
            _alone = None
        _current.reset(mark)
