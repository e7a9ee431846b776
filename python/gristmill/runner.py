"""
Runs jobs, one after the other: reads them from the worker's socket, calls their tasks, says how each ended.

A fork of the zygote; Django and the project's tasks are there already. What is said on the socket, and how a recall
is settled by order alone, is told in `docs/design/wire.md`.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import fields
from datetime import datetime, timezone
from functools import lru_cache
from inspect import iscoroutinefunction
from json import JSONDecoder, dumps
from typing import Any, NamedTuple, TypeVar

from django.conf import settings
from django.db import connections
from django.utils import timezone as django_timezone

from gristmill import registry
from gristmill.compat import (
    Task,
    TaskContext,
    TaskError,
    TaskResult,
    TaskResultStatus,
    task_backends,
    task_finished,
    task_started,
)
from gristmill.failure import class_path, describe
from gristmill.frame import JOB, MAX_LENGTH, STARTED, Parser, pack, pack_job
from gristmill.json_rule import MAX_BYTES, encode

logger = logging.getLogger("gristmill")
# json.loads() without its questions about encodings and hooks.
decode = JSONDecoder().decode

CHUNK = 256 * 1024
KEY = JOB.size
RUN, RECALL, QUIT = b"RCQ"
STARTED_KIND, DONE, FAILED, BACK = b"SDFB"
RUNNING, SUCCESSFUL = TaskResultStatus.RUNNING, TaskResultStatus.SUCCESSFUL
# A result of this kind is its own JSON value; no need to read back what was written.
SCALARS = frozenset({type(None), bool, int, float, str})


class WorkerGone(Exception):
    """The other end of the socket is closed: there is nobody left to work for."""


class Call(NamedTuple):
    """What calling a task takes; made once for each way in which it is enqueued."""

    task: Task[..., Any]
    function: Callable[..., Any]
    sender: type
    max_bytes: int


class Runner:
    """One process's loop."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.descriptor = connection.fileno()
        self.inode = os.fstat(self.descriptor).st_ino
        self.parser = Parser()
        self.queue: deque[bytes] = deque()
        # Recalls of jobs that are not in the queue: of the one about to start, or too late.
        self.recalled: set[bytes] = set()
        self.unsent = b""
        self.quitting = False

    def run(self) -> None:
        """Serves until told to quit and nothing is left to run; raises WorkerGone."""
        self.unsent = pack(ord("H"), dumps({"pid": os.getpid()}).encode())
        while True:
            while self.queue:
                self._run(self.queue.popleft())
            if self.unsent:
                self._send()
            if self.quitting:
                return
            self._receive(0)
            # Connections may have gone stale while this process was idle.
            tidy_connections()

    def _send(self) -> None:
        data, self.unsent = self.unsent, b""
        # A task may have closed this descriptor, and it may be a database's by now.
        if os.fstat(self.descriptor).st_ino != self.inode:
            raise WorkerGone
        self.connection.sendall(data)

    def _receive(self, flags: int) -> None:
        size = CHUNK
        while size == CHUNK:
            try:
                data = self.connection.recv(CHUNK, flags)
            except BlockingIOError:
                return
            size = len(data)
            if not size:
                raise WorkerGone
            for kind, payload in self.parser.feed(data):
                if kind == RUN:
                    self.queue.append(payload)
                elif kind == RECALL:
                    self._recall(payload)
                elif kind == QUIT:
                    self.quitting = True
            flags = socket.MSG_DONTWAIT

    def _recall(self, key: bytes) -> None:
        for place, payload in enumerate(self.queue):
            if payload.startswith(key):
                del self.queue[place]
                self._back(key)
                return
        self.recalled.add(key)

    def _back(self, key: bytes, why: str = "") -> None:
        job, token = JOB.unpack(key)
        self.unsent += pack_job(BACK, job, token, why.encode())

    def _run(self, payload: bytes) -> None:
        """Runs one job; its end is left in `unsent`."""
        key = payload[:KEY]
        job, token = JOB.unpack(key)
        call = result = problem = None
        try:
            request = decode(payload[KEY:].decode())
            call = call_of(request["backend"], request["task"], request["queue_name"], request["priority"])
            if call is None:
                self._back(key, f"task {request['task']} is not registered here")
                return
            result = result_of(request, call.task)
        except Exception as error:
            problem = error

        # Said first, then looked: so a recall that the worker wrote before it could read this is found here.
        self.unsent += STARTED.pack(1 + KEY + 8, STARTED_KIND, job, token, time.monotonic_ns())
        self._send()
        self._receive(socket.MSG_DONTWAIT)
        if self.recalled:
            recalled = key in self.recalled
            self.recalled.clear()
            if recalled:
                self._back(key)
                return

        if call is None or result is None or problem is not None:
            self._failed(job, token, "error", problem or LookupError("no call"))
        else:
            self._call(job, token, call, result)
        tidy_connections()

    def _call(self, job: bytes, token: int, call: Call, result: TaskResult[..., Any]) -> None:
        announce(task_started, call.sender, result)
        reason = "error"
        try:
            if call.task.takes_context:
                value = call.function(TaskContext(task_result=result), *result.args, **result.kwargs)
            else:
                value = call.function(*result.args, **result.kwargs)
            reason = "bad result"
            if value is None:
                text = "null"
            else:
                text = encode(value, where="result", max_bytes=call.max_bytes)
                if type(value) not in SCALARS:
                    value = decode(text)
            end = pack_job(DONE, job, token, text.encode())
        except BaseException as error:
            path, trace = self._failed(job, token, reason, error)
            assign(result, "finished_at", django_timezone.now())
            result.errors.append(new(TaskError, exception_class_path=path, traceback=trace))
            assign(result, "status", TaskResultStatus.FAILED)
            # Sent here, where Django's own receiver finds the exception for the log.
            announce(task_finished, call.sender, result)
            # The frames that it went through would keep their variables alive.
            error.__traceback__ = None
        else:
            self.unsent += end
            assign(result, "finished_at", django_timezone.now())
            assign(result, "_return_value", value)
            assign(result, "status", SUCCESSFUL)
            announce(task_finished, call.sender, result)

    def _failed(self, job: bytes, token: int, reason: str, error: BaseException) -> tuple[str, str]:
        path, trace = describe(error)
        text = dumps({"reason": reason, "exception_class_path": path, "traceback": trace})
        self.unsent += pack_job(FAILED, job, token, text.encode())
        return path, trace


