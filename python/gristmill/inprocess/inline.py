"""
One run of jobs in this process: carries out what the engine asks for, and calls the tasks.

`gristmill.testing` is the public face; `gristmill.inprocess.host` has the process that decides.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any, NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.backend import GristmillBackend
from gristmill.compat import AnyTask, InvalidTaskBackend, task_backends
from gristmill.database.dialects import dialect_of
from gristmill.database.missing_tables import raise_if_tables_missing
from gristmill.database.statements import carry_out
from gristmill.inprocess.borrowed_connection import BorrowedConnection, Guard
from gristmill.inprocess.host import Host, borrowed, plain
from gristmill.inprocess.inline_call import Raised, call, concluded
from gristmill.runner import attempt as running
from gristmill.runner.frame import JOB
from gristmill.schedules.announcing import announcement
from gristmill.tasks import registry
from gristmill.tasks.aliases import gristmill_backends
from gristmill.tasks.task import task_name_of

ENDED = frozenset({"successful", "failed", "cancelled", "poisoned"})


@dataclass(frozen=True)
class Attempt:
    """One attempt that `run_jobs()` has made."""

    job_id: str
    backend: str
    task_name: str
    #: How it ended: "successful", "failed", "postponed", "expired", "cancelled" or "incompatible".
    outcome: str
    #: Where that put the job: "successful", "failed", "cancelled", or where it is to run again: "ready", "scheduled",
    #: or "waiting" for other jobs.
    state: str

    @property
    def has_ended_the_job(self) -> bool:
        """Whether the job will not run again."""
        return self.state in ENDED

    @property
    def is_a_failure(self) -> bool:
        """Whether the job has failed for good, or could not be called at all."""
        return self.state == "failed" or self.outcome == "incompatible"


class JobFailed(RuntimeError):
    """
    A job has failed, and there is no exception of its own that could be raised in its place.

    It was too old to start, or postponed itself too often; or its handler raised what would end the test run, which is
    the cause of this one.
    """

    def __init__(self, attempt: Attempt) -> None:
        super().__init__(f"job {attempt.job_id} of {attempt.task_name} has failed: its attempt was {attempt.outcome}")
        self.attempt = attempt

    @classmethod
    def in_place_of(cls, raised: Raised | None, attempt: Attempt) -> Raised:
        """Returns what a handler has raised, or this where that is nothing to raise in a test."""
        if raised is not None and isinstance(raised.error, Exception):
            return raised
        failed = cls(attempt)
        failed.__cause__ = None if raised is None else raised.error.with_traceback(raised.traceback)
        return Raised(failed, None)


class Wanted(NamedTuple):
    """Which jobs to run."""

    queue_names: Collection[str] | None
    task: AnyTask | str | None
    # Whether schedules make jobs too.
    schedules: bool = False


class Left(NamedTuple):
    """What a run left."""

    more: bool
    unknown: list[str]


def aliases_by_database(backend: str | None) -> dict[str, list[str]]:
    """Returns the aliases of TASKS to serve, by the database that has their queue; raises for one that is not ours."""
    if backend is not None:
        named = task_backends[backend]
        if not isinstance(named, GristmillBackend):
            raise InvalidTaskBackend(f"TASKS['{backend}'] does not use Gristmill")
        return {named.database: [backend]}
    every: dict[str, list[str]] = {}
    for ours in task_backends.all():
        if isinstance(ours, GristmillBackend):
            every.setdefault(ours.database, []).append(ours.alias)
    if not every:
        raise ImproperlyConfigured("no alias of TASKS uses gristmill.backend.GristmillBackend")
    # Where the test may use none, Django is to say so when one is used.
    return {alias: aliases for alias, aliases in every.items() if is_allowed(connections[alias])} or every


def registry_names(task: AnyTask | str) -> list[str]:
    """Returns the names under which a task's jobs may be: its own, and the aliases that it once had."""
    if isinstance(task, str):
        return [task]
    known = (each for of_alias in registry.tasks.values() for each in of_alias.items())
    return sorted({task_name_of(task), *(name for name, other in known if other.func is task.func)})


def is_allowed(connection: BaseDatabaseWrapper) -> bool:
    """Tells whether the test that runs may use this database: a TestCase names those that it does."""
    # Django puts an object that refuses in place of the method, and keeps the method in it.
    return not hasattr(connection.cursor, "wrapped")


def run(
    connection: BaseDatabaseWrapper,
    aliases: Sequence[str],
    wanted: Wanted,
    *,
    max_jobs: int,
    attempts: list[Attempt],
    raise_errors: bool,
) -> Left:
    """Runs due jobs of one database, and adds each attempt to `attempts` as soon as it has ended."""
    # Whatever forbids the use of this connection says so here: the statements below go around Django's cursor.
    connection.cursor().close()
    connection.validate_no_broken_transaction()
    registry.load()
    # How a task is called is remembered by its name; a test has settings, middleware and tasks of its own.
    running.call_of.cache_clear()
    names = registry.names() if wanted.task is None else registry_names(wanted.task)
    request = {
        "dialect": dialect_of(connection),
        "backends": list(aliases),
        "queues": None if wanted.queue_names is None else list(wanted.queue_names),
        "tasks": names,
        "max_jobs": max(max_jobs, 0),
        "label": f"run_jobs() in process {os.getpid()}",
        "host": platform.node(),
        "pid": os.getpid(),
        "schedules": announcements(aliases) if wanted.schedules else None,
    }
    with borrowed() as host, ctrl_c() as interrupt:
        conversation = Conversation(host, connection, interrupt, attempts, raise_errors)
        try:
            end = conversation.run(request)
        except DatabaseError as error:
            raise_if_tables_missing(error, connection)
            raise
    if interrupt.came:
        raise KeyboardInterrupt
    if conversation.error is not None:
        raise conversation.error.error.with_traceback(conversation.error.traceback)
    return Left(end["more"], [] if wanted.task is not None else end["unserved"])


