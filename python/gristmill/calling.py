"""Calls one job's task in this process, with what a runner uses, and says in a runner's frames how that went."""

from __future__ import annotations

from types import TracebackType
from typing import Any, NamedTuple

from gristmill.compat import task_finished, task_started
from gristmill.deadlines import inheriting
from gristmill.frame import pack_job
from gristmill.lent import Guard, unwatched
from gristmill.middleware import through
from gristmill.postpone import Postpone
from gristmill.running import capture, ends
from gristmill.running.attempt import Attempt
from gristmill.running.limits import memory_reason
from gristmill.running.progress import context_of
from gristmill.running.signals import announce

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
        return unstarted(guard, ends.fail(attempt, "error", attempt.problem)[0])
    misfit: str | None = f"task {attempt.request['task']} is not registered here"
    if attempt.is_known:
        args, kwargs = attempt.result.args, attempt.result.kwargs
        misfit = attempt.call.misfit((len(args), *kwargs) if kwargs else len(args), args, kwargs)
    if misfit is not None:
        return unstarted(guard, pack_job(INCOMPATIBLE, attempt.job, attempt.token, misfit.encode()))
    if attempt.asks_for_its_past:
        with unwatched(guard.connection):
            attempt.learn_its_past()
    record, outer = capture.Record(), capture.current()
    capture.serve_sync(record)
    try:
        return started(attempt, guard, record)
    finally:
        capture.serve_sync(outer)


def unstarted(guard: Guard, frame: bytes) -> Made:
    """Ends an attempt whose handler cannot be called."""
    guard.close(keep=False)
    return Made(frame)


def started(attempt: Attempt, guard: Guard, record: capture.Record) -> Made:
    """Ends an attempt whose handler is called."""
    announce(task_started, attempt.call.sender, attempt.result)
    reason = "error"
    raised = None
    # Its newest progress; it goes with its end, as nobody else could read it in the test's transaction before.
    said: list[bytes] = []
    try:
        value = handled(attempt, said)
        guard.check()
        if isinstance(value, Postpone):
            with unwatched(guard.connection):
                ends.refuse_unknown(attempt, value)
            end = ends.postponed(attempt, value)
        else:
            reason = "bad result"
            text, value = ends.encoded(value, attempt)
            end = ends.done(attempt, text)
    except BaseException as error:
        raised = Raised(error, error.__traceback__)
        guard.close(keep=not guard.transactional)
        end, final = ends.fail(attempt, memory_reason(error, attempt) or reason, error)
        if final:
            # Sent here, where Django's own receiver finds the exception for the log.
            announce(task_finished, attempt.call.sender, attempt.result)
    else:
        if not guard.transactional:
            guard.close(keep=True)
        if not isinstance(value, Postpone):
            ends.succeed(attempt, value)
            announce(task_finished, attempt.call.sender, attempt.result)
    return Made(b"".join(said[-1:]) + ends.said_before(attempt, record) + end, raised)


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