def serve(connection: socket.socket) -> None:
    """Runs jobs until the worker says quit or is gone."""
    leave_forks_to_the_task(connection)
    try:
        Runner(connection).run()
    except (WorkerGone, OSError):
        # Also where a task closed the socket. The worker takes whatever ran for crashed.
        os._exit(1)
    finish()


def leave_forks_to_the_task(connection: socket.socket) -> None:
    """
    Has the processes that a task forks be ordinary ones: signals end them, and they cannot speak for the runner.

    Signals wait while the fork is made, so that none is lost on the runner's handlers in the child.
    """
    masks: list[set[signal.Signals | int]] = []

    def before() -> None:
        masks.append(set(signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())))

    def restore() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.pop())

    def in_child() -> None:
        connection.close()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        restore()

    os.register_at_fork(before=before, after_in_parent=restore, after_in_child=in_child)


def finish() -> None:
    """What the interpreter does at its end; the zygote's loop below this frame must not be returned to."""
    for step in (connections.close_all, atexit._run_exitfuncs, sys.stdout.flush, sys.stderr.flush):
        with contextlib.suppress(BaseException):
            step()


@lru_cache(maxsize=4096)
def call_of(backend: str, name: str, queue_name: str, priority: int) -> Call | None:
    """Returns how to call a task that was enqueued like this; None when it is not registered here."""
    registered = registry.get(backend, name)
    if registered is None:
        return None
    task = copy(registered, backend=backend, queue_name=queue_name, priority=priority, run_after=None)
    # An async function goes through Task.call, which brings its event loop.
    function = task.call if iscoroutinefunction(task.func) else task.func
    its_backend = task_backends[backend]
    max_bytes = min(getattr(its_backend, "max_json_bytes", MAX_BYTES), MAX_LENGTH - 64)
    return Call(task, function, type(its_backend), max_bytes)


