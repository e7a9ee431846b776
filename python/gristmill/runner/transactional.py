"""
Runs a handler and ends its job in one transaction, on the connection of the queue's database.

The handler returns; the worker is told and answers with the statements that end the attempt; they are carried out
here, and all of it commits, or none. An end that is not accepted (the token is not the job's any more) undoes the
handler's writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from json import dumps
from typing import Any, Protocol

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.database import statements
from gristmill.database.dialects import about
from gristmill.database.refusals import undone_by
from gristmill.exceptions import TransactionBroken
from gristmill.runner import capture, outcome
from gristmill.runner.attempt import Attempt
from gristmill.runner.frame import pack_job
from gristmill.runner.hygiene import drop
from gristmill.runner.isolation import ANSWERED, IN_ERROR, Mark, status
from gristmill.runner.queries import stop_query
from gristmill.tasks.postpone import Postpone
from gristmill.values.failure import describe

TO_WRITE, KEPT, UNDONE = b"TKU"
ENDED = "the handler ended the transaction of its job (COMMIT, ROLLBACK, RESET ALL, or a statement that implies one)"


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

    def conclude(self, attempt: Attempt, end: bytes, state: str | None, **more: Any) -> None:
        """Sends that frame, and calls whom it concerns."""


def run(worker: Worker, attempt: Attempt) -> None:
    """Runs a transactional job to its end."""
    connection = connections[attempt.call.database]
    reason, returned = "error", False
    hooks: list[Callable[[], Any]] = []
    try:
        refuse_without_autocommit(connection)
        with transaction.atomic(using=connection.alias, durable=True):
            mark = Mark(connection, attempt.key.hex())
            try:
                with loud_about_its_end(connection, mark):
                    value = worker.call(attempt)
            except Postpone as postpone:
                # Not past the end of this block: what was written stays.
                value = postpone
            if isinstance(value, Postpone):
                offer = {"kind": "P", **outcome.postponement(value)}
            else:
                reason = "bad result"
                text, attempt.value = outcome.encoded(value, attempt)
                reason = "error"
                offer = {"kind": "D", "value": text}
            returned = True
            refuse_if_broken(connection, mark)
            frame = pack_job(TO_WRITE, attempt.job, attempt.token, dumps(offer).encode())
            if not carried_out(connection, worker.ask(attempt, frame)):
                raise Refused
            hooks = take_hooks(connection)
    except WorkerGone:
        raise
    except Refused:
        worker.say(attempt, pack_job(UNDONE, attempt.job, attempt.token))
    except BaseException as error:
        undone = undone_by(connection, error, returned=returned)
        if connection.in_atomic_block or isinstance(error, TransactionBroken):
            drop(connection)
        if undone == "interrupted":
            note("the database went away while the job's end was written, so nothing of it was kept", error)
        worker.fail(attempt, undone or reason, error)
        error.__traceback__ = None
    else:
        state = None if isinstance(value, Postpone) else "successful"
        worker.conclude(attempt, pack_job(KEPT, attempt.job, attempt.token), state, hooks=hooks, is_kept=True)


def take_hooks(connection: BaseDatabaseWrapper) -> list[Callable[[], Any]]:
    """Keeps what is to be called on commit back from Django, which calls nothing more once one of them raises."""
    hooks = [function for _, function, *_ in connection.run_on_commit]
    connection.run_on_commit = []
    return hooks


def refuse_without_autocommit(connection: BaseDatabaseWrapper) -> None:
    """Raises TransactionBroken where atomic() would not commit at its end."""
    if not connection.get_autocommit():
        raise TransactionBroken(
            f"autocommit is off on database '{connection.alias}', so nothing that the handler writes would be committed"
        )


def refuse_if_broken(connection: BaseDatabaseWrapper, mark: Mark) -> None:
    """Raises TransactionBroken unless this is still the transaction that the handler began in, and can commit."""
    driver = connection.connection
    if driver is None or not connection.in_atomic_block or connection.closed_in_transaction:
        raise TransactionBroken(f"{ENDED}, or closed its connection")
    if about(connection).breaks_off and status(connection) == IN_ERROR:
        raise TransactionBroken("the handler went on after a database error; nothing it wrote can be kept")
    if mark.is_gone():
        raise TransactionBroken(ENDED)
    if connection.needs_rollback:
        raise TransactionBroken("the handler went on after an error inside atomic(); nothing it wrote can be kept")


@contextmanager
def loud_about_its_end(connection: BaseDatabaseWrapper, mark: Mark) -> Iterator[None]:
    """Turns an exception into TransactionBroken where part of what the handler wrote may have been kept before it."""
    try:
        yield
    except Postpone:
        raise
    except BaseException as error:
        if connection.connection is not None and not connection.closed_in_transaction:
            if about(connection).breaks_off and status(connection) not in ANSWERED:
                # Before Django gives the connection up.
                with suppress(Exception):
                    stop_query(connection)
            elif mark.was_ended():
                raise TransactionBroken(ENDED) from error
        raise


def carried_out(connection: BaseDatabaseWrapper, script: dict[str, Any]) -> bool:
    """Carries out the statements that end the attempt; tells whether the last one accepted it."""
    texts, binds = script["statements"], script["binds"]
    statements.run(connection, texts[:-1], binds)
    rows = statements.run(connection, texts[-1:], binds)
    return bool(rows) and rows[-1][0] not in (None, "[]", [])


def note(what: str, error: BaseException) -> None:
    """Writes into an attempt's output what is not its handler's failure."""
    _, trace = describe(error)
    record = capture.current()
    if record is not None:
        record.add(f"{what}:\n{trace}")
