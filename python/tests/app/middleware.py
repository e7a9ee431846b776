"""Middleware that the tests put around enqueues and runs."""

from __future__ import annotations

import contextlib
from inspect import iscoroutinefunction
from typing import Any

#: What went through it.
seen: list[Any] = []
made: list[str] = []


def outer(next):
    made.append("outer")

    def call(what, args, kwargs):
        seen.append("outer in")
        try:
            return next(what, [*args, "outer"], kwargs)
        finally:
            seen.append("outer out")

    return call


def inner(next):
    made.append("inner")

    def call(what, args, kwargs):
        seen.append(("inner", args))
        return next(what, [*args, "inner"], {**kwargs, "more": True})

    return call


def watching(next):
    """Is async around async handlers, and sync around others."""

    def call(context, args, kwargs):
        seen.append((context.task_result.task.name, args, kwargs))
        return next(context, args, kwargs)

    async def call_async(context, args, kwargs):
        seen.append((context.task_result.task.name, args, kwargs))
        try:
            return await next(context, args, kwargs)
        finally:
            seen.append("out")

    return call_async if iscoroutinefunction(next) else call


def turning_errors(next):
    def call(context, args, kwargs):
        with contextlib.suppress(ZeroDivisionError):
            return next(context, args, kwargs)
        return "infinite"

    return call


def urgent(next):
    def call(task, args, kwargs):
        return next(task.using(priority=77), args, kwargs)

    return call


def nothing(next):
    return None


not_a_function = 7