def result_of(request: dict[str, Any], task: Task[..., Any]) -> TaskResult[..., Any]:
    """Builds the TaskResult that signals and contexts show: running, on its newest attempt."""
    args, kwargs = request["args"], request["kwargs"]
    if type(args) is not list or type(kwargs) is not dict:
        raise TypeError("stored arguments are not a JSON array and a JSON object")
    if request["run_after"] is not None:
        task = copy(task, run_after=moment(request["run_after"]))
    now = django_timezone.now()
    errors: list[TaskError] = []
    worker_ids: list[str] = [request["worker_id"]]
    if request["attempt"] > 1:
        errors, worker_ids = earlier_attempts(request, task)
    return new(
        TaskResult,
        task=task,
        id=request["id"],
        status=RUNNING,
        enqueued_at=moment(request["enqueued_at"]),
        started_at=moment(request["started_at"]) if request["started_at"] else now,
        finished_at=None,
        last_attempted_at=now,
        args=args,
        kwargs=kwargs,
        backend=request["backend"],
        errors=errors,
        worker_ids=worker_ids,
        _return_value=None,
    )


def earlier_attempts(request: dict[str, Any], task: Task[..., Any]) -> tuple[list[TaskError], list[str]]:
    """Asks the backend for the errors so far and for who worked on the job, this attempt included."""
    try:
        stored = task_backends[task.backend].get_result(request["id"])
        if len(stored.worker_ids) == request["attempt"]:
            return list(stored.errors), list(stored.worker_ids)
    except Exception:
        logger.warning("job %s: its earlier attempts cannot be read", request["id"], exc_info=True)
    # At least the count is right, so `context.attempt` is.
    return [], [request["worker_id"]] * request["attempt"]


def moment(text: str) -> datetime:
    """Reads a moment of the database's clock as Django shows it: aware under USE_TZ, else in TIME_ZONE."""
    read = datetime.fromisoformat(text).replace(tzinfo=timezone.utc)
    if settings.USE_TZ:
        return read
    return django_timezone.make_naive(read, django_timezone.get_default_timezone())


def announce(sent: Any, sender: type, result: TaskResult[..., Any]) -> None:
    """Sends a signal; what its receivers raise is logged and changes nothing about the job."""
    try:
        sent.send_robust(sender=sender, task_result=result)
    except BaseException as error:
        logger.exception("job %s: a signal receiver raised %s", result.id, class_path(error))


def tidy_connections() -> None:
    """Closes connections that are broken, too old, or left inside a transaction; never fails."""
    try:
        for connection in connections.all(initialized_only=True):
            if connection.in_atomic_block:
                # A handler entered atomic() and never left it. Nothing of it may leak into the next job.
                logger.error("a task left a transaction open on database '%s'; rolled back", connection.alias)
                connection.in_atomic_block = False
                connection.savepoint_ids = []
                connection.needs_rollback = False
                connection.run_on_commit = []
                connection.close()
            else:
                connection.close_if_unusable_or_obsolete()
            connection.queries_log.clear()
    except Exception:
        logger.exception("database connections could not be tidied up")


Made = TypeVar("Made")
assign = object.__setattr__


def new(kind: type[Made], **values: Any) -> Made:
    """
    Builds a frozen dataclass of Django's from all of its fields, without its `__init__`.

    Only for values that need no checking: moments and lists made here, and arguments that come from JSON.
    """
    made = object.__new__(kind)
    for name, value in values.items():
        assign(made, name, value)
    return made


def copy(task: Task[..., Any], **changes: Any) -> Task[..., Any]:
    """Returns a copy of a task that is neither validated nor registered: the job was valid when it was enqueued."""
    values = {field.name: getattr(task, field.name) for field in fields(task)}
    return new(type(task), **{**values, **changes})
