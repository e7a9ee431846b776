"""`task` and `options`: how a function becomes a task, and how its jobs are run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, overload

from gristmill import compat
from gristmill.compat import InvalidTask, task_backends
from gristmill.preconditions import AfterMode, OnFailure
from gristmill.retries import Backoff
from gristmill.task_options import (
    ATTRIBUTE,
    NOT_GIVEN,
    ExceptionClasses,
    NotGiven,
    OnCrash,
    Seconds,
    options_under,
)
from gristmill.tasks import Task
from gristmill.uniqueness import Unique

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(
    *,
    takes_context: Literal[True],
    priority: int = ...,
    queue_name: str = ...,
    backend: str = ...,
    name: str | NotGiven = ...,
    aliases: Sequence[str] | NotGiven = ...,
    expires: Seconds | datetime | NotGiven | None = ...,
    max_attempts: int | NotGiven | None = ...,
    backoff: Backoff | NotGiven = ...,
    retry_on: ExceptionClasses | NotGiven | None = ...,
    on_crash: OnCrash | NotGiven = ...,
    timeout: Seconds | NotGiven | None = ...,
    max_memory_mb: int | NotGiven | None = ...,
    unique: bool | Unique | NotGiven | None = ...,
    transactional: bool | str | NotGiven = ...,
    deadline: Seconds | datetime | NotGiven | None = ...,
    retention: Seconds | NotGiven | None = ...,
    max_postpones: int | NotGiven | None = ...,
    postpone_delay: Seconds | NotGiven = ...,
    after_mode: AfterMode | NotGiven = ...,
    on_precondition_failure: OnFailure | NotGiven = ...,
    hold: bool | NotGiven = ...,
    schedulable: bool | NotGiven = ...,
) -> Callable[[Callable[Concatenate[Any, P], R]], Task[P, R]]: ...
@overload
def task(
    *,
    takes_context: Literal[False] = False,
    priority: int = ...,
    queue_name: str = ...,
    backend: str = ...,
    name: str | NotGiven = ...,
    aliases: Sequence[str] | NotGiven = ...,
    expires: Seconds | datetime | NotGiven | None = ...,
    max_attempts: int | NotGiven | None = ...,
    backoff: Backoff | NotGiven = ...,
    retry_on: ExceptionClasses | NotGiven | None = ...,
    on_crash: OnCrash | NotGiven = ...,
    timeout: Seconds | NotGiven | None = ...,
    max_memory_mb: int | NotGiven | None = ...,
    unique: bool | Unique | NotGiven | None = ...,
    transactional: bool | str | NotGiven = ...,
    deadline: Seconds | datetime | NotGiven | None = ...,
    retention: Seconds | NotGiven | None = ...,
    max_postpones: int | NotGiven | None = ...,
    postpone_delay: Seconds | NotGiven = ...,
    after_mode: AfterMode | NotGiven = ...,
    on_precondition_failure: OnFailure | NotGiven = ...,
    hold: bool | NotGiven = ...,
    schedulable: bool | NotGiven = ...,
) -> Callable[[Callable[P, R]], Task[P, R]]: ...


def task(
    function: Callable[..., Any] | None = None,
    /,
    *,
    priority: int = 0,
    queue_name: str = "default",
    backend: str = "default",
    takes_context: bool = False,
    name: str | NotGiven = NOT_GIVEN,
    aliases: Sequence[str] | NotGiven = NOT_GIVEN,
    expires: Seconds | datetime | NotGiven | None = NOT_GIVEN,
    max_attempts: int | NotGiven | None = NOT_GIVEN,
    backoff: Backoff | NotGiven = NOT_GIVEN,
    retry_on: ExceptionClasses | NotGiven | None = NOT_GIVEN,
    on_crash: OnCrash | NotGiven = NOT_GIVEN,
    timeout: Seconds | NotGiven | None = NOT_GIVEN,
    max_memory_mb: int | NotGiven | None = NOT_GIVEN,
    unique: bool | Unique | NotGiven | None = NOT_GIVEN,
    transactional: bool | str | NotGiven = NOT_GIVEN,
    deadline: Seconds | datetime | NotGiven | None = NOT_GIVEN,
    retention: Seconds | NotGiven | None = NOT_GIVEN,
    max_postpones: int | NotGiven | None = NOT_GIVEN,
    postpone_delay: Seconds | NotGiven = NOT_GIVEN,
    after_mode: AfterMode | NotGiven = NOT_GIVEN,
    on_precondition_failure: OnFailure | NotGiven = NOT_GIVEN,
    hold: bool | NotGiven = NOT_GIVEN,
    schedulable: bool | NotGiven = NOT_GIVEN,
) -> Any:
    """
    Makes a function a task, bare (`@task`) or with options: Django's decorator, on every Django, with types.

    docs/guides/options.md says what each option means. Raises InvalidTask, naming the task and the option, for a
    wrong one. Where the alias `backend` is not one of Gristmill's backends, the options have no effect.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        given = given_options(
            name=name,
            aliases=aliases,
            expires=expires,
            max_attempts=max_attempts,
            backoff=backoff,
            retry_on=retry_on,
            on_crash=on_crash,
            timeout=timeout,
            max_memory_mb=max_memory_mb,
            unique=unique,
            transactional=transactional,
            deadline=deadline,
            retention=retention,
            max_postpones=max_postpones,
            postpone_delay=postpone_delay,
            after_mode=after_mode,
            on_precondition_failure=on_precondition_failure,
            hold=hold,
            schedulable=schedulable,
        )
        kind = task_backends[backend].task_class
        django: dict[str, Any] = {
            "priority": priority,
            "queue_name": queue_name,
            "backend": backend,
            "takes_context": takes_context,
        }
        if issubclass(kind, Task):
            return kind(func=function, **django, **given)
        options_under(function).changed(given, path_of(function))
        return compat.task(**django)(function)

    return decorate if function is None else decorate(function)


