"""
Runs async jobs, many at a time, on this process's one event loop.

The runner's own loop comes here when the next job is async and takes over when none runs any more. Meanwhile the
socket is read by the event loop, and jobs start in the order they came; a sync job waits until it is first and alone.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Protocol

from asgiref.sync import SyncToAsync, sync_to_async

from gristmill.compat import task_finished, task_started
from gristmill.deadlines import inheriting
from gristmill.exceptions import Cancelled, TimedOut
from gristmill.failure import causes
from gristmill.postpone import Postpone
from gristmill.running import capture, ends
from gristmill.running.attempt import Attempt
from gristmill.running.hygiene import tidy_connections
from gristmill.running.limits import LONGEST, memory_reason
from gristmill.running.progress import Context
from gristmill.running.signals import announce_async
from gristmill.running.transactional import WorkerGone

logger = logging.getLogger("gristmill")

# Seconds for what finished jobs have left running to end.
PATIENCE = 1


class Runner(Protocol):
    """What this needs of the runner."""

    descriptor: int
    unsent: bytes

    def receive_now(self) -> None:
        """Reads what lies in the socket; raises WorkerGone."""

    def next_async(self) -> Attempt | None:
        """Takes and starts the next job if that is an async one."""

    def words_for(self, attempt: Attempt, reason: str, error: BaseException) -> tuple[bytes, bool]:
        """Returns the frame of a failure, and whether no retry follows."""

    def flush(self) -> None:
        """Sends what has been said."""

    def context_of(self, attempt: Attempt) -> Context:
        """Makes a handler's context."""


