"""How the end of an attempt is said on the socket."""

from __future__ import annotations

import logging
from datetime import timedelta
from json import dumps
from typing import Any

from django.db import connections
from django.utils import timezone as django_timezone

from gristmill.compat import TaskError, TaskResultStatus
from gristmill.enqueue import verbs as enqueueing
from gristmill.exceptions import TransactionBroken, UnknownJob
from gristmill.runner import capture
from gristmill.runner.attempt import Attempt, assign, decode, new
from gristmill.runner.frame import pack, pack_job
from gristmill.runner.limits import TookTooLong
from gristmill.tasks.postpone import LONGEST, Postpone
from gristmill.tasks.preconditions import ids_on
from gristmill.values.failure import MAX_CLASS_PATH, class_path, describe, path_of, storable
from gristmill.values.json_rule import encode
from gristmill.values.moments import utc_text

logger = logging.getLogger("gristmill")

DONE, FAILED, POSTPONED, OUTPUT, LEAVING = b"DFPOL"
SUCCESSFUL, FINALLY_FAILED = TaskResultStatus.SUCCESSFUL, TaskResultStatus.FAILED
# A result of this kind is its own JSON value; no need to read back what was written.
SCALARS = frozenset({type(None), bool, int, float, str})
MAX_CLASSES = 100
OWN = ("gristmill.runner.loop", "gristmill.runner.")
# Advice: what a backoff function may say, and that it is being asked while this is said.
GIVE_UP, ASKED = "give up", "asked"
# Reasons that are not the handler's: the database has undone its transaction.
UNDONE = frozenset({"conflict", "interrupted"})


def encoded(value: Any, attempt: Attempt) -> tuple[str, Any]:
    """Returns a handler's value as JSON text and as that will be read back; raises when JSON cannot hold it."""
    if value is None:
        return "null", None
    text = encode(value, where="result", max_bytes=attempt.call.max_bytes)
    return text, value if type(value) in SCALARS else decode(text)


def said_before(attempt: Attempt, record: capture.Record) -> bytes:
    """Returns the frames that come before the one that ends the job: its newest progress, and what it printed."""
    frames = attempt.reporter.last() if attempt.reporter is not None else b""
    frames += said_so_far(attempt, record)
    # What is logged from here on is not the handler's, and not held against what it may print.
    record.clear()
    return frames


def said_so_far(attempt: Attempt, record: capture.Record) -> bytes:
    """Returns the frame of what has been printed until now, if anything has."""
    if not record.used:
        return b""
    capture.flush()
    return pack_job(OUTPUT, attempt.job, attempt.token, record.text().encode())


def done(attempt: Attempt, text: str) -> bytes:
    """Returns the frame of a handler that has returned."""
    return pack_job(DONE, attempt.job, attempt.token, text.encode())


def leaving_with(attempt: Attempt) -> bytes:
    """Returns the frame before the end of a job that goes on here: that end counts when this process is gone."""
    return pack(LEAVING, attempt.key)


def finish(attempt: Attempt, state: str) -> None:
    """Writes the state in which a job has ended into the TaskResult that signals show."""
    assign(attempt.result, "finished_at", django_timezone.now())
    if state == "successful":
        assign(attempt.result, "_return_value", attempt.value)
        assign(attempt.result, "status", SUCCESSFUL)
    else:
        assign(attempt.result, "status", FINALLY_FAILED)


def postponement(postpone: Postpone) -> dict[str, Any]:
    """Returns what a handler has asked for, as the wire has it."""
    until = postpone.until
    asked: dict[str, Any] = {
        "after": postpone.delay,
        "until": None if until is None else utc_text(until),
        "why": storable(postpone.reason),
    }
    if postpone.after is not None:
        asked["preconditions"] = [one.id for one in postpone.after]
    return asked