def options(
    *,
    name: str | NotGiven = NOT_GIVEN,
    aliases: Sequence[str] | NotGiven = NOT_GIVEN,
    expires: Seconds | datetime | NotGiven | None = NOT_GIVEN,
    max_attempts: int | NotGiven | None = NOT_GIVEN,
    backoff: Backoff | NotGiven = NOT_GIVEN,
    retry_on: ExceptionClasses | NotGiven | None = NOT_GIVEN,
    on_crash: OnCrash | NotGiven = NOT_GIVEN,
    timeout: Seconds | NotGiven | None = NOT_GIVEN,
    max_memory_mb: int | NotGiven | None = NOT_GIVEN,
    unique: bool | Unique | NotGiven | None = NOT_GIVEN,
    transactional: bool | str | NotGiven = NOT_GIVEN,
    deadline: Seconds | datetime | NotGiven | None = NOT_GIVEN,
    retention: Seconds | NotGiven | None = NOT_GIVEN,
    max_postpones: int | NotGiven | None = NOT_GIVEN,
    postpone_delay: Seconds | NotGiven = NOT_GIVEN,
    after_mode: AfterMode | NotGiven = NOT_GIVEN,
    on_precondition_failure: OnFailure | NotGiven = NOT_GIVEN,
    hold: bool | NotGiven = NOT_GIVEN,
    schedulable: bool | NotGiven = NOT_GIVEN,
) -> Callable[[F], F]:
    """
    Gives options to a function below Django's own `@task`, on every Django.

    Priority, queue and the rest that Django's decorator knows belong to it. Raises InvalidTask, naming the task and
    the option, for a wrong one.
    """
    given = given_options(
        name=name,
        aliases=aliases,
        expires=expires,
        max_attempts=max_attempts,
        backoff=backoff,
        retry_on=retry_on,
        on_crash=on_crash,
        timeout=timeout,
        max_memory_mb=max_memory_mb,
        unique=unique,
        transactional=transactional,
        deadline=deadline,
        retention=retention,
        max_postpones=max_postpones,
        postpone_delay=postpone_delay,
        after_mode=after_mode,
        on_precondition_failure=on_precondition_failure,
        hold=hold,
        schedulable=schedulable,
    )

    def decorate(function: F) -> F:
        if isinstance(function, compat.Task):
            raise InvalidTask(f"{function.module_path}: gristmill.options(…) goes below @task, next to the function")
        setattr(function, ATTRIBUTE, options_under(function).changed(given, path_of(function)))
        return function

    return decorate


def given_options(**options: Any) -> dict[str, Any]:
    """Returns those options that were given."""
    return {name: value for name, value in options.items() if value is not NOT_GIVEN}


def path_of(function: Callable[..., Any]) -> str:
    """Returns the path by which errors name a function."""
    return f"{function.__module__}.{function.__qualname__}"


__all__ = ["options", "task"]
