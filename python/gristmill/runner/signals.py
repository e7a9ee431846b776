"""Sends Django's task signals so that no receiver costs a job its end."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from logging.handlers import QueueHandler
from time import monotonic
from typing import Any, NamedTuple

from asgiref.sync import sync_to_async
from django.conf import settings

from gristmill.compat import BaseTaskBackend, TaskResult
from gristmill.runner import capture
from gristmill.runner.limits import TookTooLong
from gristmill.values.failure import class_path

logger = logging.getLogger("gristmill")

# Who listens: nobody but Django's own logging, which writes a line and is done; a log that may wait, for a disk or for
# someone far away; receivers, who may do anything.
PROMPT, SLOW_LOG, RECEIVERS = range(3)
# Seconds after which a log may have got other handlers; looking anew for each job is what a small one would cost most.
LOOKS_AGAIN = 1
# Django's own logging, or the backport's; the modules of its receivers are named like it.
LOG = logging.getLogger(BaseTaskBackend.__module__.partition(".backends")[0])


def announce(sent: Any, sender: type, result: TaskResult[..., Any]) -> None:
    """Sends a signal; what its receivers raise is logged and changes nothing about the job. TookTooLong passes."""
    try:
        listening = lately(sent)
        if listening is not None and listening.alone is not None:
            for receiver in listening.alone:
                try:
                    receiver(signal=sent, sender=sender, task_result=result)
                except Exception as error:
                    tell_of_receiver(result, receiver, error)
            return
        for receiver, answer in sent.send_robust(sender=sender, task_result=result):
            if isinstance(answer, BaseException):
                tell_of_receiver(result, receiver, answer)
    except TookTooLong:
        raise
    except BaseException as error:
        logger.exception("job %s: a signal receiver raised %s", result.id, class_path(error))


def tell_of_receiver(result: TaskResult[..., Any], receiver: Any, error: BaseException) -> None:
    """Logs what a receiver has raised: Django's own log of it comes to nobody where DEBUG is off."""
    logger.error(
        "job %s: a signal receiver, %s, raised %s",
        result.id,
        f"{getattr(receiver, '__module__', '?')}.{getattr(receiver, '__qualname__', type(receiver).__qualname__)}",
        class_path(error),
        exc_info=None if settings.DEBUG else error,
    )


async def announce_async(sent: Any, sender: type, result: TaskResult[..., Any]) -> None:
    """Sends a signal from the event loop: receivers that are not async run in the thread for such code."""
    # Not asend_robust(), whose receivers do not see the exception that is being handled on every version.
    await sync_to_async(announce)(sent, sender, result)


class Listening(NamedTuple):
    """Who listened to a signal when it was last looked: what costs most of a small job is asked once a second."""

    # How many receivers there were and the newest; another one may have come since.
    number: int
    newest: Any
    until: float
    # Django's own, whom it takes no search to tell; None where there are others.
    alone: tuple[Callable[..., Any], ...] | None


_listening: dict[Any, Listening] = {}
_levels: dict[tuple[Any, int], tuple[Listening, int]] = {}


def lately(sent: Any) -> Listening | None:
    """Returns what was found a moment ago, where that may still be so."""
    found = _listening.get(sent)
    if found is None:
        return None
    receivers = sent.receivers
    if found.number != len(receivers) or (receivers and found.newest is not receivers[-1]) or monotonic() > found.until:
        return None
    return found


def listeners(sent: Any, level: int) -> int:
    """Tells who listens to a signal that Django logs at this level: whether telling them takes time, and from whom."""
    listening = lately(sent)
    if listening is None:
        listening = _listening[sent] = look(sent)
    known = _levels.get((sent, level))
    if known is not None and known[0] is listening:
        return known[1]
    found = RECEIVERS if listening.alone is None else SLOW_LOG if is_slow(level) else PROMPT
    _levels[sent, level] = listening, found
    return found


def look(sent: Any) -> Listening:
    """Looks who listens."""
    receivers = [
        receiver
        for entry in sent.receivers
        if (receiver := entry[1]() if isinstance(entry[1], weakref.ReferenceType) else entry[1]) is not None
    ]
    ours = all((getattr(receiver, "__module__", None) or "").startswith(f"{LOG.name}.") for receiver in receivers)
    newest = sent.receivers[-1] if sent.receivers else None
    return Listening(len(sent.receivers), newest, monotonic() + LOOKS_AGAIN, tuple(receivers) if ours else None)


def is_slow(level: int) -> bool:
    """Tells whether a line of Django's log may wait for something."""
    return LOG.isEnabledFor(level) and not is_prompt(LOG, level)


def is_prompt(log: logging.Logger, level: int) -> bool:
    """Tells whether a record of this level comes to nobody who may wait: standard streams do not, in a runner."""
    step: logging.Logger | None = log
    while step is not None:
        for handler in step.handlers:
            if handler.level <= level and not is_prompt_handler(handler):
                return False
        step = step.parent if step.propagate else None
    return True


def is_prompt_handler(handler: logging.Handler) -> bool:
    """Tells whether a handler does no more than write to a standard stream of this process, or give a record away."""
    if isinstance(handler, (logging.NullHandler, QueueHandler)):
        return True
    return type(handler) is logging.StreamHandler and isinstance(handler.stream, capture.Stream)
