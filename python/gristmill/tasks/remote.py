"""Tasks whose code is not here: they can be enqueued and shown, but not called."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from gristmill import compat
from gristmill.compat import TaskResultMismatch, task_backends
from gristmill.exceptions import UnknownTask
from gristmill.tasks.options import NOT_GIVEN, OptionsOfJobs, TaskOptions, given_to
from gristmill.tasks.task import Task, task_name_of

if TYPE_CHECKING:
    from typing_extensions import Unpack


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
    **options: Unpack[OptionsOfJobs],
) -> RemoteTask:
    """
    Returns a task whose code lives elsewhere: in a Rust program, in another service on the same tables.

    It can be enqueued, and `using` works; calling it raises UnknownTask. Raises InvalidTask for wrong options.
    """
    if callable(options.get("backoff")):
        raise compat.InvalidTask(f"{name}: a remote task's backoff function lives where its code does")
    given = TaskOptions().changed({"name": name, **given_to("remote", options)}, str(name))
    task_backends[backend]
    return RemoteTask(
        func=stand_in(name),
        priority=priority,
        queue_name=queue_name,
        backend=backend,
        options=given,
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
