"""Calls one job's task in this process, with what a runner uses, and says in a runner's frames how that went."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.compat import task_finished, task_started
from gristmill.enqueue.deadlines import inheriting
from gristmill.inprocess.borrowed_connection import Guard, unwatched
from gristmill.middleware import through
from gristmill.runner import capture, outcome
from gristmill.runner.attempt import Attempt
from gristmill.runner.frame import pack_job
from gristmill.runner.limits import memory_reason
from gristmill.runner.progress import context_of
from gristmill.runner.signals import RECEIVERS, announce, listeners
from gristmill.tasks.postpone import Postpone

INCOMPATIBLE = ord("I")


class Raised(NamedTuple):
    """An exception, with the traceback that it had."""

    error: BaseException
    traceback: TracebackType | None


class Made(NamedTuple):
    """What there is to say of a call, and what it raised."""

    frames: bytes
    raised: Raised | None = None


def call(attempt: Attempt, guard: Guard) -> Made:
    """Calls the task; leaves the guard open only where its end is to be kept together with the job's."""
    if attempt.problem is not None:
        return unstarted(guard, outcome.Failure(attempt, "error", attempt.problem).frame(None), attempt.problem)
    misfit: str | None = f"task {attempt.request['task']} is not registered here"
    if attempt.is_known:
        args, kwargs = attempt.result.args, attempt.result.kwargs
        misfit = attempt.call.misfit((len(args), *kwargs) if kwargs else len(args), args, kwargs)
    if misfit is not None:
        frame = pack_job(INCOMPATIBLE, attempt.job, attempt.token, misfit.encode())
        return unstarted(guard, frame, TypeError(misfit))
    if attempt.asks_for_its_past:
        with unwatched(guard.connection):
            attempt.learn_its_past()
    record, outer = capture.Record(), capture.current()
    capture.serve_sync(record)
    try:
        return started(attempt, guard, record)
    finally:
        capture.serve_sync(outer)


def unstarted(guard: Guard, frame: bytes, why: Exception) -> Made:
    """Ends an attempt whose handler cannot be called."""
    guard.close(keep=False)
    return Made(frame, Raised(why, None))


def started(attempt: Attempt, guard: Guard, record: capture.Record) -> Made:
    """Ends an attempt whose handler is called."""
    told(task_started, attempt, guard.connection)
    reason = "error"
    raised = None
    # Its newest progress; it goes with its end, as nobody else could read it in the test's transaction before.
    said: list[bytes] = []
    try:
        value = handled(attempt, said)
        guard.check()
        if isinstance(value, Postpone):
            with unwatched(guard.connection):
                outcome.refuse_unknown(attempt, value)
            end = outcome.postponed(attempt, value)
        else:
            reason = "bad result"
            text, attempt.value = outcome.encoded(value, attempt)
            end = outcome.done(attempt, text)
    except BaseException as error:
        raised = Raised(error, error.__traceback__)
        guard.close(keep=not guard.transactional)
        failure = outcome.Failure(attempt, memory_reason(error, attempt) or reason, error)
        end = failure.frame(failure.ask() if failure.asks_its_task() else None)
    else:
        if not guard.transactional:
            guard.close(keep=True)
    return Made(b"".join(said[-1:]) + outcome.said_before(attempt, record) + end, raised)


def concluded(attempt: Attempt, connection: BaseDatabaseWrapper, state: str, raised: Raised | None) -> None:
    """Tells receivers that a job has ended, once its end is accepted; they find the exception, if there is one."""
    outcome.finish(attempt, state)
    if raised is None:
        told(task_finished, attempt, connection)
        return
    try:
        raise raised.error
    except BaseException as error:
        error.__traceback__ = raised.traceback
        told(task_finished, attempt, connection)


def told(signal: Any, attempt: Attempt, connection: BaseDatabaseWrapper) -> None:
    """Sends a signal; what its receivers break in the test's transaction is undone alone."""
    guard = Guard(connection, transactional=False) if listeners(signal, logging.ERROR) == RECEIVERS else None
    announce(signal, attempt.call.sender, attempt.result)
    if guard is not None:
        guard.close(keep=True)


def handled(attempt: Attempt, said: list[bytes]) -> Any:
    """Calls the handler; returns what it does, and a Postpone also where it raises one."""
    task = attempt.call.task
    function = task.call if attempt.call.is_async else attempt.call.function
    around = attempt.call.around
    first = (context_of(attempt, said.append),) if task.takes_context or around is not None else ()
    if around is not None:
        function = through(around)
    try:
        with inheriting(attempt.deadline):
            return function(*first, *attempt.result.args, **attempt.result.kwargs)
    except Postpone as postpone:
        return postpone
