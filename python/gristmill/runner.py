"""
Runs jobs: reads them from the worker's socket, calls their tasks, says how each ended.

A fork of the zygote; Django and the project's tasks are there already. What is said on the socket, and how a recall
is settled by order alone, is told in `docs/design/wire.md`. What a single job may need is in `gristmill.running`.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time
from collections import deque
from json import dumps
from typing import Any

from django.db import connections

from gristmill.compat import task_finished, task_started
from gristmill.deadlines import inheriting
from gristmill.frame import JOB, STARTED, Parser, pack, pack_job
from gristmill.middleware import through
from gristmill.postpone import Postpone
from gristmill.running import capture, ends, transactional
from gristmill.running.attempt import KEY, Attempt, decode
from gristmill.running.event_loop import EventLoop
from gristmill.running.hygiene import Hygiene, drop_connections, prepare_connections, tidy_connections
from gristmill.running.limits import Guard
from gristmill.running.progress import Context, context_of
from gristmill.running.signals import announce
from gristmill.running.transactional import WorkerGone

CHUNK = 256 * 1024
RUN, RECALL, QUIT, CANCEL, WRITE = b"RCQXW"
STARTED_KIND, BACK, INCOMPATIBLE = b"SBI"
# Seconds for the worker to say how a transactional job is to be ended.
PATIENCE = 60


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
        # Several threads may send: from the first context on.
        self.is_shared = False
        self.sending = threading.Lock()
        self.main_thread = threading.get_ident()
        self.quitting = False
        # The sync job that runs, and what it prints.
        self.current: bytes | None = None
        self.record = capture.Record()
        self.script: bytes | None = None
        self.guard = Guard(self.receive_now)
        self.event_loop: EventLoop | None = None
        capture.serve_sync(self.record)
        self.guard.install()
        self.hygiene = Hygiene()

    def run(self) -> None:
        """Serves until told to quit and nothing is left to run; raises WorkerGone."""
        self.unsent = pack(ord("H"), dumps({"pid": os.getpid()}).encode())
        while True:
            while self.queue:
                self._run_next()
            if self.unsent:
                self.flush()
            if self.quitting:
                return
            self._receive(0)
            # Connections may have gone stale while this process was idle.
            tidy_connections()

    def flush(self) -> None:
        """Sends what has been said."""
        data, self.unsent = self.unsent, b""
        if self.is_shared:
            self.write(data)
        elif data:
            self._send(data)

    def write(self, data: bytes) -> None:
        """Sends at once, also from a handler or one of its threads: these may be interrupted, but not the frame."""
        guard = self.guard
        holds = guard.armed and threading.get_ident() == self.main_thread
        if holds:
            guard.held += 1
        try:
            with self.sending:
                self._send(data)
        finally:
            if holds:
                guard.held -= 1

    def _send(self, data: bytes) -> None:
        # A task may have closed this descriptor, and it may be a database's by now.
        if os.fstat(self.descriptor).st_ino != self.inode:
            raise WorkerGone
        self.connection.sendall(data)

    def context_of(self, attempt: Attempt) -> Context:
        """Makes a handler's context, by which it may send from any of its threads."""
        self.is_shared = True
        return context_of(attempt, self.write)

    def receive_now(self) -> None:
        """Reads what lies in the socket without waiting; raises WorkerGone."""
        self._receive(socket.MSG_DONTWAIT)

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
                elif kind == CANCEL:
                    self._cancel(payload)
                elif kind == WRITE:
                    self.script = payload
            flags = socket.MSG_DONTWAIT

    def _recall(self, key: bytes) -> None:
        for place, payload in enumerate(self.queue):
            if payload.startswith(key):
                del self.queue[place]
                self._back(key)
                return
        self.recalled.add(key)

    def _cancel(self, key: bytes) -> None:
        if key == self.current:
            self.guard.cancel()
        elif self.event_loop is not None:
            self.event_loop.cancel(key)

    def _back(self, key: bytes, why: str = "") -> None:
        job, token = JOB.unpack(key)
        self.unsent += pack_job(BACK, job, token, why.encode())

    def _run_next(self) -> None:
        attempt = Attempt(self.queue[0])
        if attempt.is_async:
            if self.event_loop is None:
                self.event_loop = EventLoop(self)
            # Its jobs have records of their own.
            capture.serve_sync(None)
            self.event_loop.run()
            capture.serve_sync(self.record)
            self._tidy("an async task")
            return
        self.queue.popleft()
        if attempt.problem is None and attempt.is_known and attempt.asks_for_its_past:
            attempt.learn_its_past()
        self.guard.due = None
        # Known before it is said, so that a cancel finds it as soon as there can be one.
        self.current = attempt.key
        if self._start(attempt):
            self._run(attempt)
        self.current = None

    def next_async(self) -> Attempt | None:
        """Takes and starts the next job if that is an async one."""
        while self.queue:
            attempt = Attempt(self.queue[0])
            if not attempt.is_async:
                return None
            self.queue.popleft()
            if self._start(attempt):
                return attempt
        return None

    def _start(self, attempt: Attempt) -> bool:
        """Says that a job starts; False when it is not to, which has been said."""
        key = attempt.key
        if attempt.problem is None:
            if not attempt.is_known:
                self._back(key, f"task {attempt.request['task']} is not registered here")
                return False
            args, kwargs = attempt.request["args"], attempt.request["kwargs"]
            shape = (len(args), *kwargs) if kwargs else len(args)
            if shape not in attempt.call.shapes and (misfit := attempt.call.misfit(shape, args, kwargs)) is not None:
                self.unsent += pack_job(INCOMPATIBLE, attempt.job, attempt.token, misfit.encode())
                return False
        # Said first, then looked: so a recall that the worker wrote before it could read this is found here.
        self.unsent += STARTED.pack(1 + KEY + 8, STARTED_KIND, attempt.job, attempt.token, time.monotonic_ns())
        self.flush()
        self._receive(socket.MSG_DONTWAIT)
        if self.recalled:
            recalled = key in self.recalled
            self.recalled.clear()
            if recalled:
                self._back(key)
                return False
        return True

    def _run(self, attempt: Attempt) -> None:
        """Runs a sync job that has started; its end is left in `unsent`."""
        if attempt.problem is None:
            announce(task_started, attempt.call.sender, attempt.result)
        if self.record.used:
            self.record.clear()
        if attempt.problem is not None:
            self.fail(attempt, "error", attempt.problem)
            return
        if attempt.is_transactional:
            transactional.run(self, attempt)
        else:
            self._call(attempt)
        if self.guard.fired is not None:
            drop_connections()
        self._tidy(attempt.call.task)

    def _tidy(self, task: Any) -> None:
        tidy_connections()
        if not self.hygiene.restore(task):
            self._retire()

    def _call(self, attempt: Attempt) -> None:
        reason = "error"
        try:
            value = self.call(attempt)
            reason = "bad result"
            text, value = ends.encoded(value, attempt)
            end = ends.done(attempt, text)
        except Postpone as postpone:
            self.say(attempt, ends.postponed(attempt, postpone))
        except BaseException as error:
            self.fail(attempt, reason, error)
            # The frames that it went through would keep their variables alive.
            error.__traceback__ = None
        else:
            self.say(attempt, end)
            ends.succeed(attempt, value)
            announce(task_finished, attempt.call.sender, attempt.result)

    def call(self, attempt: Attempt) -> Any:
        """
        Calls the handler within its limits; raises what it does, Postpone also where it returns one.

        A Postpone for a job that is not there is the handler's mistake: UnknownJob is raised instead.
        """
        call = attempt.call
        function = call.task.call if call.is_async else call.function
        first: tuple[Any, ...] = (self.context_of(attempt),) if call.task.takes_context else ()
        if call.around is not None:
            function, first = through(call.around), first or (self.context_of(attempt),)
        with inheriting(attempt.deadline, alone=True):
            try:
                value = self.guard.call(attempt, function, first)
            except Postpone as postpone:
                value = postpone
        if isinstance(value, Postpone):
            # Someone's cancel weighs more than the wish to run again.
            cancelled = self.guard.cancelled()
            if cancelled is None:
                ends.refuse_unknown(attempt, value)
            raise cancelled or value
        return value

    def say(self, attempt: Attempt, end: bytes) -> None:
        """Says the frame that ends a sync attempt, after what has to come before it."""
        if self.record.used or attempt.reporter is not None:
            self.unsent += ends.said_before(attempt, self.record)
        self.unsent += end

    def fail(self, attempt: Attempt, reason: str, error: BaseException) -> None:
        """Says that a sync handler has failed, and tells Django when that is final; within the except block."""
        reason = self.guard.reason_for(error, attempt) or reason
        end, final = self.words_for(attempt, reason, error)
        self.say(attempt, end)
        if final and attempt.problem is None:
            # Sent here, where Django's own receiver finds the exception for the log.
            with self.guard.patience() if self.guard.was_slow else contextlib.nullcontext():
                announce(task_finished, attempt.call.sender, attempt.result)

    def words_for(self, attempt: Attempt, reason: str, error: BaseException) -> tuple[bytes, bool]:
        """Returns the frame of a failure, and whether no retry follows; bounded in time, in the main thread."""
        self.guard.was_slow = False
        with self.guard.patience():
            return ends.fail(attempt, reason, error)

    def ask(self, attempt: Attempt, frame: bytes) -> dict[str, Any]:
        """Sends a frame and waits for the statements that answer it; raises WorkerGone."""
        self.script = None
        self.unsent += frame
        poll = select.poll()
        poll.register(self.descriptor, select.POLLIN)
        deadline = time.monotonic() + PATIENCE
        try:
            self.flush()
            while self.script is None or not self.script.startswith(attempt.key):
                if not poll.poll(max(0, deadline - time.monotonic()) * 1000):
                    raise WorkerGone
                self.receive_now()
        except OSError as error:
            raise WorkerGone from error
        script, self.script = self.script, None
        answer: dict[str, Any] = decode(script[KEY:].decode())
        return answer

    def _retire(self) -> None:
        """Gives back what is left and ends: another process takes this one's place."""
        self._receive(socket.MSG_DONTWAIT)
        while self.queue:
            self._back(self.queue.popleft()[:KEY])
        self.quitting = True


def serve(connection: socket.socket) -> None:
    """Runs jobs until the worker says quit or is gone."""
    leave_forks_to_the_task(connection)
    prepare_connections()
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
        capture.serve_sync(None)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGALRM, signal.SIGUSR1):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        restore()

    os.register_at_fork(before=before, after_in_parent=restore, after_in_child=in_child)


def finish() -> None:
    """What the interpreter does at its end; the zygote's loop below this frame must not be returned to."""
    for step in (connections.close_all, atexit._run_exitfuncs, sys.stdout.flush, sys.stderr.flush):
        with contextlib.suppress(BaseException):
            step()