class EventLoop:
    """The event loop and the jobs on it."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.loop = asyncio.new_event_loop()
        self.running: dict[bytes, tuple[Attempt, asyncio.Task[None]]] = {}
        # Cancels of jobs that do not run: of the one about to start, or too late.
        self.cancelled: set[bytes] = set()
        self.gone: BaseException | None = None
        self.flushing = False

    def run(self) -> None:
        """Runs async jobs as they come until none runs; raises WorkerGone."""
        self.loop.add_reader(self.runner.descriptor, self._readable)
        try:
            self._start()
            while self.running and not self.gone:
                try:
                    self.loop.run_forever()
                except BaseException:
                    # SystemExit in a task that a handler has started, for one.
                    logger.exception("an async job raised this into the event loop")
            if not self.gone:
                self._end_what_is_left()
        finally:
            self.loop.remove_reader(self.runner.descriptor)
        if self.gone:
            raise self.gone

    def cancel(self, key: bytes) -> None:
        """Ends a job that someone cancels, if it runs here."""
        if key in self.running:
            self._interrupt(self.running[key][0], Cancelled("someone cancelled this job while it ran"))
        else:
            self.cancelled.add(key)

    def _interrupt(self, attempt: Attempt, error: BaseException) -> None:
        if attempt.ending is None and attempt.key in self.running:
            attempt.ending = error
            # Before the handler's first instruction and after its last there is nothing to interrupt.
            if attempt.calling:
                self.running[attempt.key][1].cancel()

    def _readable(self) -> None:
        self._guarded(self.runner.receive_now)
        self._start()

    def _start(self) -> None:
        self._guarded(self._start_all)
        if self.runner.unsent and not self.flushing:
            # What was given back, or never started.
            self._guarded(self.runner.flush)
        if not self.running or self.gone:
            self.loop.stop()

    def _start_all(self) -> None:
        while (attempt := self.runner.next_async()) is not None:
            attempt.record = capture.Record()
            self.running[attempt.key] = (attempt, self.loop.create_task(self._attempt(attempt)))
            cancelled, self.cancelled = self.cancelled, set()
            if attempt.key in cancelled:
                self.cancel(attempt.key)

    def _guarded(self, step: Any) -> None:
        try:
            step()
        except (WorkerGone, OSError) as error:
            self.gone = error
            self.loop.stop()

    async def _attempt(self, attempt: Attempt) -> None:
        call, result, record = attempt.call, attempt.result, attempt.record
        capture.begin(record)
        try:
            if attempt.asks_for_its_past:
                await sync_to_async(attempt.learn_its_past)()
            await announce_async(task_started, call.sender, result)
            if record.used:
                record.clear()
            await self._run(attempt)
        except BaseException as error:
            # Ours, not the handler's; but whatever has started must end.
            logger.exception("job %s: the event loop failed it", result.id)
            if not attempt.is_said:
                self._say(attempt, ends.fail(attempt, "error", error)[0])
        del self.running[attempt.key]
        if SyncToAsync.single_thread_executor._threads:
            # Its connections are that thread's, and nothing else runs there meanwhile.
            SyncToAsync.single_thread_executor.submit(tidy_connections)
        if not self.flushing:
            # Ends that come together go together.
            self.flushing = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self.flushing = False
        self._guarded(self.runner.flush)
        self._start()

    def _say(self, attempt: Attempt, end: bytes) -> None:
        attempt.is_said = True
        self.runner.unsent += ends.said_before(attempt, attempt.record) + end

    async def _run(self, attempt: Attempt) -> None:
        """Calls the handler, says how that ended, and tells Django."""
        call, result = attempt.call, attempt.result
        reason = "error"
        try:
            value = await self._call(attempt)
            if isinstance(value, Postpone):
                raise value
            reason = "bad result"
            text, value = ends.encoded(value, attempt)
            end = ends.done(attempt, text)
        except BaseException as error:
            if isinstance(error, Postpone) and not isinstance(attempt.ending, Cancelled):
                if (unknown := await self._unknown(attempt, error)) is None:
                    self._say(attempt, ends.postponed(attempt, error))
                    return
                error = unknown
            reason = reason_for(error, attempt) or reason
            if asks_its_task(attempt):
                end, final = await sync_to_async(ends.fail)(attempt, reason, error)
            else:
                end, final = self.runner.words_for(attempt, reason, error)
            self._say(attempt, end)
            if final:
                # Sent here, where Django's own receiver finds the exception for the log.
                await announce_async(task_finished, call.sender, result)
            error.__traceback__ = None
        else:
            self._say(attempt, end)
            ends.succeed(attempt, value)
            await announce_async(task_finished, call.sender, result)

    async def _unknown(self, attempt: Attempt, postpone: Postpone) -> BaseException | None:
        """Returns what is wrong with the jobs that a handler wants to wait for."""
        if postpone.after:
            try:
                await sync_to_async(ends.refuse_unknown)(attempt, postpone)
            except Exception as error:
                return error
        return None

    async def _call(self, attempt: Attempt) -> Any:
        call, result = attempt.call, attempt.result
        first = (self.runner.context_of(attempt),) if call.task.takes_context else ()
        timer = None
        if attempt.limits is not None and attempt.limits[0]:
            late = TimedOut(f"it ran longer than its timeout of {attempt.limits[0]:g} s")
            timer = self.loop.call_later(min(attempt.limits[0], LONGEST), self._interrupt, attempt, late)
        try:
            if attempt.ending is not None:
                raise attempt.ending
            attempt.calling = True
            with inheriting(attempt.deadline):
                if call.around_async is not None:
                    context = first[0] if first else self.runner.context_of(attempt)
                    return await call.around_async(context, result.args, result.kwargs)
                return await call.function(*first, *result.args, **result.kwargs)
        except asyncio.CancelledError as error:
            if attempt.ending is not None:
                raise attempt.ending from error
            raise
        finally:
            attempt.calling = False
            if timer is not None:
                timer.cancel()

    def _end_what_is_left(self) -> None:
        """Ends the asyncio tasks that jobs have started and not waited for: nothing would drive them from here on."""
        left = asyncio.all_tasks(self.loop)
        if not left:
            return
        logger.warning(
            "async jobs left %d asyncio tasks running, which end with them: %s",
            len(left),
            ", ".join(sorted(str(getattr(task.get_coro(), "__qualname__", task.get_name())) for task in left)[:10]),
        )
        for task in left:
            task.cancel()
        try:
            self.loop.run_until_complete(asyncio.wait(left, timeout=PATIENCE))
        except BaseException:
            logger.exception("an asyncio task that an async job has left raised this")


def reason_for(error: BaseException, attempt: Attempt) -> str | None:
    """Says which limit an exception came from; None when it is the handler's own."""
    if isinstance(attempt.ending, Cancelled):
        return "cancelled"
    if attempt.ending is not None and any(link is attempt.ending for link in causes(error)):
        return "timeout"
    return memory_reason(error, attempt)


def asks_its_task(attempt: Attempt) -> bool:
    """Tells whether a failure is told to the task's own backoff function, which may use the database."""
    backoff = (attempt.options or {}).get("backoff")
    return isinstance(backoff, dict) and backoff.get("kind") == "callable"
