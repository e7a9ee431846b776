"""`schedule`: gives a task a rule that says when its jobs are wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, TypeAlias, TypeVar
from zoneinfo import ZoneInfo

from gristmill import compat
from gristmill.compat import InvalidTask
from gristmill.schedules.declared import Declared, declare
from gristmill.schedules.rules import checked_name, checked_rule, owner_of
from gristmill.tasks.task import task_name_of

T = TypeVar("T", bound="compat.AnyTask")

CatchUp: TypeAlias = Literal["latest", "none", "all"]
Overlap: TypeAlias = Literal["allow", "skip"]


def schedule(
    cron: str | None = None,
    *,
    every: float | timedelta | None = None,
    name: str | None = None,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    queue_name: str | None = None,
    timezone: str | ZoneInfo | None = None,
    catch_up: CatchUp = "latest",
    window: float | timedelta | None = None,
    cap: int | None = None,
    run_on_creation: bool = False,
    datetime_kwarg: str | None = None,
    overlap: Overlap = "allow",
    jitter: float | timedelta = 0,
) -> Callable[[T], T]:
    """
    Enqueues a job of the task below whenever its time comes, once, however many workers there are.

        @schedule("30 8 * * mon-fri")
        @task
        def report(): ...

    `cron` is an expression of five fields, or six with seconds at the end, or "manual" for a schedule that runs only
    by hand; `every` a number of seconds or a timedelta instead. A task may have several, each with a `name` of its own;
    the usual one is the task's. docs/guides/schedules.md says what the options mean.

    Gives back the task. Raises InvalidTask, naming task, schedule and option, for what is wrong.
    """

    def decorate(task: T) -> T:
        if not isinstance(task, compat.Task):
            found = getattr(task, "__qualname__", repr(task))
            raise InvalidTask(f"{found}: gristmill.schedule(…) goes above @task, not next to the function")
        own_name = task_name_of(task) if name is None else name
        where = f"{owner_of(task)}: schedule {own_name!r}"
        try:
            rule = checked_rule(
                task,
                cron=cron,
                every=every,
                args=args,
                kwargs=kwargs,
                queue_name=queue_name,
                timezone=timezone,
                catch_up=catch_up,
                window=window,
                cap=cap,
                run_on_creation=run_on_creation,
                datetime_kwarg=datetime_kwarg,
                overlap=overlap,
                jitter=jitter,
            )
            declared = Declared(checked_name(own_name), task, rule)
        except (TypeError, ValueError) as error:
            raise InvalidTask(f"{where}: {error}") from None
        try:
            declare(declared)
        except ValueError as error:
            raise InvalidTask(str(error)) from None
        return task

    return decorate


__all__ = ["CatchUp", "Overlap", "schedule"]
