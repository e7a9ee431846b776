"""Tasks that go wrong until they are forgiven, which is a file beside the history."""

from __future__ import annotations

import os
import signal

from work.tasks import write_down

import gristmill
from gristmill import Context


def is_forgiven() -> bool:
    return os.path.exists(f"{os.environ['JOURNEY_HISTORY']}.forgiven")


@gristmill.task(takes_context=True)
def offend(context: Context) -> None:
    """Fails."""
    write_down(context, "start")
    write_down(context, "end")
    if not is_forgiven():
        raise ValueError("not forgiven")


@gristmill.task(takes_context=True)
def collapse(context: Context) -> None:
    """Takes its process down."""
    write_down(context, "start")
    if not is_forgiven():
        os.kill(os.getpid(), signal.SIGKILL)
    write_down(context, "end")