def announcements(aliases: Sequence[str]) -> dict[str, Any]:
    """Returns what workers of these aliases would announce, by alias."""
    backends = gristmill_backends()
    return {alias: announcement(backends[alias]) for alias in aliases}


class Conversation:
    """One request to a host, until its end."""

    def __init__(
        self,
        host: Host,
        connection: BaseDatabaseWrapper,
        interrupt: Interrupt,
        attempts: list[Attempt],
        raise_errors: bool,
    ) -> None:
        self.host = host
        self.borrowed = BorrowedConnection(connection)
        self.interrupt = interrupt
        self.attempts = attempts
        self.raise_errors = raise_errors
        # The job that is being run: its id and token, and the attempt.
        self.open: bytes | None = None
        self.attempt: running.Attempt | None = None
        self.guard: Guard | None = None
        self.raised: Raised | None = None
        # What a job raised that failed for good.
        self.error: Raised | None = None

    def run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Does what the host asks, until it says that it is done."""
        try:
            self.host.say(b"J", json.dumps(request).encode())
            while True:
                kind, payload = self.host.hear()
                if kind == b"E":
                    return self._end(json.loads(payload))
                self._answer(kind, payload)
        except BaseException:
            self._clean_up()
            raise

    def _end(self, end: dict[str, Any]) -> dict[str, Any]:
        if "error" in end:
            raise RuntimeError(f"the engine gave up: {end['error']}")
        return end

    def _answer(self, kind: bytes, payload: bytes) -> None:
        if kind == b"V":
            script = json.loads(payload)
            rows = self.borrowed.run(script["statements"], script["binds"])
            self.host.say(b"A", json.dumps([[plain(value) for value in row] for row in rows]).encode())
        elif kind in b"()~":
            {b"(": self.borrowed.begin, b")": self.borrowed.commit, b"~": self.borrowed.rollback}[kind]()
            self.host.say(b"A", b"[]")
        elif kind == b"R":
            self._call(payload)
        elif kind in b"KU":
            self._ended(payload, kept=kind == b"K")
        else:
            raise RuntimeError(f"the host sent a frame of the unknown kind {kind!r}")

    def _call(self, payload: bytes) -> None:
        self.open = payload[: JOB.size]
        if self.interrupt.came:
            self.host.say(b"B", self.open)
            return
        attempt = self.attempt = running.Attempt(payload)
        self.guard = Guard(self.borrowed.connection, attempt.is_transactional)
        with self.interrupt.passed_on():
            made = call(attempt, self.guard)
        self.raised = made.raised
        if not self.guard.waits:
            self.guard = None
        self.host.send(made.frames)

    def _ended(self, payload: bytes, *, kept: bool) -> None:
        if self.guard is not None:
            self.guard.close(keep=kept)
            self.guard.after_commit()
            self.guard = None
        key, self.open = payload[: JOB.size], None
        said = json.loads(payload[JOB.size :])
        if kept and said["outcome"] is not None:
            attempt = Attempt(key[:16].hex(), said["backend"], said["task"], said["outcome"], said["state"])
            self.attempts.append(attempt)
            if self.raise_errors and attempt.is_a_failure:
                self.error = JobFailed.in_place_of(self.raised, attempt)
            called = self.attempt
            if called is not None and called.is_known and called.problem is None and attempt.has_ended_the_job:
                concluded(called, self.borrowed.connection, attempt.state, self.raised)
        self.raised, self.attempt = None, None
        self.host.say(b"." if self.interrupt.came or self.error is not None else b">")

    def _clean_up(self) -> None:
        """Leaves the connection as it was found and puts back the job that was open, as far as the database lets us."""
        with contextlib.suppress(Exception):
            self.borrowed.rollback()
        if self.guard is not None:
            with contextlib.suppress(Exception):
                self.guard.close(keep=False)
        if self.open is not None:
            with contextlib.suppress(Exception):
                job, token = JOB.unpack(self.open)
                self.borrowed.begin()
                carry_out(self.borrowed.connection, "hand_back", [json.dumps([{"id": job.hex(), "token": token}])])
                self.borrowed.commit()


class Interrupt:
    """Ctrl-C at the terminal: ends the run once the job at hand is written down, so that none stays running."""

    def __init__(self, previous: Any) -> None:
        self.previous = previous
        self.came = False
        self.passing_on = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Takes note; a handler that runs is interrupted as ever, and whoever insists is obeyed."""
        insists, self.came = self.came, True
        if self.passing_on or insists:
            self.previous(number, frame)

    @contextlib.contextmanager
    def passed_on(self) -> Iterator[None]:
        """While a handler runs."""
        self.passing_on = True
        try:
            yield
        finally:
            self.passing_on = False


@contextlib.contextmanager
def ctrl_c() -> Iterator[Interrupt]:
    """Listens for Ctrl-C, where that is this thread's to do."""
    previous = signal.getsignal(signal.SIGINT)
    interrupt = Interrupt(previous)
    if threading.current_thread() is not threading.main_thread() or not callable(previous):
        yield interrupt
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, previous)


__all__ = ["Attempt", "JobFailed", "Left", "Wanted", "aliases_by_database", "run"]