def refuse_unknown(attempt: Attempt, postpone: Postpone) -> None:
    """Raises UnknownJob where a handler wants to wait for a job that is not there; one query, if it names any."""
    if postpone.after:
        connection = connections[attempt.call.database]
        try:
            enqueueing.refuse_unknown(connection, ids_on(connection.alias, postpone.after))
        except UnknownJob as error:
            # It shows where the handler asked for it.
            raise error from postpone


def postponed(attempt: Attempt, postpone: Postpone) -> bytes:
    """Returns the frame of a handler that has asked to be run later."""
    return pack_job(POSTPONED, attempt.job, attempt.token, dumps(postponement(postpone)).encode())


class Failure:
    """What there is to say of an exception."""

    def __init__(self, attempt: Attempt, reason: str, error: BaseException) -> None:
        """Writes the exception into the TaskResult."""
        self.attempt = attempt
        self.error = error
        leave_out_the_runner(error)
        path, trace = describe(error)
        classes = classes_of(error)
        self.told = {"reason": reason, "exception_class_path": path, "traceback": trace, "classes": classes}
        self.is_undone = reason in UNDONE
        self.may_be_retried = False
        if hasattr(attempt, "result"):
            attempt.result.errors.append(new(TaskError, exception_class_path=path, traceback=trace))
            if self.is_undone:
                self.may_be_retried = attempt.may_be_done_over()
            else:
                self.may_be_retried = reason != "cancelled" and attempt.may_be_retried(classes)

    def asks_its_task(self) -> bool:
        """Tells whether the task's own backoff function is to be asked, which may use the database."""
        backoff = (self.attempt.options or {}).get("backoff")
        is_callable = isinstance(backoff, dict) and backoff.get("kind") == "callable"
        return self.may_be_retried and not self.is_undone and is_callable

    def ask(self) -> Any:
        """Asks it how long to wait; None when it cannot say. TookTooLong passes."""
        return advice_of(self.attempt, self.error)

    def state(self, advice: Any) -> str | None:
        """Returns the state in which the job ends by this, as far as a runner knows; None where it is tried again."""
        return None if self.may_be_retried and advice != GIVE_UP else "failed"

    def frame(self, advice: Any) -> bytes:
        """Returns the frame that says it."""
        told = {**self.told, "advice": advice}
        return pack_job(FAILED, self.attempt.job, self.attempt.token, dumps(told).encode())


def leave_out_the_runner(error: BaseException) -> None:
    """Has a traceback begin where the handler does."""
    step = error.__traceback__
    while step is not None and step.tb_frame.f_globals.get("__name__", "").startswith(OWN):
        step = step.tb_next
    # All of it is the runner's where the handler has returned what JSON cannot hold.
    if step is not None:
        error.__traceback__ = step


def classes_of(error: BaseException) -> list[str]:
    """Returns `module.qualname` of all that an exception is, as far as `retry_on` is held against it."""
    if isinstance(error, TransactionBroken):
        # Not the classes that it derives from: only who names it has it tried again.
        return [class_path(error)]
    return [path_of(kind)[:MAX_CLASS_PATH] for kind in type(error).__mro__[:MAX_CLASSES]]


def advice_of(attempt: Attempt, error: BaseException) -> Any:
    """Asks the task's own backoff function how long to wait; None when it cannot say."""
    try:
        ask: Any = getattr(attempt.call.task, "backoff", None)
        if not callable(ask):
            raise TypeError("the task has no backoff function any more")
        wait = ask(error, attempt.result)
        if wait is None:
            return GIVE_UP
        if isinstance(wait, timedelta):
            wait = wait.total_seconds()
        if isinstance(wait, bool) or not isinstance(wait, (int, float)) or wait != wait:
            raise TypeError(f"it returned {wait!r}, not seconds, a timedelta or None")
        return {"after": float(min(max(wait, 0), LONGEST))}
    except TookTooLong:
        raise
    except BaseException:
        logger.exception("job %s: the backoff function of %s failed", attempt.result.id, attempt.call.task.module_path)
        return None
