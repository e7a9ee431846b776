"""Tasks for jobs that wait for each other."""

from __future__ import annotations

import os
import time

from work.tasks import write_down

import gristmill
from gristmill import Context, Postpone


@gristmill.task(takes_context=True)
def step(context: Context, milliseconds: int = 0) -> int:
    """Works for so long; gives how many jobs it has waited for."""
    write_down(context, "start")
    time.sleep(milliseconds / 1000)
    write_down(context, "end")
    return len(context.preconditions)


@gristmill.task(takes_context=True)
def sulk(context: Context) -> None:
    """Fails until it is forgiven: a file beside the history."""
    write_down(context, "start")
    write_down(context, "end")
    if not os.path.exists(f"{os.environ['JOURNEY_HISTORY']}.forgiven"):
        raise ValueError("not forgiven")


@gristmill.task(takes_context=True)
def gather(context: Context, parts: int) -> int:
    """Enqueues what it needs, and goes back until all of it is there."""
    write_down(context, "start")
    write_down(context, "end")
    if not context.preconditions:
        raise Postpone(after=[step.enqueue() for _ in range(parts)], reason="the parts are not there")
    return len(context.preconditions)


@gristmill.task(takes_context=True, transactional=True)
def gather_at_once(context: Context, parts: int) -> int:
    """The same; what it enqueues is committed together with its going back, or not at all."""
    write_down(context, "start")
    write_down(context, "end")
    if not context.preconditions:
        raise Postpone(after=step.enqueue_many(() for _ in range(parts)))
    return len(context.preconditions)
