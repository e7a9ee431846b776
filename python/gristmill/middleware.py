"""
What a project puts around every enqueue and every run: OPTIONS["ENQUEUE_MIDDLEWARE"] and OPTIONS["RUN_MIDDLEWARE"].

Lists of dotted paths, the first one outermost. Each names a function that is called once in a process, with what it is
around (for runs once more with async handlers):

    def timed(next):
        def call(context, args, kwargs):
            began = time.monotonic()
            try:
                return next(context, args, kwargs)
            finally:
                log(context.task_result.task.name, time.monotonic() - began)
        return call

Around an enqueue `call` takes (task, args, kwargs) and returns the result; around a run it takes (context, args,
kwargs) and returns what the handler does. Around an async handler `next` is a coroutine function, which
`inspect.iscoroutinefunction` tells, and `call` may be one too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from inspect import isawaitable, iscoroutinefunction
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

if TYPE_CHECKING:
    from typing import TypeAlias

    #: (task, args, kwargs) or (context, args, kwargs).
    Call: TypeAlias = Callable[[Any, Any, Any], Any]

ENQUEUE, RUN = "ENQUEUE_MIDDLEWARE", "RUN_MIDDLEWARE"


def around(alias: str, options: Mapping[str, Any], name: str, innermost: Call) -> Call | None:
    """
    Returns the outermost of an option's middleware; None where there is none.

    Raises ImproperlyConfigured, naming the option, for what cannot be imported or called.
    """
    paths = options.get(name) or ()
    if not paths:
        return None
    for sentence in path_errors(paths):
        raise ImproperlyConfigured(f"TASKS['{alias}']['OPTIONS']['{name}'] {sentence}")
    call = innermost
    for path in reversed(paths):
        made = import_string(path)(call)
        if not callable(made):
            raise ImproperlyConfigured(
                f"TASKS['{alias}']['OPTIONS']['{name}']: {path} must return a function, not {made!r:.100}"
            )
        call = awaiting(made) if iscoroutinefunction(innermost) and not iscoroutinefunction(made) else made
    return call


def path_errors(paths: Any) -> Iterator[str]:
    """Yields one sentence for each thing that is wrong with a list of middleware."""
    if not isinstance(paths, (list, tuple)) or not all(isinstance(path, str) for path in paths):
        yield f"must be a list of dotted paths, not {paths!r:.200}"
        return
    for path in paths:
        try:
            found = import_string(path)
        except ImportError as error:
            yield f"names {path!r}, which cannot be imported: {error}"
            continue
        if not callable(found):
            yield f"names {path!r}, which is not a function"


def handled(context: Any, args: Any, kwargs: Any) -> Any:
    """Calls the handler of a context's job: the innermost of a run; an async one is driven to its end."""
    task = context.task_result.task
    first = (context,) if task.takes_context else ()
    return task.call(*first, *args, **kwargs)


async def handled_async(context: Any, args: Any, kwargs: Any) -> Any:
    """Awaits the handler of a context's job: the innermost of an async run."""
    task = context.task_result.task
    first = (context,) if task.takes_context else ()
    return await task.func(*first, *args, **kwargs)


def through(call: Call) -> Callable[..., Any]:
    """Returns middleware as a handler that takes a context is called."""

    def run(context: Any, /, *args: Any, **kwargs: Any) -> Any:
        return call(context, list(args), kwargs)

    return run


def awaiting(call: Call) -> Call:
    """Returns middleware that is not async itself as what is around it, and around an async handler, expects."""

    async def run(context: Any, args: Any, kwargs: Any) -> Any:
        value = call(context, args, kwargs)
        return await value if isawaitable(value) else value

    return run
