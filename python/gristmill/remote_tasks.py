"""Tasks whose code is not here: they can be enqueued and shown, but not called."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from types import FunctionType
from typing import Any, ClassVar, NoReturn

from gristmill import compat
from gristmill.compat import TaskResultMismatch, task_backends
from gristmill.exceptions import UnknownTask
from gristmill.preconditions import AfterMode, OnFailure
from gristmill.retries import Constant, Exponential, Linear
from gristmill.task_options import NOT_GIVEN, ExceptionClasses, NotGiven, OnCrash, Seconds, TaskOptions
from gristmill.tasks import Task, task_name_of
from gristmill.uniqueness import Unique


@dataclass(frozen=True, kw_only=True, init=False)
class RemoteTask(Task[..., Any]):
    """A task known by its name alone; this process's workers do not run it."""

    is_remote: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Validates like any task, and does not register."""
        compat.Task.__post_init__(self)
        self._check_options()

    @property
    def module_path(self) -> str:
        """Its name."""
        return self.task_name

    @property
    def task_name(self) -> str:
        """What workers know it by."""
        assert self.options.name is not NOT_GIVEN
        return self.options.name

    @property
    def name(self) -> str:
        """The last part of its name."""
        return self.task_name.rpartition(".")[2] or self.task_name

    def get_result(self, result_id: str) -> Any:
        """Reads a result as Django does; whether it is of this task is told by the name."""
        return self._own(self.get_backend().get_result(result_id))

    async def aget_result(self, result_id: str) -> Any:
        """See get_result()."""
        return self._own(await self.get_backend().aget_result(result_id))

    def _own(self, result: Any) -> Any:
        if task_name_of(result.task) != self.task_name:
            raise TaskResultMismatch(f"Task does not match (received {task_name_of(result.task)!r})")
        return result


def remote(
    name: str,
    *,
    priority: int = 0,
    queue_name: str = "default",
    backend: str = "default",
    expires: Seconds | datetime | NotGiven | None = NOT_GIVEN,
    max_attempts: int | NotGiven | None = NOT_GIVEN,
    backoff: Exponential | Linear | Constant | NotGiven = NOT_GIVEN,
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
) -> RemoteTask:
    """
    Returns a task whose code lives elsewhere: in a Rust program, in another service on the same tables.

    It can be enqueued, and `using` works; calling it raises UnknownTask. Raises InvalidTask for wrong options.
    """
    given = {
        "name": name,
        "expires": expires,
        "max_attempts": max_attempts,
        "backoff": backoff,
        "retry_on": retry_on,
        "on_crash": on_crash,
        "timeout": timeout,
        "max_memory_mb": max_memory_mb,
        "unique": unique,
        "transactional": transactional,
        "deadline": deadline,
        "retention": retention,
        "max_postpones": max_postpones,
        "postpone_delay": postpone_delay,
        "after_mode": after_mode,
        "on_precondition_failure": on_precondition_failure,
        "hold": hold,
    }
    if callable(backoff):
        raise compat.InvalidTask(f"{name}: a remote task's backoff function lives where its code does")
    options = TaskOptions().changed(given, str(name))
    task_backends[backend]
    return RemoteTask(
        func=stand_in(name),
        priority=priority,
        queue_name=queue_name,
        backend=backend,
        options=options,
    )


def placeholder(name: str, *, backend: str) -> RemoteTask:
    """Returns a task for a name that nobody registers here: it can be shown and compared, but calling it raises."""
    task = object.__new__(RemoteTask)
    values = {
        "func": stand_in(name),
        "backend": backend,
        "priority": 0,
        "queue_name": "default",
        "run_after": None,
        "takes_context": False,
        "options": TaskOptions(name=name),
    }
    for field, value in values.items():
        object.__setattr__(task, field, value)
    return task


@lru_cache(maxsize=1024)
def stand_in(name: str) -> Any:
    """Returns a function of that path which only raises UnknownTask; the same for the same name, to compare by."""
    module, _, qualname = name.rpartition(".")

    def unknown(*args: Any, **kwargs: Any) -> NoReturn:
        raise UnknownTask(
            f"task {name} is not registered here: its code lives elsewhere, or the app that defines it is not in "
            "INSTALLED_APPS"
        )

    function = FunctionType(unknown.__code__, unknown.__globals__, qualname or name, None, unknown.__closure__)
    function.__module__, function.__qualname__ = module, qualname or name
    return function


__all__ = ["RemoteTask", "placeholder", "remote"]
