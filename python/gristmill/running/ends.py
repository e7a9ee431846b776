"""How the end of an attempt is said on the socket."""

from __future__ import annotations

import logging
from datetime import timedelta
from json import dumps
from typing import Any

from django.db import connections
from django.utils import timezone as django_timezone

from gristmill import gates
from gristmill.compat import TaskError, TaskResultStatus
from gristmill.exceptions import TransactionBroken, UnknownJob
from gristmill.failure import MAX_CLASS_PATH, class_path, describe, path_of, storable
from gristmill.frame import pack_job
from gristmill.json_rule import encode
from gristmill.moments import utc_text
from gristmill.postpone import LONGEST, Postpone
from gristmill.preconditions import ids_on
from gristmill.running import capture
from gristmill.running.attempt import Attempt, assign, decode, new

logger = logging.getLogger("gristmill")

DONE, FAILED, POSTPONED, OUTPUT = b"DFPO"
SUCCESSFUL, FINALLY_FAILED = TaskResultStatus.SUCCESSFUL, TaskResultStatus.FAILED
# A result of this kind is its own JSON value; no need to read back what was written.
SCALARS = frozenset({type(None), bool, int, float, str})
MAX_CLASSES = 100
OWN = ("gristmill.runner", "gristmill.running.")


def encoded(value: Any, attempt: Attempt) -> tuple[str, Any]:
    """Returns a handler's value as JSON text and as that will be read back; raises when JSON cannot hold it."""
    if value is None:
        return "null", None
    text = encode(value, where="result", max_bytes=attempt.call.max_bytes)
    return text, value if type(value) in SCALARS else decode(text)


def said_before(attempt: Attempt, record: capture.Record) -> bytes:
    """Returns the frames that come before the one that ends the job: its newest progress, and what it printed."""
    frames = attempt.reporter.last() if attempt.reporter is not None else b""
    if record.used:
        capture.flush()
        frames += pack_job(OUTPUT, attempt.job, attempt.token, record.text().encode())
        # What is logged from here on is not the handler's, and not held against what it may print.
        record.clear()
    return frames


def done(attempt: Attempt, text: str) -> bytes:
    """Returns the frame of a handler that has returned."""
    return pack_job(DONE, attempt.job, attempt.token, text.encode())


def succeed(attempt: Attempt, value: Any) -> None:
    """Writes a success into the TaskResult that signals show."""
    assign(attempt.result, "finished_at", django_timezone.now())
    assign(attempt.result, "_return_value", value)
    assign(attempt.result, "status", SUCCESSFUL)


def postponement(postpone: Postpone) -> dict[str, Any]:
    """Returns what a handler has asked for, as the wire has it."""
    until = postpone.until
    asked: dict[str, Any] = {
        "after": postpone.delay,
        "until": None if until is None else utc_text(until),
        "why": storable(postpone.reason),
    }
    if postpone.after:
        asked["preconditions"] = [one.id for one in postpone.after]
    return asked


def refuse_unknown(attempt: Attempt, postpone: Postpone) -> None:
    """Raises UnknownJob where a handler wants to wait for a job that is not there; one query, if it names any."""
    if postpone.after:
        connection = connections[attempt.call.database]
        try:
            gates.refuse_unknown(connection, ids_on(connection.alias, postpone.after))
        except UnknownJob as error:
            # It shows where the handler asked for it.
            raise error from postpone


def postponed(attempt: Attempt, postpone: Postpone) -> bytes:
    """Returns the frame of a handler that has asked to be run later."""
    return pack_job(POSTPONED, attempt.job, attempt.token, dumps(postponement(postpone)).encode())


def fail(attempt: Attempt, reason: str, error: BaseException) -> tuple[bytes, bool]:
    """
    Writes an exception into the TaskResult; returns its frame, and whether no retry follows.

    Asks the task's own backoff function if there is one, which may use the database.
    """
    leave_out_the_runner(error)
    path, trace = describe(error)
    classes = classes_of(error)
    advice = None
    final = True
    if hasattr(attempt, "result"):
        attempt.result.errors.append(new(TaskError, exception_class_path=path, traceback=trace))
        if reason != "cancelled" and attempt.may_be_retried(classes):
            advice = advice_of(attempt, error)
            final = advice == "give up"
        if final:
            assign(attempt.result, "finished_at", django_timezone.now())
            assign(attempt.result, "status", FINALLY_FAILED)
    told = {"reason": reason, "exception_class_path": path, "traceback": trace, "classes": classes, "advice": advice}
    return pack_job(FAILED, attempt.job, attempt.token, dumps(told).encode()), final


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
    """Asks the task's own backoff function how long to wait; None when there is none or it cannot say."""
    backoff = (attempt.options or {}).get("backoff")
    if not isinstance(backoff, dict) or backoff.get("kind") != "callable":
        return None
    try:
        ask: Any = getattr(attempt.call.task, "backoff", None)
        if not callable(ask):
            raise TypeError("the task has no backoff function any more")
        wait = ask(error, attempt.result)
        if wait is None:
            return "give up"
        if isinstance(wait, timedelta):
            wait = wait.total_seconds()
        if isinstance(wait, bool) or not isinstance(wait, (int, float)) or wait != wait:
            raise TypeError(f"it returned {wait!r}, not seconds, a timedelta or None")
        return {"after": float(min(max(wait, 0), LONGEST))}
    except BaseException:
        logger.exception("job %s: the backoff function of %s failed", attempt.result.id, attempt.call.task.module_path)
        return None
