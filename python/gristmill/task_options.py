"""What a task's author has said of how its jobs are run; what was not said is told apart from None."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final, Literal, TypeAlias

from gristmill.compat import InvalidTask
from gristmill.option_rules import RULES, checked
from gristmill.preconditions import Precondition
from gristmill.retries import Backoff
from gristmill.uniqueness import Unique


class NotGiven(Enum):
    """The kind of `NOT_GIVEN`."""

    NOT_GIVEN = "not given"

    def __repr__(self) -> str:
        return "NOT_GIVEN"


#: Stands for an option that was not given, where None would mean something.
NOT_GIVEN: Final = NotGiven.NOT_GIVEN

Seconds: TypeAlias = "float | timedelta"
ExceptionClasses: TypeAlias = "type[BaseException] | Sequence[type[BaseException] | str]"
OnCrash: TypeAlias = Literal["rerun", "fail"]

#: Where `gristmill.options` leaves what it was given for the decorator above it.
ATTRIBUTE = "__gristmill_options__"


@dataclass(frozen=True)
class TaskOptions:
    """The options that were given, each in one form: seconds as floats, exception classes as names."""

    name: str | NotGiven = NOT_GIVEN
    aliases: tuple[str, ...] | NotGiven = NOT_GIVEN
    expires: float | datetime | NotGiven | None = NOT_GIVEN
    max_attempts: int | NotGiven | None = NOT_GIVEN
    backoff: Backoff | NotGiven = NOT_GIVEN
    retry_on: tuple[str, ...] | NotGiven | None = NOT_GIVEN
    on_crash: str | NotGiven = NOT_GIVEN
    timeout: float | NotGiven | None = NOT_GIVEN
    max_memory_mb: int | NotGiven | None = NOT_GIVEN
    unique: Unique | NotGiven | None = NOT_GIVEN
    transactional: bool | str | NotGiven = NOT_GIVEN
    deadline: float | datetime | NotGiven | None = NOT_GIVEN
    retention: float | NotGiven | None = NOT_GIVEN
    max_postpones: int | NotGiven | None = NOT_GIVEN
    postpone_delay: float | NotGiven = NOT_GIVEN
    after: tuple[Precondition, ...] | NotGiven = NOT_GIVEN
    # None is all of them, 1 is any.
    after_mode: int | NotGiven | None = NOT_GIVEN
    on_precondition_failure: str | NotGiven = NOT_GIVEN
    hold: bool | NotGiven = NOT_GIVEN
    # People may make schedules of it in the database.
    schedulable: bool | NotGiven = NOT_GIVEN

    def __repr__(self) -> str:
        return f"TaskOptions({', '.join(f'{name}={value!r}' for name, value in self.given())})"

    def given(self) -> Iterator[tuple[str, Any]]:
        """Yields the options that were given."""
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not NOT_GIVEN:
                yield field.name, value

    def changed(self, options: Mapping[str, Any], where: str) -> TaskOptions:
        """
        Returns a copy with these options too; what is NOT_GIVEN among them stays as it is.

        Raises InvalidTask for one that is unknown or wrong, beginning with `where`, the task's path.
        """
        changes = {name: checked_for(where, name, value) for name, value in options.items() if value is not NOT_GIVEN}
        return replace(self, **changes) if changes else self


NOTHING = TaskOptions()


def checked_for(where: str, name: str, value: Any) -> Any:
    """Returns an option's value in its one form; raises InvalidTask naming task and option."""
    if name not in RULES:
        near = difflib.get_close_matches(name, RULES, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; the options are {', '.join(RULES)}"
        raise InvalidTask(f"{where}: unknown option {name!r}{hint}")
    try:
        return checked(name, value)
    except ValueError as error:
        raise InvalidTask(f"{where}: {error}") from None


def options_under(function: Callable[..., Any]) -> TaskOptions:
    """Returns what `gristmill.options` has said about a function."""
    found: TaskOptions = getattr(function, ATTRIBUTE, NOTHING)
    return found


def refuse_what_only_a_task_has(where: str, options: Mapping[str, Any]) -> None:
    """Raises InvalidTask for functions given to `using`: workers take them from the registered task."""
    backoff, unique = options.get("backoff", NOT_GIVEN), options.get("unique", NOT_GIVEN)
    if callable(backoff):
        raise InvalidTask(f"{where}: using() takes no backoff function; give it to the task itself")
    if isinstance(unique, Unique) and unique.has_functions:
        raise InvalidTask(f"{where}: using() takes no unique with functions; give them to the task itself")


def refuse_what_only_using_has(where: str, options: Mapping[str, Any]) -> None:
    """Raises InvalidTask for what is of single jobs and given to a task."""
    if options.get("after", NOT_GIVEN) is not NOT_GIVEN:
        raise InvalidTask(f"{where}: after is of single jobs; give it to using()")


def refuse_unique_where_schedulable(where: str, options: TaskOptions) -> None:
    """Raises InvalidTask: what a task is unique by would have to be worked out where only the database knows it."""
    if options.schedulable is True and isinstance(options.unique, Unique):
        raise InvalidTask(f"{where}: a task whose jobs are unique cannot be schedulable; give its schedules in code")


__all__ = ["NOT_GIVEN", "NotGiven", "TaskOptions"]
