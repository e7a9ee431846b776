"""`task` and `options`: how a function becomes a task, and how its jobs are run."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, Protocol, TypeVar, overload

from gristmill import compat
from gristmill.compat import InvalidTask, task_backends
from gristmill.tasks import registry
from gristmill.tasks.options import ATTRIBUTE, NOTHING, OptionsOfTasks, given_to, options_under
from gristmill.tasks.task import Task

if TYPE_CHECKING:
    from typing_extensions import Unpack

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


class Decorator(Protocol):
    """What `@task(…)` is: a task returns what its function does, an async one what awaiting that gives."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R]: ...


class DecoratorWithContext(Protocol):
    """The same of functions whose first argument is the context, which no caller gives."""

    @overload
    def __call__(self, function: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Any, P], R], /) -> Task[P, R]: ...


@overload
def task(function: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(
    *,
    takes_context: Literal[True],
    priority: int = ...,
    queue_name: str = ...,
    backend: str = ...,
    **options: Unpack[OptionsOfTasks],
) -> DecoratorWithContext: ...
@overload
def task(
    *,
    takes_context: Literal[False] = False,
    priority: int = ...,
    queue_name: str = ...,
    backend: str = ...,
    **options: Unpack[OptionsOfTasks],
) -> Decorator: ...


def task(
    function: Callable[..., Any] | None = None,
    /,
    *,
    priority: int = 0,
    queue_name: str = "default",
    backend: str = "default",
    takes_context: bool = False,
    **options: Unpack[OptionsOfTasks],
) -> Any:
    """
    Makes a function a task, bare (`@task`) or with options: Django's decorator, on every Django, with types.

    docs/guides/options.md says what each option means. Raises InvalidTask, naming the task and the option, for a
    wrong one. Where the alias `backend` is not one of Gristmill's backends, the options have no effect.
    """
    given = given_to("task", options)

    def decorate(function: Callable[..., Any]) -> Any:
        kind = task_backends[backend].task_class
        django: dict[str, Any] = {
            "priority": priority,
            "queue_name": queue_name,
            "backend": backend,
            "takes_context": takes_context,
        }
        if issubclass(kind, Task):
            return kind(func=function, **django, **given)
        if options_under(function).changed(given, path_of(function)) != NOTHING:
            registry.without_effect.setdefault(backend, []).append(path_of(function))
        return compat.task(**django)(function)

    return decorate if function is None else decorate(function)


def options(**options: Unpack[OptionsOfTasks]) -> Callable[[F], F]:
    """
    Gives options to a function below Django's own `@task`, on every Django.

    Priority, queue and the rest that Django's decorator knows belong to it. Raises InvalidTask, naming the task and
    the option, for a wrong one.
    """
    given = given_to("task", options)

    def decorate(function: F) -> F:
        if isinstance(function, compat.Task):
            raise InvalidTask(f"{function.module_path}: gristmill.options(…) goes below @task, next to the function")
        setattr(function, ATTRIBUTE, options_under(function).changed(given, path_of(function)))
        return function

    return decorate


def path_of(function: Callable[..., Any]) -> str:
    """Returns the path by which errors name a function."""
    return f"{function.__module__}.{getattr(function, '__qualname__', type(function).__qualname__)}"


__all__ = ["options", "task"]
