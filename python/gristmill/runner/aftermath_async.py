"""
What is called besides the handler of an async job: the same as `gristmill.runner.aftermath`, beside other jobs.

Receivers and backoff functions run in the thread for code that is not async, so that the event loop does not wait for
them. A thread cannot be interrupted: one that is cut off is left behind, with its process as soon as its jobs are done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol, TypeVar

from asgiref.sync import SyncToAsync, sync_to_async

from gristmill.compat import task_finished, task_started
from gristmill.runner import outcome
from gristmill.runner.aftermath import ANSWERED_WITHIN, LINGERS, NOT_HEARD, RESTED, level_of, logger, tell_cut_off
from gristmill.runner.attempt import Attempt
from gristmill.runner.frame import pack_job
from gristmill.runner.limits import TookTooLong
from gristmill.runner.signals import PROMPT, RECEIVERS, announce, listeners

Value = TypeVar("Value")


class Loop(Protocol):
    """What this needs of the event loop."""

    runner: Any
    loop: asyncio.AbstractEventLoop

    def say(self, attempt: Attempt, end: bytes) -> None:
        """Says the frame that ends an attempt."""

    def flush(self) -> None:
        """Sends what has been said."""


class Aftermath:
    """Of the jobs of one event loop."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        # Ends that were asked about, by the job's key.
        self.asked: dict[bytes, asyncio.Future[str]] = {}

    def settled(self, key: bytes, state: str) -> bool:
        """Hears what has become of an end; tells whether that is one of these."""
        asked = self.asked.get(key)
        if asked is not None and not asked.done():
            asked.set_result(state)
        return asked is not None

    async def prepare(self, attempt: Attempt) -> None:
        """Does what comes before the handler; says that the job starts once more where that may have taken time."""
        started = partial(announce, task_started, attempt.call.sender, attempt.result)
        if not attempt.prepares:
            started()
            return
        runner = self.loop.runner
        if attempt.asks_for_its_past:
            await self.call_back(attempt, "reading its past", attempt.learn_its_past)
            runner.say_started(attempt, prepares=True)
        await self.call_back(attempt, "receivers of task_started", started)
        runner.say_started(attempt)

    async def conclude(self, attempt: Attempt, end: bytes, state: str | None) -> None:
        """Sends the end of an attempt; then calls whom it concerns."""
        listening = listeners(task_finished, level_of(state))
        asks = listening == RECEIVERS
        tell = partial(announce, task_finished, attempt.call.sender, attempt.result)
        if listening == PROMPT:
            self.loop.say(attempt, end)
            if state:
                outcome.finish(attempt, state)
                tell()
            return
        if not asks and not state:
            self.loop.say(attempt, end)
            return
        self.loop.say(attempt, pack_job(LINGERS, attempt.job, attempt.token, b"?" if asks else b"") + end)
        self.loop.flush()
        try:
            if asks:
                state = await self._what_became_of(attempt)
            if state:
                outcome.finish(attempt, state)
                await self.call_back(attempt, "receivers of task_finished", tell)
        finally:
            self.loop.runner.unsent += pack_job(RESTED, attempt.job, attempt.token)

    async def _what_became_of(self, attempt: Attempt) -> str:
        asked = self.asked[attempt.key] = self.loop.loop.create_future()
        try:
            return await asyncio.wait_for(asked, ANSWERED_WITHIN)
        except asyncio.TimeoutError:
            logger.error(NOT_HEARD, attempt.result.id, ANSWERED_WITHIN)
            return ""
        finally:
            del self.asked[attempt.key]

    async def call_back(self, attempt: Attempt, what: str, function: Callable[[], Value]) -> Value | None:
        """Calls something that is not a handler, and leaves it when its time is over: None then, and it is told."""
        seconds = attempt.call.callback_timeout
        cut_off = TookTooLong()
        task = asyncio.current_task()
        assert task is not None
        over = False

        def end() -> None:
            nonlocal over
            over = True
            task.cancel()

        timer = self.loop.loop.call_later(seconds, end)
        try:
            return await sync_to_async(function)()
        except asyncio.CancelledError:
            if not over:
                raise
            tell_cut_off(attempt, what, seconds, cut_off)
            # Whatever else is not async would wait behind it.
            SyncToAsync.single_thread_executor = ThreadPoolExecutor(max_workers=1)
            # Its neighbours finish, and nothing new starts here.
            self.loop.runner.leave()
            self.loop.flush()
            return None
        finally:
            timer.cancel()
