"""
What is called besides the handler of a sync job: receivers of signals, hooks of a commit, the task's backoff function.

The end is sent before anybody hears of it, and receivers hear once the database has accepted it and no retry follows.
Meanwhile the worker knows that this process lingers over a job that has ended. All of it has a time of its own, is
logged where it fails, and changes nothing about the job.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from gristmill.compat import task_finished, task_started
from gristmill.runner import capture, outcome
from gristmill.runner.attempt import Attempt
from gristmill.runner.frame import pack_job
from gristmill.runner.hygiene import drop_connections, drop_open_transactions
from gristmill.runner.limits import PATIENCE, Guard, TookTooLong
from gristmill.runner.signals import PROMPT, RECEIVERS, announce, listeners
from gristmill.values.failure import describe

logger = logging.getLogger("gristmill")
Value = TypeVar("Value")
Hook = Callable[[], Any]

LINGERS, RESTED = b"AN"
# Seconds for the worker to say what has become of an end. Outages of the database that end no run are shorter.
ANSWERED_WITHIN = 60
NOT_HEARD = "job %s: receivers of task_finished are not called, as the database has not accepted its end within %g s"
# So many of a commit's hooks may be cut off; those after them are not called. The worker waits for them all.
CUT_OFF = 3
# Seconds after which the worker is told once more that hooks are still being called.
AGAIN = 1


class Worker(Protocol):
    """What this needs of the runner."""

    guard: Guard
    unsent: bytes

    def say(self, attempt: Attempt, end: bytes) -> None:
        """Says the frame that ends the attempt."""

    def say_started(self, attempt: Attempt, *, prepares: bool = False) -> None:
        """Says that the job starts."""

    def flush(self) -> None:
        """Sends what has been said."""

    def receive_now(self) -> None:
        """Reads what lies in the socket."""

    def settled(self, attempt: Attempt) -> str:
        """Waits for what becomes of the end."""


def prepare(worker: Worker, attempt: Attempt) -> None:
    """Does what comes before the handler; says that the job starts once more where that may have taken time."""
    if not attempt.prepares:
        announce(task_started, attempt.call.sender, attempt.result)
        return
    if attempt.asks_for_its_past:
        call_back(worker, attempt, "reading its past", attempt.learn_its_past)
        worker.say_started(attempt, prepares=True)
    call_back(worker, attempt, "receivers of task_started", announce, task_started, attempt.call.sender, attempt.result)
    worker.say_started(attempt)
    # Someone may have cancelled it meanwhile.
    worker.receive_now()


def conclude(
    worker: Worker,
    attempt: Attempt,
    end: bytes,
    state: str | None,
    hooks: Sequence[Hook] = (),
    *,
    is_kept: bool = False,
    was_slow: bool = False,
) -> None:
    """
    Sends the end of an attempt; then calls whom it concerns.

    `state` is where the job ends by it, as far as this side knows: None where it goes on. `is_kept` is an end that has
    been committed here. `was_slow`: the exception takes long to tell, so it will in a log.
    """
    if attempt.problem is not None:
        worker.say(attempt, end)
        return
    listening = listeners(task_finished, level_of(state))
    # The worker knows better whether the job ends: someone may have cancelled it, or it has postponed itself too often.
    asks = listening == RECEIVERS and not (is_kept and state)
    lingers = bool(asks or hooks or (state and (was_slow or listening != PROMPT)))
    if lingers:
        end = pack_job(LINGERS, attempt.job, attempt.token, b"?" if asks else b"") + end
    worker.say(attempt, end)
    if not lingers:
        # Of which nothing can come between the end and its way.
        if state is not None:
            outcome.finish(attempt, state)
            announce(task_finished, attempt.call.sender, attempt.result)
        return
    worker.flush()
    drop_open_transactions()
    if hooks:
        run_hooks(worker, attempt, hooks)
    if asks:
        state = worker.settled(attempt)
    if state:
        outcome.finish(attempt, state)
        seconds = PATIENCE if was_slow and listening != RECEIVERS else None
        tell = announce, task_finished, attempt.call.sender, attempt.result
        call_back(worker, attempt, "receivers of task_finished", *tell, seconds=seconds)
    worker.unsent += pack_job(RESTED, attempt.job, attempt.token)


def level_of(state: str | None) -> int:
    """Returns the level at which Django logs an end."""
    return logging.INFO if state == "successful" else logging.ERROR


def call_back(
    worker: Worker,
    attempt: Attempt,
    what: str,
    function: Callable[..., Value],
    *arguments: Any,
    seconds: float | None = None,
) -> Value | None:
    """Calls something that is not a handler, and cuts it off when its time is over: None then, and it is told."""
    seconds = attempt.call.callback_timeout if seconds is None else seconds
    try:
        return worker.guard.within(seconds, function, *arguments)
    except TookTooLong as error:
        # Nor is the text of what it dealt with asked for, which may never end.
        error.__suppress_context__ = True
        tell_cut_off(attempt, what, seconds, error)
        # It may have been in the middle of an answer.
        drop_connections()
        worker.guard.spoiled = True
        return None


def tell_cut_off(attempt: Attempt, what: str, seconds: float, error: BaseException) -> None:
    """Says in the log and in the job's output that something has been cut off."""
    sentence = f"{what} took longer than CALLBACK_TIMEOUT = {seconds:g} s, and was cut off"
    logger.error("job %s: %s", attempt.result.id, sentence, exc_info=error)
    record = capture.current()
    if record is not None:
        record.add(f"{sentence}:\n{describe(error)[1]}")


def run_hooks(worker: Worker, attempt: Attempt, hooks: Sequence[Hook]) -> None:
    """Calls what was to be called on commit, each in a time of its own; says what they have printed."""
    said, cut_off = time.monotonic(), 0
    record = capture.current()
    for number, hook in enumerate(hooks):
        if time.monotonic() - said >= AGAIN:
            said = time.monotonic()
            worker.unsent += pack_job(LINGERS, attempt.job, attempt.token)
            worker.flush()
        if call_back(worker, attempt, "an on_commit callback", run_hook, attempt, hook) is None:
            cut_off += 1
        if cut_off == CUT_OFF and number + 1 < len(hooks):
            sentence = f"{len(hooks) - number - 1} more on_commit callbacks were not called"
            logger.error("job %s: %s", attempt.result.id, sentence)
            if record is not None:
                record.add(f"{sentence}\n")
            break
    if record is not None:
        worker.unsent += outcome.said_so_far(attempt, record)
        record.clear()


def run_hook(attempt: Attempt, hook: Hook) -> bool:
    """Calls one. The job has ended: what goes wrong is written into its output. TookTooLong passes."""
    try:
        hook()
    except TookTooLong:
        raise
    except BaseException as error:
        _, trace = describe(error)
        logger.exception("job %s: an on_commit callback failed", attempt.result.id)
        record = capture.current()
        if record is not None:
            record.add(f"after the commit, an on_commit callback failed:\n{trace}")
    return True
