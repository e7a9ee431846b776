"""The task that Gristmill's backends make of a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from inspect import isasyncgenfunction, iscoroutinefunction, isfunction, isgeneratorfunction
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, TypeVar, cast

from django.db import connections

from gristmill import compat
from gristmill.compat import InvalidTask, TaskBase
from gristmill.tasks import registry
from gristmill.tasks.backoff import Backoff
from gristmill.tasks.fitting import not_taken
from gristmill.tasks.options import (
    NOT_GIVEN,
    OptionsOfUsing,
    Seconds,
    TaskOptions,
    checked_run_after,
    given_to,
    options_under,
    refuse_unique_where_schedulable,
    refuse_what_only_a_task_has,
    refuse_what_only_using_has,
)
from gristmill.tasks.step import Step
from gristmill.tasks.uniqueness import KeyMaker

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Self, Unpack

    from gristmill.backend import GristmillBackend
    from gristmill.enqueue.bulk import Enqueued
    from gristmill.results.result import JobResult
    from gristmill.tasks.calls import Call

P = ParamSpec("P")
R = TypeVar("R")

#: What a task remembers beside its fields; see `gristmill.enqueue.preparation`.
REMEMBERED = ("_prepared",)


@dataclass(frozen=True, kw_only=True, init=False)
class Task(TaskBase[P, R]):
    """
    A task of Gristmill's; it is known to workers from the moment it is made.

    Not slotted as Django's is: a task remembers what its enqueues have in common.
    """

    options: TaskOptions = field(default=TaskOptions(), compare=False)

    is_remote: ClassVar[bool] = False

    if not TYPE_CHECKING:

        def __class_getitem__(cls, parameters: Any) -> Any:
            """Gives annotations like `Task[[int], str]` a meaning at run time, on every Django."""
            return cls

    def __init__(
        self,
        *,
        func: Callable[..., R],
        priority: int = 0,
        backend: str = "default",
        queue_name: str = "default",
        run_after: Seconds | datetime | None = None,
        takes_context: bool = False,
        options: TaskOptions | None = None,
        **given: Any,
    ) -> None:
        """
        Takes what Django's decorator forwards: its own keywords, and every option that `gristmill.options` has.

        Raises InvalidTask, naming the task and the option, for a wrong one.
        """
        refuse_what_cannot_be_a_task(func)
        where = f"{func.__module__}.{func.__qualname__}"
        refuse_what_only_using_has(where, given)
        is_copy = options is not None
        if options is None:
            options = options_under(func)
            for name in given:
                if getattr(options, name, NOT_GIVEN) is not NOT_GIVEN:
                    raise InvalidTask(f"{where}: {name} is given twice, by @task and by gristmill.options below it")
        assign = object.__setattr__
        assign(self, "func", func)
        assign(self, "priority", priority)
        assign(self, "backend", backend)
        assign(self, "queue_name", queue_name)
        assign(self, "run_after", checked_run_after(where, run_after))
        assign(self, "takes_context", takes_context)
        assign(self, "options", options.changed(given, where))
        if not is_copy:
            refuse_unique_where_schedulable(where, self.options)
        self.__post_init__()

    def __deepcopy__(self, memo: Any) -> Self:
        """Returns itself: nothing of a task can change."""
        return self

    def __post_init__(self) -> None:
        """Validates as Django does, then what the options ask of each other, then registers."""
        super().__post_init__()
        self._check_options()
        registry.register(self)

    def _check_options(self) -> None:
        where, options = self.module_path, self.options
        if options.unique is not NOT_GIVEN and options.unique is not None:
            try:
                KeyMaker(self, options.unique)
            except ValueError as error:
                raise InvalidTask(f"{where}: unique {error}") from None
        if isinstance(options.redact, tuple) and (name := not_taken(self, options.redact)) is not None:
            # It would be shown to everybody.
            raise InvalidTask(f"{where}: redact names the argument {name!r}, which the function does not take")
        if options.transactional is NOT_GIVEN or not options.transactional:
            return
        if iscoroutinefunction(self.func):
            raise InvalidTask(f"{where}: transactional needs a function that is not async; Django's atomic() is sync")
        database = self.get_backend().options.get("DATABASE")
        wanted = "default" if options.transactional is True else options.transactional
        # One that is not in DATABASES at all is for a check to name.
        if database and database != wanted and database in connections.settings:
            raise InvalidTask(transactional_elsewhere(where, options.transactional, database))

    @property
    def task_name(self) -> str:
        """What workers know it by and jobs are stored under: the option `name`, else the function's path."""
        name = self.options.name
        return self.module_path if name is NOT_GIVEN else name

    @property
    def name(self) -> str:
        """The option `name`, else the function's own."""
        name = self.options.name
        return self.func.__name__ if name is NOT_GIVEN else name

    @property
    def aliases(self) -> tuple[str, ...]:
        """Earlier names, under which old jobs are still stored."""
        aliases = self.options.aliases
        return () if aliases is NOT_GIVEN else aliases

    @property
    def backoff(self) -> Backoff | None:
        """The backoff that this task was given; None where it has the project's."""
        backoff = self.options.backoff
        return None if backoff is NOT_GIVEN else backoff

    def using(
        self,
        *,
        priority: int | None = None,
        queue_name: str | None = None,
        run_after: Seconds | datetime | None = None,
        backend: str | None = None,
        **options: Unpack[OptionsOfUsing],
    ) -> Self:
        """
        Returns a copy with other options, as Django's `using` does.

        `run_after` may also be seconds or a timedelta; they count from the moment of the enqueue. `after` is what its
        jobs wait for: a result, a Job, an id, or several of them; None for nothing. Functions (of backoff and unique)
        are refused with InvalidTask, as is every option that is wrong: a worker takes functions from the task.
        """
        given = given_to("using", options)
        own = self.options
        if given:
            refuse_what_only_a_task_has(self.module_path, given)
            own = own.changed(given, self.module_path)
        copy = type(self)(
            func=self.func,
            priority=self.priority if priority is None else priority,
            backend=self.backend if backend is None else backend,
            queue_name=self.queue_name if queue_name is None else queue_name,
            run_after=self.run_after if run_after is None else run_after,
            takes_context=self.takes_context,
            options=own,
        )
        if own is self.options and copy.queue_name == self.queue_name and copy.backend == self.backend:
            # What enqueues have in common is the same.
            copy.__dict__.update({name: self.__dict__[name] for name in REMEMBERED if name in self.__dict__})
        return copy

    if TYPE_CHECKING:
        # Of an async task it gives what is awaited, and R is what that gives.
        func: Callable[..., Any]

        # Django's own, whose results are ours.
        def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobResult[P, R]: ...  # noqa: D102
        async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobResult[P, R]: ...  # noqa: D102
        def get_result(self, result_id: str) -> JobResult[P, R]: ...  # noqa: D102
        async def aget_result(self, result_id: str) -> JobResult[P, R]: ...  # noqa: D102

    def with_args(self, *args: P.args, **kwargs: P.kwargs) -> Step:
        """Returns a step: this task with its arguments, for `gristmill.chain`, `group` and graphs."""
        return Step(self, args, kwargs)

    def enqueue_many(self, calls: Iterable[Call | Sequence[Any]]) -> Enqueued:
        """
        Enqueues a job for each of `calls`, thousands a statement, all or none.

        A call is a tuple of positional arguments, or `gristmill.call(*args, **kwargs)`. Returns the results in order.
        """
        return cast("GristmillBackend", self.get_backend()).enqueue_many(self, calls)


