"""
What an async job has under way beside its handler: calls in threads, and asyncio tasks.

A handler that is cancelled leaves them behind: `sync_to_async` returns at once, and its function goes on in its thread.
An attempt ends when all of it has ended, so that the next one does not start beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from types import CodeType
from typing import Any

import asgiref
import django.db
from asgiref.current_thread_executor import CurrentThreadExecutor
from asgiref.sync import SyncToAsync

from gristmill.runner.hygiene import left_open_here
from gristmill.runner.leftovers import codes_of
from gristmill.runner.queries import has_query, stop_queries_of

# Executors whose functions are called in threads of this process, as they are.
THREADED = (ThreadPoolExecutor, CurrentThreadExecutor)
# Of coroutines, generators and async generators: their code, and what they wait for.
CODES = ("cr_code", "gi_code", "ag_code")
AWAITED = ("cr_await", "gi_yieldfrom", "ag_await")
# What waits for others and is made to be cancelled. Not the streams of asyncio: what was read of one would be lost.
MADE_FOR_IT = (
    *(
        f"{asyncio.__path__[0]}{os.sep}{name}.py"
        for name in ("futures", "locks", "queues", "taskgroups", "tasks", "threads", "timeouts")
    ),
    f"{asgiref.__path__[0]}{os.sep}sync.py",
    f"{django.db.__path__[0]}{os.sep}",
)

_work: ContextVar[Work | None] = ContextVar("gristmill_work", default=None)


class Call:
    """A function that is called in a thread, or waits for one."""

    def __init__(self, work: Work, function: Callable[..., Any]) -> None:
        self.work = work
        self.function = function
        # Held while its query is ended: a thread must not go on to another job's meanwhile.
        self.lock = threading.Lock()
        self.thread: int | None = None

    def __call__(self, *args: Any) -> Any:
        """Calls it, in the thread that it is given to."""
        with self.lock:
            if self.work.is_over:
                raise asyncio.CancelledError("the job that wanted this has ended")
            self.thread = threading.get_ident()
            self.work.calls.add(self)
        before = left_open_here()
        try:
            return self.function(*args)
        finally:
            # What one call opens, another one of the same job may close.
            after = left_open_here()
            self.work.left_open |= {(self.thread, alias) for alias in after - before}
            self.work.left_open -= {(self.thread, alias) for alias in before - after}
            with self.lock:
                self.thread = None
                self.work.calls.discard(self)
            self.work.tell_from_a_thread()

    def has_query(self) -> bool:
        """Tells whether its thread waits for the database."""
        return self.thread is not None and has_query(self.thread)


class Work:
    """All that one async job has under way."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.calls: set[Call] = set()
        self.tasks: set[asyncio.Task[Any]] = set()
        self.processes: list[asyncio.SubprocessTransport] = []
        # Where its calls have left a transaction open: in which thread, on which database.
        self.left_open: set[tuple[int, str]] = set()
        # It has used the thread that all sync code shares, where it may have a cursor open.
        self.shares = False
        # It has failed, and nothing of it may start any more.
        self.is_over = False
        self._waiter: asyncio.Future[None] | None = None
        self._is_late = False

    def begin(self) -> None:
        """Has what is started in this context, and in those made from it, be this job's."""
        _work.set(self)

    def end(self) -> None:
        """Has nothing of it start any more; what this task itself does from here on is not the job's."""
        self.is_over = True
        _work.set(None)

    def left(self) -> list[str]:
        """Names what has not ended."""
        tasks = [task for task in self.tasks if not task.done() and task is not asyncio.current_task(self.loop)]
        return sorted([*map(name_of, tasks), *(name_of_call(call.function) for call in list(self.calls))])

    def cancel_tasks(self) -> None:
        """Asks all asyncio tasks of it to end."""
        for task in [*self.tasks]:
            if not task.done():
                task.cancel()

    def kill_processes(self) -> None:
        """Kills the processes that it has started through the loop, and that still run."""
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                if process.get_returncode() is None:
                    process.kill()

    async def ended(self, within: float | None) -> bool:
        """Waits until nothing of it is left; False when that takes longer than so many seconds."""
        timer = None if within is None else self.loop.call_later(within, self._time_is_over)
        self._is_late = False
        try:
            while True:
                # First, so that a thread whose call ends after the look finds whom to tell.
                self._waiter = self.loop.create_future()
                if not self.left():
                    return True
                if self._is_late:
                    return False
                await self._waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def stop(self, cancel: Callable[[], Any]) -> None:
        """Cancels its handler, once what its calls ask of the database has been ended on the server."""
        if any(call.has_query() for call in list(self.calls)):
            # The loop, with the neighbours, does not wait for a server's answer.
            stopper = threading.Thread(target=self._stop, args=(cancel,), name="gristmill-stop", daemon=True)
            with contextlib.suppress(RuntimeError):
                stopper.start()
                return
        cancel()

    def _stop(self, cancel: Callable[[], Any]) -> None:
        with contextlib.ExitStack() as held:
            for call in list(self.calls):
                held.enter_context(call.lock)
                if call.thread is not None:
                    stop_queries_of(call.thread)
            # Before the calls can tell the handler what has become of them.
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(cancel)

    def is_in_foreign_code(self, handler: Callable[..., Any], coroutine: Any) -> bool:
        """
        Tells whether a cancellation now is one of code that the handler has called, in this task or another one.

        What it has called in threads goes on, and does not count.
        """
        own = codes_of(handler)
        others = [task.get_coro() for task in self.tasks if not task.done()]
        return awaits_foreign_code(coroutine, own, True) or any(
            awaits_foreign_code(each, own, False) for each in others
        )

    def tell_from_a_thread(self) -> None:
        """Has the loop see that something has ended."""
        if self._waiter is not None:
            # It fails where the loop is closed, and nobody waits any more.
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._tell)

    def _time_is_over(self) -> None:
        self._is_late = True
        self._tell()

    def _tell(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _add(self, task: asyncio.Task[Any]) -> None:
        self.tasks.add(task)
        task.add_done_callback(self._remove)

    def _remove(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        self._tell()


def watch(loop: asyncio.AbstractEventLoop) -> None:
    """Has a loop notice whose tasks and calls are started on it."""
    run_in_executor = loop.run_in_executor

    def run(executor: Any, function: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        work = _work.get()
        if work is None or not (executor is None or type(executor) in THREADED):
            return run_in_executor(executor, function, *args)
        call = Call(work, function)
        work.calls.add(call)
        work.shares |= executor is SyncToAsync.single_thread_executor
        try:
            future: asyncio.Future[Any] = run_in_executor(executor, call, *args)
        except BaseException:
            work.calls.discard(call)
            raise
        future.add_done_callback(functools.partial(forget, call))
        return future

    def make_task(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **kwargs: Any) -> Any:
        task = asyncio.Task(coroutine, loop=loop, **kwargs)
        work = _work.get()
        if work is not None and not work.is_over:
            work._add(task)
        return task

    def keep_process(spawn: Any) -> Any:
        async def spawn_and_keep(*args: Any, **kwargs: Any) -> Any:
            transport, protocol = await spawn(*args, **kwargs)
            if (work := _work.get()) is not None:
                work.processes.append(transport)
            return transport, protocol

        return spawn_and_keep

    changed: Any = loop
    changed.run_in_executor = run
    changed.subprocess_exec = keep_process(loop.subprocess_exec)
    changed.subprocess_shell = keep_process(loop.subprocess_shell)
    loop.set_task_factory(make_task)


def forget(call: Call, future: asyncio.Future[Any]) -> None:
    """Forgets a call that was cancelled before a thread had taken it up."""
    if call.thread is None and call in call.work.calls:
        call.work.calls.discard(call)
        call.work._tell()


def awaits_foreign_code(coroutine: Any, own: set[CodeType], is_within: bool) -> bool:
    """
    Tells whether a coroutine waits in code that is neither a handler's nor asyncio's own for waiting.

    `is_within` says that it is the handler's caller: then what comes before the handler is left out.
    """
    codes: list[CodeType] = []
    while (code := next((found for name in CODES if (found := getattr(coroutine, name, None))), None)) is not None:
        if code in own:
            codes, is_within = [], False
        else:
            codes.append(code)
        coroutine = next((found for name in AWAITED if (found := getattr(coroutine, name, None)) is not None), None)
    # It ends with a future; with an async generator nobody can say what that waits for.
    ends_in_a_future = coroutine is None or type(coroutine).__name__ == "FutureIter"
    return is_within or not ends_in_a_future or not all(code.co_filename.startswith(MADE_FOR_IT) for code in codes)


def name_of(task: asyncio.Task[Any]) -> str:
    """Names an asyncio task for people."""
    return str(getattr(task.get_coro(), "__qualname__", task.get_name()))


def name_of_call(function: Any) -> str:
    """Names a function for people; asgiref's wrapping is taken off."""
    while isinstance(function, functools.partial):
        inner = [each for each in function.args if isinstance(each, functools.partial)]
        function = inner[-1] if inner else function.func
    return str(getattr(function, "__qualname__", None) or type(function).__qualname__)
