"""
Runs jobs: reads them from the worker's socket, calls their tasks, says how each ended.

A fork of the zygote; Django and the project's tasks are there already. What is said on the socket, and how a recall
is settled by order alone, is told in `docs/design/wire.md`. What a single job may need is in `gristmill.runner`.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from json import dumps
from typing import Any, TypeVar

from gristmill.compat import task_finished, task_started
from gristmill.enqueue.deadlines import inheriting
from gristmill.middleware import through
from gristmill.runner import capture, leftovers, outcome, transactional
from gristmill.runner.aftermath import ANSWERED_WITHIN, NOT_HEARD, call_back, conclude, prepare
from gristmill.runner.attempt import KEY, Attempt, decode
from gristmill.runner.event_loop import EventLoop
from gristmill.runner.frame import JOB, STARTED, Parser, pack, pack_job
from gristmill.runner.hygiene import (
    Hygiene,
    active,
    drop_connections,
    refuse_left_open_here,
    tidy_connections,
)
from gristmill.runner.limits import Guard
from gristmill.runner.progress import Context, context_of
from gristmill.runner.signals import PROMPT, announce, listeners
from gristmill.runner.transactional import WorkerGone
from gristmill.tasks.postpone import Postpone

logger = logging.getLogger("gristmill")
Answer = TypeVar("Answer")

CHUNK = 256 * 1024
RUN, RECALL, QUIT, CANCEL, WRITE, SETTLED = b"RCQXWV"
STARTED_KIND, BACK, INCOMPATIBLE, LEAVING = b"SBIL"
# Ends a start after which the handler is not yet called.
BEFORE = b"~"
NOTHING = contextlib.nullcontext()


class Runner:
    """One process's loop."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.descriptor = connection.fileno()
        self.inode = os.fstat(self.descriptor).st_ino
        # Asked before each handler, by nobody else: it bears no second question while it answers one.
        self.readable = select.poll()
        self.readable.register(connection, select.POLLIN)
        self.parser = Parser()
        self.queue: deque[bytes] = deque()
        # Recalls of jobs that are not in the queue: of the one about to start, or too late.
        self.recalled: set[bytes] = set()
        self.unsent = b""
        # The threads that there were before the sync job that runs; none where there was one.
        self.threads: Collection[threading.Thread] = ()
        # Several threads may send: from the first context on.
        self.is_shared = False
        self.sending = threading.Lock()
        self.main_thread = threading.get_ident()
        self.quitting = False
        # It has said that it runs nothing more.
        self.is_leaving = False
        # The sync job that runs, and what it prints.
        self.current: bytes | None = None
        self.record = capture.Record()
        self.script: bytes | None = None
        # What has become of ends: by the job's key, the state in which it has ended.
        self.verdicts: dict[bytes, str] = {}
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
                elif kind == SETTLED:
                    self._settled(payload[:KEY], payload[KEY:].decode())
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

    def _settled(self, key: bytes, state: str) -> None:
        if self.event_loop is None or not self.event_loop.settled(key, state):
            self.verdicts[key] = state

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
        self.guard.due = self.guard.fired = None
        # Known before it is said, so that a cancel finds it as soon as there can be one.
        self.current = attempt.key
        if self._start(attempt):
            self.hygiene.fresh_context().run(self._run, attempt)
        self.current = None

    def next_async(self) -> Attempt | None:
        """Takes and starts the next job if that is an async one."""
        while self.queue:
            if self.guard.spoiled:
                self.leave()
                self._back(self.queue.popleft()[:KEY])
                continue
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
            attempt.prepares = attempt.asks_for_its_past or listeners(task_started, logging.INFO) != PROMPT
        # Said first, then looked: so a recall that the worker wrote before it could read this is found here.
        self.say_started(attempt, prepares=attempt.prepares)
        # To ask first costs a third of what it costs to be refused.
        if self.readable.poll(0):
            self._receive(socket.MSG_DONTWAIT)
        if self.recalled:
            recalled = key in self.recalled
            self.recalled.clear()
            if recalled:
                self._back(key)
                return False
        return True

    def say_started(self, attempt: Attempt, *, prepares: bool = False) -> None:
        """Says that a job starts, or with `prepares` that something comes before its handler."""
        more = BEFORE if prepares else b""
        length = 1 + KEY + 8 + len(more)
        self.unsent += STARTED.pack(length, STARTED_KIND, attempt.job, attempt.token, time.monotonic_ns()) + more
        self.flush()

    def _run(self, attempt: Attempt) -> None:
        """Runs a sync job that has started; its end is left in `unsent`."""
        if attempt.problem is None:
            prepare(self, attempt)
        if self.record.used:
            self.record.clear()
        self.record.job = attempt.request
        if attempt.problem is not None:
            self.fail(attempt, "error", attempt.problem)
            return
        self.threads = threading.enumerate() if len(active) > 1 else ()
        if attempt.is_transactional:
            transactional.run(self, attempt)
        else:
            self._call(attempt)
        if self._is_half_way():
            drop_connections()
        self._tidy(attempt.call.task)

    def _tidy(self, task: Any) -> None:
        self.record.job = None
        tidy_connections()
        is_clean = self.hygiene.restore(task)
        if self.guard.spoiled:
            # What is given back goes to another runner of this worker.
            self.leave()
        if self.guard.spoiled or not is_clean:
            self._retire()

    def _call(self, attempt: Attempt) -> None:
        reason = "error"
        try:
            value = self.call(attempt)
            reason = "bad result"
            text, attempt.value = outcome.encoded(value, attempt)
            end = outcome.done(attempt, text)
        except Postpone as postpone:
            self.conclude(attempt, outcome.postponed(attempt, postpone), None, goes_on=self.goes_on(attempt))
        except BaseException as error:
            self.fail(attempt, reason, error)
            # The frames that it went through would keep their variables alive.
            error.__traceback__ = None
        else:
            if self.guard.fired is None and listeners(task_finished, logging.INFO) == PROMPT:
                # Of which nothing can come between the end and its way.
                self.say(attempt, end)
                outcome.finish(attempt, "successful")
                announce(task_finished, attempt.call.sender, attempt.result)
            else:
                self.conclude(attempt, end, "successful")

    def conclude(self, attempt: Attempt, end: bytes, state: str | None, *, goes_on: bool = False, **more: Any) -> None:
        """Sends the end of a sync attempt, and calls whom it concerns; see `gristmill.runner.aftermath`."""
        if self._is_half_way():
            drop_connections()
        if goes_on and state is None:
            # The next attempt must not start beside it: this one ends with its process, where nobody hears of that.
            self.unsent += outcome.leaving_with(attempt)
            self.say(attempt, end)
        else:
            conclude(self, attempt, end, state, **more)

    def _is_half_way(self) -> bool:
        """Tells whether something has been interrupted, perhaps in the middle of an answer."""
        return self.guard.fired is not None or self.guard.spoiled

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
        deadline = attempt.deadline
        with NOTHING if deadline is None else inheriting(deadline, alone=True):
            try:
                value = self.guard.call(attempt, function, first)
            except Postpone as postpone:
                value = postpone
        refuse_left_open_here(but=call.database if attempt.is_transactional else None)
        if isinstance(value, Postpone):
            # Someone's cancel weighs more than the wish to run again.
            cancelled = self.guard.cancelled()
            if cancelled is None:
                outcome.refuse_unknown(attempt, value)
            raise cancelled or value
        return value

    def say(self, attempt: Attempt, end: bytes) -> None:
        """Says the frame that ends a sync attempt, after what has to come before it."""
        if self.record.used or attempt.reporter is not None:
            self.unsent += outcome.said_before(attempt, self.record)
        self.unsent += end

    def fail(self, attempt: Attempt, reason: str, error: BaseException) -> None:
        """Says that a sync handler has failed; within the except block, where receivers find the exception."""
        reason = self.guard.reason_for(error, attempt) or reason
        was_stopped = self.guard.was_cut_short(reason)
        goes_on = attempt.problem is None and self.goes_on(attempt, was_stopped=was_stopped)
        failure = self.words_for(attempt, reason, error)
        was_slow, advice = self.guard.was_slow, None
        if failure.asks_its_task():
            if self._is_half_way():
                drop_connections()
            # What is known counts, should nothing come of it.
            self.unsent += outcome.said_so_far(attempt, self.record) + failure.frame(outcome.ASKED)
            self.flush()
            advice = call_back(self, attempt, "the task's backoff function", failure.ask)
        end, state = failure.frame(advice), failure.state(advice)
        self.conclude(attempt, end, state, goes_on=goes_on, was_slow=was_slow)

    def goes_on(self, attempt: Attempt, *, was_stopped: bool = False) -> bool:
        """Tells whether something of a sync job is still at work, which ends with this process."""
        left = ", ".join(leftovers.of_a_failure(self.threads, was_stopped=was_stopped))
        if left:
            self.guard.spoiled = True
            logger.error("job %s has ended and goes on here, which ends with this process: %s", attempt.result.id, left)
        return bool(left)

    def words_for(self, attempt: Attempt, reason: str, error: BaseException) -> outcome.Failure:
        """Returns what there is to say of a failure; bounded in time, in the main thread."""
        self.guard.was_slow = False
        with self.guard.patience():
            failure = outcome.Failure(attempt, reason, error)
        if self.guard.was_slow:
            # It may have been stopped in the middle of an answer.
            drop_connections()
        return failure

    def ask(self, attempt: Attempt, frame: bytes) -> dict[str, Any]:
        """Sends a frame and waits for the statements that answer it; raises WorkerGone."""
        self.script = None
        self.unsent += frame
        script = self._hear(lambda: self.script if self.script and self.script.startswith(attempt.key) else None)
        if script is None:
            raise WorkerGone
        self.script = None
        answer: dict[str, Any] = decode(script[KEY:].decode())
        return answer

    def settled(self, attempt: Attempt) -> str:
        """
        Waits until the worker says what has become of an end: in which state its job has ended.

        "" where nobody is to hear of it: the job goes on, or the database has not accepted the end.
        """
        state = self._hear(lambda: self.verdicts.get(attempt.key))
        if state is None:
            logger.error(NOT_HEARD, attempt.result.id, ANSWERED_WITHIN)
        self.verdicts.clear()
        return state or ""

    def _hear(self, answer: Callable[[], Answer | None]) -> Answer | None:
        """Sends what has been said and reads until there is an answer, for as long as the worker may take for it."""
        poll = select.poll()
        poll.register(self.descriptor, select.POLLIN)
        deadline = time.monotonic() + ANSWERED_WITHIN
        try:
            self.flush()
            while (heard := answer()) is None:
                if not poll.poll(max(0, deadline - time.monotonic()) * 1000):
                    return None
                self.receive_now()
        except OSError as error:
            raise WorkerGone from error
        return heard

    def fresh_context(self) -> contextvars.Context:
        """Returns the context for a job."""
        return self.hygiene.fresh_context()

    def restore(self) -> None:
        """Puts right what async jobs have changed of this process, none of which runs any more."""
        if not self.hygiene.put_back("an async task"):
            self.leave()

    def leave(self) -> None:
        """Says that this process runs nothing more than what has started: something was stopped half-way in it."""
        self.guard.spoiled = True
        if not self.is_leaving:
            self.is_leaving = True
            self.unsent += pack(LEAVING)

    def _retire(self) -> None:
        """Gives back what is left and ends: another process takes this one's place."""
        self._receive(socket.MSG_DONTWAIT)
        while self.queue:
            self._back(self.queue.popleft()[:KEY])
        self.quitting = True
