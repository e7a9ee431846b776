"""
Runs a handler and ends its job in one transaction, on the connection of the queue's database.

The handler returns; the worker is told and answers with the statements that end the attempt; they are carried out
here, and all of it commits, or none. An end that is not accepted (the token is not the job's any more) undoes the
handler's writes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from json import dumps
from typing import Any, Protocol

from django.db import DatabaseError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill import statements
from gristmill.compat import task_finished
from gristmill.exceptions import TransactionBroken
from gristmill.failure import describe
from gristmill.frame import pack_job
from gristmill.postpone import Postpone
from gristmill.running import capture, ends
from gristmill.running.attempt import Attempt
from gristmill.running.hygiene import drop, stop_query
from gristmill.running.signals import announce, only_logs

logger = logging.getLogger("gristmill")

TO_WRITE, KEPT, UNDONE = b"TKU"
# It releases only in the transaction that set it.
MARK = "gristmill_attempt"
# PostgreSQL's states of a connection that waits for a statement.
IDLE, IN_TRANSACTION, IN_ERROR = 0, 2, 3
ANSWERED = (IDLE, IN_TRANSACTION, IN_ERROR)
# And its errors for a mark that is not there, or no transaction to have one in.
NO_MARK = ("3B", "25P01")
ENDED = "the handler ended the transaction of its job (COMMIT, ROLLBACK, or a statement that implies one)"


class WorkerGone(Exception):
    """The other end of the socket is closed: there is nobody left to work for."""


class Refused(Exception):
    """The attempt is not this worker's any more."""


class Worker(Protocol):
    """What this needs of the runner."""

    def call(self, attempt: Attempt) -> Any:
        """Calls the handler within its limits."""

    def ask(self, attempt: Attempt, frame: bytes) -> dict[str, Any]:
        """Sends the frame and waits for the statements that answer it; raises WorkerGone."""

    def fail(self, attempt: Attempt, reason: str, error: BaseException) -> None:
        """Says that the handler has failed."""

    def say(self, attempt: Attempt, end: bytes) -> None:
        """Says the frame that ends the attempt."""


def run(worker: Worker, attempt: Attempt) -> None:
    """Runs a transactional job to its end."""
    connection = connections[attempt.call.database]
    reason = "error"
    hooks: list[Callable[[], Any]] = []
    try:
        with transaction.atomic(using=connection.alias, durable=True):
            statements.run(connection, [f"savepoint {MARK}"], [])
            try:
                with loud_about_its_end(connection):
                    value = worker.call(attempt)
            except Postpone as postpone:
                # Not past the end of this block: what was written stays.
                value = postpone
            if isinstance(value, Postpone):
                offer = {"kind": "P", **ends.postponement(value)}
            else:
                reason = "bad result"
                text, value = ends.encoded(value, attempt)
                reason = "error"
                offer = {"kind": "D", "value": text}
            refuse_if_broken(connection)
            frame = pack_job(TO_WRITE, attempt.job, attempt.token, dumps(offer).encode())
            if not carried_out(connection, worker.ask(attempt, frame)):
                raise Refused
            if not isinstance(value, Postpone):
                ends.succeed(attempt, value)
                announce_inside(connection, attempt)
            # Kept back from Django, which stops at the first that raises.
            hooks = [function for _, function, *_ in connection.run_on_commit]
            connection.run_on_commit = []
    except WorkerGone:
        raise
    except Refused:
        worker.say(attempt, pack_job(UNDONE, attempt.job, attempt.token))
    except BaseException as error:
        if connection.in_atomic_block or isinstance(error, TransactionBroken):
            drop(connection)
        worker.fail(attempt, reason, error)
        error.__traceback__ = None
    else:
        for function in hooks:
            run_hook(attempt, function)
        worker.say(attempt, pack_job(KEPT, attempt.job, attempt.token))


def refuse_if_broken(connection: BaseDatabaseWrapper) -> None:
    """Raises TransactionBroken unless this is still the transaction that the handler began in, and can commit."""
    driver = connection.connection
    if driver is None or not connection.in_atomic_block or connection.closed_in_transaction:
        raise TransactionBroken(f"{ENDED}, or closed its connection")
    if connection.vendor != "sqlite" and int(driver.info.transaction_status) == IN_ERROR:
        raise TransactionBroken("the handler went on after a database error; nothing it wrote can be kept")
    if has_ended(connection, "release savepoint"):
        raise TransactionBroken(ENDED)
    if connection.needs_rollback:
        raise TransactionBroken("the handler went on after an error inside atomic(); nothing it wrote can be kept")


@contextmanager
def loud_about_its_end(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Turns an exception into TransactionBroken where part of what the handler wrote may have been kept before it."""
    try:
        yield
    except Postpone:
        raise
    except BaseException as error:
        driver = connection.connection
        if driver is not None and not connection.closed_in_transaction:
            if connection.vendor != "sqlite" and int(driver.info.transaction_status) not in ANSWERED:
                # Before Django gives the connection up.
                with suppress(Exception):
                    stop_query(connection)
            elif has_ended(connection, "rollback to savepoint", quietly=True):
                raise TransactionBroken(ENDED) from error
        raise


def has_ended(connection: BaseDatabaseWrapper, what: str, *, quietly: bool = False) -> bool:
    """Does something with the mark, which only the transaction that set it knows; tells whether it is another one."""
    try:
        statements.run(connection, [f"{what} {MARK}"], [])
    except DatabaseError as error:
        cause = error.__cause__
        state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or ""
        if state.startswith(NO_MARK) or "no such savepoint" in str(error):
            return True
        if not quietly:
            raise
    return False


def carried_out(connection: BaseDatabaseWrapper, script: dict[str, Any]) -> bool:
    """Carries out the statements that end the attempt; tells whether the last one accepted it."""
    texts, binds = script["statements"], script["binds"]
    statements.run(connection, texts[:-1], binds)
    rows = statements.run(connection, texts[-1:], binds)
    return bool(rows) and rows[-1][0] not in (None, "[]", [])


def announce_inside(connection: BaseDatabaseWrapper, attempt: Attempt) -> None:
    """Sends `task_finished` before the commit; what its receivers break in the database is undone alone."""
    if only_logs(task_finished):
        announce(task_finished, attempt.call.sender, attempt.result)
        return
    try:
        with transaction.atomic(using=connection.alias):
            announce(task_finished, attempt.call.sender, attempt.result)
    except DatabaseError:
        logger.exception("job %s: what receivers of task_finished have written is undone", attempt.result.id)


def run_hook(attempt: Attempt, function: Callable[[], Any]) -> None:
    """Calls what was to be called on commit. The job has ended: what goes wrong is written into its output."""
    try:
        function()
    except BaseException as error:
        _, trace = describe(error)
        logger.exception("job %s: an on_commit callback failed", attempt.result.id)
        record = capture.current()
        if record is not None:
            record.add(f"after the commit, an on_commit callback failed:\n{trace}")