def refuse_what_cannot_be_a_task(func: Any) -> None:
    """Raises InvalidTask, in Django's words, for what has no path of its own, and for what returns no result."""
    if not isfunction(func):
        raise InvalidTask(f"Task function must be defined at a module level. {func!r:.200} is not.")
    if isgeneratorfunction(func) or isasyncgenfunction(func):
        raise InvalidTask(
            f"Task function must return its result, and {func.__module__}.{func.__qualname__} yields: "
            "calling it would run nothing."
        )


def transactional_elsewhere(where: str, wanted: str | bool, database: str) -> str:
    """Says why a task cannot be transactional."""
    return (
        f"{where}: transactional={wanted!r}, but the queue's tables are on database '{database}', and its handler's "
        f"writes and its end cannot be one commit on two databases; where it writes to '{database}', say "
        f"transactional='{database}'"
    )


def task_name_of(task: compat.AnyTask) -> str:
    """Returns the name under which a task's jobs are stored, of a task of Django's own class too."""
    name: str = getattr(task, "task_name", None) or task.module_path
    return name


def unchecked_copy(task: compat.AnyTask, **changes: Any) -> Any:
    """
    Returns a copy with `changes` that is neither validated nor registered.

    For tasks read back from the database: a job stays readable when its queue has left QUEUES since.
    """
    copy = object.__new__(type(task))
    for each in fields(task):
        object.__setattr__(copy, each.name, changes.get(each.name, getattr(task, each.name)))
    return copy


__all__ = ["Task", "task_name_of", "unchecked_copy"]
