"""
One run of jobs in this process: carries out what the engine asks for, and calls the tasks.

`gristmill.testing` is the public face; `gristmill.host` has the process that decides.
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
from types import FrameType, TracebackType
from typing import Any, NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill import registry
from gristmill.backend import GristmillBackend, raise_if_tables_missing
from gristmill.compat import InvalidTaskBackend, task_backends
from gristmill.frame import JOB
from gristmill.host import Host, HostGone, borrowed, plain
from gristmill.lent import Guard, Lent
from gristmill.runner import Runner, call_of, result_of
from gristmill.schema import dialect_of
from gristmill.statements import carry_out

ENDED = frozenset({"successful", "failed", "cancelled", "poisoned"})


@dataclass(frozen=True)
class Attempt:
    """One attempt that `run_jobs()` has made."""

    job_id: str
    backend: str
    task_name: str
    #: How it ended: "successful", "failed", "postponed", "expired", "cancelled" or "incompatible".
    outcome: str
    #: Where that put the job: "successful", "failed", "cancelled", or "ready" or "scheduled" to run again.
    state: str

    @property
    def has_ended_the_job(self) -> bool:
        """Whether the job will not run again."""
        return self.state in ENDED


class Wanted(NamedTuple):
    """Which jobs to run."""

    queue_names: Collection[str] | None
    task_name: str | None


class Raised(NamedTuple):
    """An exception, with what the runner takes off it."""

    error: BaseException
    traceback: TracebackType | None


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
    registry.load()
    names = registry.names()
    if wanted.task_name is not None:
        names = [name for name in names if name == wanted.task_name]
    request = {
        "dialect": dialect_of(connection),
        "backends": list(aliases),
        "queues": None if wanted.queue_names is None else list(wanted.queue_names),
        "tasks": names,
        "max_jobs": max(max_jobs, 0),
        "label": f"run_jobs() in process {os.getpid()}",
        "host": platform.node(),
        "pid": os.getpid(),
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
    return Left(end["more"], [] if wanted.task_name is not None else end["unserved"])


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
        self.lent = Lent(connection)
        self.interrupt = interrupt
        self.attempts = attempts
        self.raise_errors = raise_errors
        # The job that is being run: its id and token.
        self.open: bytes | None = None
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
        except HostGone:
            self._clean_up()
            raise
        except BaseException:
            self._roll_back()
            raise

    def _end(self, end: dict[str, Any]) -> dict[str, Any]:
        if "error" in end:
            raise RuntimeError(f"the engine gave up: {end['error']}")
        return end

    def _answer(self, kind: bytes, payload: bytes) -> None:
        if kind == b"V":
            script = json.loads(payload)
            rows = self.lent.run(script["statements"], script["binds"])
            self.host.say(b"A", json.dumps([[plain(value) for value in row] for row in rows]).encode())
        elif kind in b"()~":
            {b"(": self.lent.begin, b")": self.lent.commit, b"~": self.lent.rollback}[kind]()
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
        call = Call(self, payload)
        with self.interrupt.passed_on():
            frames = call.make()
        self.host.send(frames)

    def _ended(self, payload: bytes, *, kept: bool) -> None:
        if self.guard is not None:
            self.guard.close(keep=kept)
            self.guard = None
        key, self.open = payload[: JOB.size], None
        said = json.loads(payload[JOB.size :])
        if kept and said["outcome"] is not None:
            attempt = Attempt(key[:16].hex(), said["backend"], said["task"], said["outcome"], said["state"])
            self.attempts.append(attempt)
            if self.raise_errors and attempt.state == "failed":
                self.error = self.raised
        self.raised = None
        self.host.say(b"." if self.interrupt.came or self.error is not None else b">")

    def _roll_back(self) -> None:
        """Leaves the connection as it was found, where it still can be used."""
        with contextlib.suppress(Exception):
            self.lent.rollback()
        if self.guard is not None:
            with contextlib.suppress(Exception):
                self.guard.close(keep=False)

    def _clean_up(self) -> None:
        """Puts back the job that was open when the host died."""
        self._roll_back()
        if self.open is not None:
            job, token = JOB.unpack(self.open)
            with contextlib.suppress(Exception):
                returned = json.dumps([{"id": job.hex(), "token": token}])
                carry_out(self.lent.connection, "hand_back", [returned])


class Call(Runner):
    """A runner's call of one job, without a runner's socket."""

    def __init__(self, conversation: Conversation, payload: bytes) -> None:
        self.conversation = conversation
        self.payload = payload
        self.unsent = b""

    def make(self) -> bytes:
        """Calls the task; returns the frames that say how it went."""
        key = self.payload[: JOB.size]
        job, token = JOB.unpack(key)
        try:
            request = json.loads(self.payload[JOB.size :])
            call = call_of(request["backend"], request["task"], request["queue_name"], request["priority"])
            if call is None:
                raise LookupError(f"task {request['task']} is not registered here")
            result = result_of(request, call.task)
        except Exception as error:
            self._failed(job, token, "error", error)
            return self.unsent
        transactional = bool((request["options"] or {}).get("transactional"))
        guard = Guard(self.conversation.lent.connection.alias, transactional)
        self.conversation.guard = guard

        def function(*args: Any, **kwargs: Any) -> Any:
            value = call.function(*args, **kwargs)
            guard.returned()
            return value

        self._call(job, token, call._replace(function=function), result)
        keep = self.unsent[4:5] in (b"D", b"P")
        if not transactional or not keep:
            guard.close(keep=keep)
            self.conversation.guard = None
        return self.unsent


    def _failed(self, job: bytes, token: int, reason: str, error: BaseException) -> tuple[str, str]:
        self.conversation.raised = Raised(error, error.__traceback__)
        return super()._failed(job, token, reason, error)


class Interrupt:
    """Ctrl-C at the terminal: ends the run once the job at hand is written down, so that none stays running."""

    def __init__(self, previous: Any) -> None:
        self.previous = previous
        self.came = False
        self.passing_on = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Takes note; a handler that runs is interrupted as ever."""
        self.came = True
        if self.passing_on:
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


__all__ = ["Attempt", "Left", "Wanted", "aliases_by_database", "run"]
