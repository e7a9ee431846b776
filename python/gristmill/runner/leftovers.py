"""
What an ended handler has left at work, and what an interruption may have left half-done.

A runner cannot end a thread, and a client library that is stopped in the middle of an answer would give the rest of it
to the next job. So such a runner ends, and the worker puts a fresh one in its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import thread as executors
from types import CodeType, FrameType, TracebackType
from typing import Any

from asgiref.sync import AsyncToSync

from gristmill.runner.processes import children

# Where an idle thread of an executor waits for work.
IDLE: CodeType = executors._worker.__code__
# Seconds for threads that are about to be done, and for those that were asked to stop to clean up.
DONE_SOON = 0.5
CLEANING_UP = 1
# What a handler calls to tell of itself, and which is not interrupted in the middle of anything.
TELLING = "gristmill.runner.progress"
# What calls a handler.
CALLING = "gristmill.runner.limits"
# The modules of databases, and those in which they wait.
DATABASES = ("django.db.", "psycopg.", "psycopg2.", "sqlite3.")
WAITING = ("selectors", "threading", "contextlib")


def threads_at_work(patience: float = DONE_SOON) -> list[str]:
    """Names the threads that jobs have started and that work on; those of executors are fine while they wait."""
    until = time.monotonic() + patience
    while (names := _at_work()) and time.monotonic() < until:
        time.sleep(0.002)
    return names


def _at_work() -> list[str]:
    pooled = getattr(executors, "_threads_queues", {})
    others = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    in_executors = [thread for thread in others if thread in pooled]
    names = [thread.name for thread in others if not thread.daemon and thread not in pooled]
    if in_executors:
        frames = sys._current_frames()
        names += [
            thread.name for thread in in_executors if not _is_idle(frames.get(thread.ident or 0), pooled.get(thread))
        ]
    return sorted(names)


def _is_idle(frame: FrameType | None, waiting: Any) -> bool:
    # It may have been woken for what waits, and not have taken it up yet.
    return (frame is None or frame.f_code is IDLE) and (waiting is None or not waiting.qsize())


def of_a_failure(before: Collection[threading.Thread], *, was_stopped: bool) -> list[str]:
    """
    Names what of a sync handler goes on after it has failed: threads at work.

    After it was stopped, which asks what runs on its behalf to end too, also threads that are daemons, unless they were
    there before, and processes: they would have ended with it or been waited for.
    """
    if not was_stopped:
        return threads_at_work() if threading.active_count() > 1 else []
    for loop in list(AsyncToSync.loop_thread_executors):
        # An async function that the handler waits for, in a thread of its own.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_cancel_all, loop)
    left = threads_at_work(CLEANING_UP)
    pooled = getattr(executors, "_threads_queues", {})
    known = {*before, threading.main_thread()}
    daemons = [each.name for each in threading.enumerate() if each.daemon and each not in known and each not in pooled]
    return [*left, *sorted(daemons), *(f"process {pid}" for pid in children(dead=False))]


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()


def is_in_foreign_code(frame: FrameType | None, handler: Callable[..., Any] | None) -> bool:
    """
    Tells whether an interruption at this frame is one of code that the handler has called, which may be half done.

    The handler's own code knows what is raised in it, and can put things right. Of the database, it is as if it had
    refused; its connections are dropped after the job.
    """
    own = codes_of(handler)
    callee = None
    has_passed_waiting = False
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if frame.f_code in own:
            return callee is not None and callee.f_globals.get("__name__") != TELLING
        if not has_passed_waiting and name.startswith(DATABASES):
            return False
        if name == CALLING:
            # Before the handler's first instruction, or in what the project has put around it.
            return callee is not None
        has_passed_waiting |= name not in WAITING
        callee, frame = frame, frame.f_back
    return True


def is_raised_in_foreign_code(trace: TracebackType | None, handler: Callable[..., Any]) -> bool:
    """The same of an exception that has come out of the handler."""
    last = trace
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return last is None or is_in_foreign_code(last.tb_frame, handler)


def codes_of(function: Any) -> set[CodeType]:
    """Returns the code of a function, of those that it wraps, and of what is defined inside them."""
    found: set[CodeType] = set()
    wrapped: set[int] = set()
    while function is not None and id(function) not in wrapped:
        wrapped.add(id(function))
        open_codes = [code] if isinstance(code := getattr(function, "__code__", None), CodeType) else []
        while open_codes:
            code = open_codes.pop()
            found.add(code)
            open_codes += [const for const in code.co_consts if isinstance(const, CodeType)]
        function = getattr(function, "__wrapped__", None)
    return found
