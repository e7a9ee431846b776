"""
Runs async jobs, many at a time, on this process's one event loop.

The runner's own loop comes here when the next job is async and takes over when none runs any more. Meanwhile the
socket is read by the event loop, and jobs start in the order they came; a sync job waits until it is first and alone.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from typing import Any, Protocol

from asgiref.sync import SyncToAsync, sync_to_async

from gristmill.enqueue.deadlines import inheriting
from gristmill.exceptions import Cancelled, TimedOut
from gristmill.runner import capture, outcome
from gristmill.runner.aftermath_async import Aftermath
from gristmill.runner.attempt import Attempt
from gristmill.runner.hygiene import drop_open_transactions, tidy_connections
from gristmill.runner.left_open import refuse_left_open
from gristmill.runner.limits import LONGEST, memory_reason
from gristmill.runner.progress import Context
from gristmill.runner.transactional import WorkerGone
from gristmill.runner.work import Work, watch
from gristmill.tasks.postpone import Postpone
from gristmill.values.failure import causes

logger = logging.getLogger("gristmill")

# Seconds for what finished jobs have left running to end, once it was asked to.
PATIENCE = 5
# Seconds for what a stopped job has under way to end: less than until the worker has the runner killed.
TIMEOUT_GRACE, CANCEL_GRACE = 1.5, 4
# Seconds after which people may want to know what a failed job still waits for.
SOON = 1


class Runner(Protocol):
    """What this needs of the runner."""

    descriptor: int
    unsent: bytes

    def receive_now(self) -> None:
        """Reads what lies in the socket; raises WorkerGone."""

    def next_async(self) -> Attempt | None:
        """Takes and starts the next job if that is an async one."""

    def words_for(self, attempt: Attempt, reason: str, error: BaseException) -> outcome.Failure:
        """Returns what there is to say of a failure."""

    def say_started(self, attempt: Attempt, *, prepares: bool = False) -> None:
        """Says that the job starts."""

    def flush(self) -> None:
        """Sends what has been said."""

    def leave(self) -> None:
        """Says that this process is to run nothing more than what has started."""

    def fresh_context(self) -> contextvars.Context:
        """Returns the context for a job."""

    def restore(self) -> None:
        """Puts right what async jobs have changed of this process, none of which runs any more."""

    def context_of(self, attempt: Attempt) -> Context:
        """Makes a handler's context."""


