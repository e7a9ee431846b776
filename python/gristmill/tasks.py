"""The task that Gristmill's backend makes of a function."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from types import FunctionType
from typing import TYPE_CHECKING, Any, cast

from gristmill import compat, registry
from gristmill.exceptions import UnknownTask

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from typing_extensions import Self

    from gristmill.backend import GristmillBackend
    from gristmill.bulk import Call, Enqueued


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(compat.AnyTask):
    """A task of Gristmill's; it is known to workers from the moment it is made."""

    def __post_init__(self) -> None:
        """Validates as Django does, then registers."""
        # Not super(): its zero-argument form fails in slotted dataclasses before Python 3.14.
        compat.Task.__post_init__(self)
        registry.register(self)

    def using(
        self,
        *,
        priority: int | None = None,
        queue_name: str | None = None,
        run_after: datetime | timedelta | None = None,
        backend: str | None = None,
    ) -> Self:
        """
        Returns a copy with other defaults, as Django's `using` does.

        `run_after` may also be a timedelta; it counts from the moment of the enqueue.
        """
        copy = compat.Task.using(
            self,
            priority=priority,
            queue_name=queue_name,
            run_after=cast("datetime | None", run_after),
            backend=backend,
        )
        return cast("Self", copy)

    def enqueue_many(self, calls: Iterable[Call | Sequence[Any]]) -> Enqueued:
        """
        Enqueues a job for each of `calls`, thousands a statement, all or none.

        A call is a tuple of positional arguments, or `gristmill.call(*args, **kwargs)`. Returns the results in order.
        """
        return cast("GristmillBackend", self.get_backend()).enqueue_many(self, calls)


def unchecked_copy(task: compat.AnyTask, **changes: Any) -> Any:
    """
    Returns a copy with `changes` that is neither validated nor registered.

    For tasks read back from the database: a job stays readable when its queue has left QUEUES since.
    """
    copy = object.__new__(type(task))
    for field in fields(task):
        object.__setattr__(copy, field.name, changes.get(field.name, getattr(task, field.name)))
    return copy


def placeholder(name: str, *, backend: str) -> Task:
    """Returns a task for a name that nobody registers here: it can be shown and compared, but calling it raises."""
    module, _, qualname = name.rpartition(".")

    def unknown(*args: Any, **kwargs: Any) -> Any:
        raise UnknownTask(f"task {name} is not registered here; is the app that defines it in INSTALLED_APPS?")

    func = FunctionType(unknown.__code__, unknown.__globals__, qualname, None, unknown.__closure__)
    func.__module__, func.__qualname__ = module, qualname
    task: Task = object.__new__(Task)
    values = {"func": func, "backend": backend, "priority": 0, "queue_name": "default", "run_after": None}
    for field, value in {**values, "takes_context": False}.items():
        object.__setattr__(task, field, value)
    return task


__all__ = ["Task", "placeholder", "unchecked_copy"]