class EventLoop:
    """The event loop and the jobs on it."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.loop = asyncio.new_event_loop()
        watch(self.loop)
        self.running: dict[bytes, tuple[Attempt, asyncio.Task[None]]] = {}
        # Cancels of jobs that do not run: of the one about to start, or too late.
        self.cancelled: set[bytes] = set()
        self.gone: BaseException | None = None
        self.flushing = False
        # No job runs, and what they have left is being ended: nothing starts meanwhile, and nothing stops the loop.
        self.is_ending = False
        self.aftermath = Aftermath(self)

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
                self.loop.remove_reader(self.runner.descriptor)
                self.is_ending = True
                self._end_what_is_left()
        finally:
            self.is_ending = False
            self.loop.remove_reader(self.runner.descriptor)
        if self.gone:
            raise self.gone

    def cancel(self, key: bytes) -> None:
        """Ends a job that someone cancels, if it runs here."""
        if key in self.running:
            self._interrupt(self.running[key][0], Cancelled("someone cancelled this job while it ran"))
        else:
            self.cancelled.add(key)

    def settled(self, key: bytes, state: str) -> bool:
        """Hears what has become of an end; tells whether that is one of these."""
        return self.aftermath.settled(key, state)

    def _interrupt(self, attempt: Attempt, error: BaseException) -> None:
        if attempt.ending is None and attempt.key in self.running:
            attempt.ending = error
            # Before the handler's first instruction and after its last there is nothing to interrupt.
            if attempt.calling:
                self._stop(attempt, self.running[attempt.key][1])

    def _stop(self, attempt: Attempt, task: asyncio.Task[None]) -> None:
        if attempt.work.is_in_foreign_code(attempt.call.function, task.get_coro()):
            # Its neighbours finish, and nothing new starts here.
            self.runner.leave()
            self._guarded(self.runner.flush)
        attempt.work.stop(lambda: attempt.calling and task.cancel())

    def _readable(self) -> None:
        self._guarded(self.runner.receive_now)
        self._start()

    def _start(self) -> None:
        if self.is_ending:
            return
        self._guarded(self._start_all)
        if self.runner.unsent and not self.flushing:
            # What was given back, or never started.
            self._guarded(self.runner.flush)
        if not self.running or self.gone:
            self.loop.stop()

    def _start_all(self) -> None:
        while (attempt := self.runner.next_async()) is not None:
            attempt.record = capture.Record()
            attempt.record.job = attempt.request
            attempt.work = Work(self.loop)
            # Not in this one, which may be that of a job that has just ended.
            fresh = self.runner.fresh_context()
            self.running[attempt.key] = (attempt, fresh.run(self.loop.create_task, self._attempt(attempt)))
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
        result, record = attempt.result, attempt.record
        capture.begin(record)
        try:
            await self.aftermath.prepare(attempt)
            # What comes before the handler, and was perhaps cut off, is not the job's.
            attempt.work.begin()
            if record.used:
                record.clear()
            await self._run(attempt)
        except BaseException as error:
            # Ours, not the handler's; but whatever has started must end.
            logger.exception("job %s: the event loop failed it", result.id)
            if not attempt.is_said:
                self.say(attempt, outcome.Failure(attempt, "error", error).frame(None))
        del self.running[attempt.key]
        if SyncToAsync.single_thread_executor._threads:
            # Its connections are that thread's, and nothing else runs there meanwhile. A neighbour may come back to
            # the same one, with a cursor that it has opened there.
            is_shared = any(neighbour.work.shares for neighbour, _ in self.running.values())
            SyncToAsync.single_thread_executor.submit(tidy_connections, keep_usable=is_shared)
        if not self.flushing:
            # Ends that come together go together.
            self.flushing = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self.flushing = False
        self.flush()
        if not self.running:
            # Before the next one starts.
            self.runner.restore()
        self._start()

    def flush(self) -> None:
        """Sends what has been said."""
        self._guarded(self.runner.flush)

    def say(self, attempt: Attempt, end: bytes) -> None:
        """Says the frame that ends an attempt, after what has to come before it."""
        attempt.is_said = True
        self.runner.unsent += outcome.said_before(attempt, attempt.record) + end

    async def _run(self, attempt: Attempt) -> None:
        """Calls the handler, says how that ended, and tells Django."""
        reason = "error"
        try:
            left: set[tuple[int, str]] = set()
            try:
                value = await self._call(attempt)
            except Postpone as postpone:
                value = postpone
            finally:
                if attempt.work.left_open:
                    left = {*attempt.work.left_open}
                    # At once: as soon as this job's end is said, the next one may use the thread.
                    await sync_to_async(drop_open_transactions)(is_told=True)
            refuse_left_open(alias for _, alias in left)
            if isinstance(value, Postpone):
                raise value
            reason = "bad result"
            text, attempt.value = outcome.encoded(value, attempt)
            end = outcome.done(attempt, text)
        except BaseException as error:
            has_ended = await self._settle(attempt)
            if isinstance(error, Postpone) and not isinstance(attempt.ending, Cancelled):
                if (unknown := await self._unknown(attempt, error)) is None:
                    await self._conclude(attempt, outcome.postponed(attempt, error), None, has_ended)
                    return
                error = unknown
            # Within this block receivers find the exception.
            await self._fail(attempt, reason_for(error, attempt) or reason, error, has_ended)
            error.__traceback__ = None
        else:
            await self.aftermath.conclude(attempt, end, "successful")

    async def _fail(self, attempt: Attempt, reason: str, error: BaseException, has_ended: bool) -> None:
        failure = self.runner.words_for(attempt, reason, error)
        advice = None
        if failure.asks_its_task():
            # What is known counts, should nothing come of it.
            self.runner.unsent += outcome.said_so_far(attempt, attempt.record) + failure.frame(outcome.ASKED)
            self.flush()
            advice = await self.aftermath.call_back(attempt, "the task's backoff function", failure.ask)
        await self._conclude(attempt, failure.frame(advice), failure.state(advice), has_ended)

    async def _conclude(self, attempt: Attempt, end: bytes, state: str | None, has_ended: bool) -> None:
        if has_ended:
            await self.aftermath.conclude(attempt, end, state)
        else:
            # It ends with this process, where nobody hears of that.
            self.runner.unsent += outcome.leaving_with(attempt)
            self.say(attempt, end)

    async def _settle(self, attempt: Attempt) -> bool:
        """
        Waits until nothing of a failed job goes on, so that no other attempt starts beside it.

        False where something does not stop: then it is killed with this runner, and its end counts after that.
        """
        work = attempt.work
        work.cancel_tasks()
        if attempt.ending is not None:
            work.kill_processes()
            has_ended = await work.ended(CANCEL_GRACE if isinstance(attempt.ending, Cancelled) else TIMEOUT_GRACE)
        elif not (has_ended := await work.ended(SOON)):
            left = ", ".join(work.left())
            logger.warning("job %s has failed, and ends when what it has left does: %s", attempt.result.id, left)
            timeout = attempt.limits[0] if attempt.limits is not None else None
            has_ended = await work.ended(None if timeout is None else timeout + TIMEOUT_GRACE)
        work.end()
        if not has_ended:
            left = ", ".join(work.left())
            logger.error("job %s has ended and goes on here, which ends with this process: %s", attempt.result.id, left)
        return has_ended

    async def _unknown(self, attempt: Attempt, postpone: Postpone) -> BaseException | None:
        """Returns what is wrong with the jobs that a handler wants to wait for."""
        if postpone.after:
            try:
                await sync_to_async(outcome.refuse_unknown)(attempt, postpone)
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
            _, undone = self.loop.run_until_complete(asyncio.wait(left, timeout=PATIENCE))
        except BaseException:
            logger.exception("an asyncio task that an async job has left raised this")
            undone = {task for task in left if not task.done()}
        if undone:
            logger.error("%d of these asyncio tasks do not end, so this process does", len(undone))
            self.runner.leave()


def reason_for(error: BaseException, attempt: Attempt) -> str | None:
    """Says which limit an exception came from; None when it is the handler's own."""
    if isinstance(attempt.ending, Cancelled):
        return "cancelled"
    if attempt.ending is not None and any(link is attempt.ending for link in causes(error)):
        return "timeout"
    return memory_reason(error, attempt)
