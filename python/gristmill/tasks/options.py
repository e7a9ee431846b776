"""
The options of tasks, each once: what may be given, its rule, what holds unless it is given, how it is stored.

`OptionsOfJobs` and its kin are what callers may write, for type checkers; `TaskOptions` is what was written, in one
form, and its fields are the table of options that decorators, checks and enqueues go by. What was not given is told
apart from None.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias, TypedDict

from gristmill.compat import InvalidTask
from gristmill.tasks import option_rules as rules
from gristmill.tasks.backoff import DEFAULT, Backoff, is_shape, plain
from gristmill.tasks.option_rules import shown
from gristmill.tasks.preconditions import AfterMode, OnPreconditionFailure, Precondition, preconditions
from gristmill.tasks.uniqueness import Unique
from gristmill.values.bounds import run_after, seconds
from gristmill.values.moments import utc_text

if TYPE_CHECKING:
    from gristmill.tasks.preconditions import After


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


class OptionsOfJobs(TypedDict, total=False):
    """What a task, `using` and `remote` take. docs/guides/options.md says what each means."""

    expires: Seconds | datetime | NotGiven | None
    max_attempts: int | NotGiven | None
    backoff: Backoff | NotGiven
    retry_on: ExceptionClasses | NotGiven | None
    on_crash: OnCrash | NotGiven
    timeout: Seconds | NotGiven | None
    max_memory_mb: int | NotGiven | None
    unique: bool | Unique | NotGiven | None
    transactional: bool | str | NotGiven
    deadline: Seconds | datetime | NotGiven | None
    retention: Seconds | NotGiven | None
    max_postpones: int | NotGiven | None
    postpone_delay: Seconds | NotGiven
    incompatible_tries: int | NotGiven | None
    incompatible_for: Seconds | NotGiven
    after_mode: AfterMode | NotGiven
    on_precondition_failure: OnPreconditionFailure | NotGiven
    hold: bool | NotGiven
    redact: bool | Sequence[str] | NotGiven | None


class OptionsOfTasks(OptionsOfJobs, total=False):
    """What a task takes."""

    name: str | NotGiven
    aliases: Sequence[str] | NotGiven
    schedulable: bool | NotGiven


class OptionsOfUsing(OptionsOfJobs, total=False):
    """What `using` takes."""

    after: After | NotGiven | None


class Option(NamedTuple):
    """What there is to know of an option."""

    rule: Callable[[Any], Any]
    # What the engine takes for granted, and does not need to be told; NOT_GIVEN for what it is never told.
    usual: Any
    # What the engine calls it; None: as it is called here.
    stored_as: str | None
    # Whether a project may say what holds for all tasks, or all of a queue.
    has_default: bool
    # Who may give it: any, or "task" or "using" alone.
    given_to: str


def option(
    rule: Callable[[Any], Any],
    *,
    usual: Any = NOT_GIVEN,
    stored_as: str | None = None,
    has_default: bool = False,
    given_to: str = "any",
) -> Any:
    """Returns a field of TaskOptions."""
    return field(default=NOT_GIVEN, metadata={"option": Option(rule, usual, stored_as, has_default, given_to)})


@dataclass(frozen=True)
class TaskOptions:
    """The options that were given, each in one form: seconds as floats, exception classes as names."""

    name: str | NotGiven = option(rules.task_name, given_to="task")
    aliases: tuple[str, ...] | NotGiven = option(rules.task_names, given_to="task")
    expires: float | datetime | NotGiven | None = option(
        rules.moment_or_seconds(0.001, "for never"), usual=None, has_default=True
    )
    max_attempts: int | NotGiven | None = option(rules.whole(1, "for no bound"), usual=1, has_default=True)
    backoff: Backoff | NotGiven = option(rules.shape_or_function, usual=DEFAULT, has_default=True)
    retry_on: tuple[str, ...] | NotGiven | None = option(rules.exception_classes, usual=None, has_default=True)
    on_crash: str | NotGiven = option(rules.on_crash, usual="rerun", has_default=True)
    timeout: float | NotGiven | None = option(
        rules.seconds_or_none(0.001, "for no limit"), usual=None, has_default=True
    )
    max_memory_mb: int | NotGiven | None = option(rules.whole(1, "for no limit"), usual=None, has_default=True)
    unique: Unique | NotGiven | None = option(rules.unique)
    transactional: bool | str | NotGiven = option(rules.transactional, usual=False)
    deadline: float | datetime | NotGiven | None = option(
        rules.moment_or_seconds(0, "for seven days after it is due"), has_default=True
    )
    retention: float | NotGiven | None = option(
        rules.seconds_or_none(0, "for as long as the worker keeps results"), usual=None, has_default=True
    )
    max_postpones: int | NotGiven | None = option(rules.whole(0, "for no bound"), usual=100, has_default=True)
    postpone_delay: float | NotGiven = option(seconds, usual=5.0, has_default=True)
    incompatible_tries: int | NotGiven | None = option(rules.whole(1, "for no bound"), usual=20, has_default=True)
    incompatible_for: float | NotGiven = option(rules.for_days, usual=3600.0, has_default=True)
    after: tuple[Precondition, ...] | NotGiven = option(preconditions, given_to="using")
    # None is all of them, 1 is any.
    after_mode: int | NotGiven | None = option(rules.how_many, usual=None, stored_as="needed")
    on_precondition_failure: str | NotGiven = option(rules.on_precondition_failure, usual="strand", has_default=True)
    hold: bool | NotGiven = option(rules.true_or_false)
    # Of arguments; True is all of them. What people see goes by it, and nothing else.
    redact: bool | tuple[str, ...] | NotGiven | None = option(rules.redact, usual=None, has_default=True)
    # People may make schedules of it in the database.
    schedulable: bool | NotGiven = option(rules.true_or_false, given_to="task")

    def __repr__(self) -> str:
        return f"TaskOptions({', '.join(f'{name}={value!r}' for name, value in self.given())})"

    def given(self) -> Iterator[tuple[str, Any]]:
        """Yields the options that were given."""
        for name in OPTIONS:
            value = getattr(self, name)
            if value is not NOT_GIVEN:
                yield name, value

    def changed(self, options: Mapping[str, Any], where: str) -> TaskOptions:
        """
        Returns a copy with these options too; what is NOT_GIVEN among them stays as it is.

        Raises InvalidTask for one that is unknown or wrong, beginning with `where`, the task's path.
        """
        changes = {name: checked_for(where, name, value) for name, value in options.items() if value is not NOT_GIVEN}
        return replace(self, **changes) if changes else self


#: All options by their names.
OPTIONS: dict[str, Option] = {each.name: each.metadata["option"] for each in fields(TaskOptions)}
#: What OPTIONS["DEFAULTS"] may have. The rest belongs to a single task.
DEFAULTABLE = frozenset(name for name, about in OPTIONS.items() if about.has_default)
NOTHING = TaskOptions()


def checked(name: str, value: Any) -> Any:
    """Returns the value of an option in its one form, or raises ValueError naming the option and the value."""
    try:
        return OPTIONS[name].rule(value)
    except ValueError as error:
        raise ValueError(f"{name} {error}; got {shown(value)}") from None


def checked_for(where: str, name: str, value: Any) -> Any:
    """Returns an option's value in its one form; raises InvalidTask naming task and option."""
    if name not in OPTIONS:
        near = difflib.get_close_matches(name, OPTIONS, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; the options are {', '.join(OPTIONS)}"
        raise InvalidTask(f"{where}: unknown option {name!r}{hint}")
    try:
        return checked(name, value)
    except ValueError as error:
        raise InvalidTask(f"{where}: {error}") from None


def checked_run_after(where: str, value: Any) -> datetime | timedelta | None:
    """Returns when jobs are due, numbers of seconds as a timedelta; raises InvalidTask naming the task."""
    try:
        return run_after(value)
    except ValueError as error:
        raise InvalidTask(f"{where}: run_after {error}; got {shown(value)}") from None


def default_errors(given: Any) -> Iterable[str]:
    """Yields one sentence for each thing that is wrong with a set of defaults."""
    if not isinstance(given, dict):
        yield f"must be a dictionary of task options, not {given!r}"
        return
    for name in sorted(given, key=str):
        if name not in DEFAULTABLE:
            yield f"unknown option {name!r}; a default may be given for {', '.join(sorted(DEFAULTABLE))}"
            continue
        try:
            value = checked(name, given[name])
        except ValueError as error:
            yield str(error)
            continue
        if name == "backoff" and not is_shape(value):
            yield "backoff must be Exponential(…), Linear(…) or Constant(…) here; a function is given to a task itself"


def stored(options: Callable[[str, Any], Any]) -> dict[str, Any]:
    """
    Returns what the engine has to be told, as JSON keeps it.

    `options` gives an option's checked value by its name, and the second argument where nothing is said.
    """
    told = {}
    for name, about in OPTIONS.items():
        value = NOT_GIVEN if about.usual is NOT_GIVEN else options(name, about.usual)
        if value is not NOT_GIVEN and value != about.usual and (name, value) != SAME_AS_USUAL:
            told[about.stored_as or name] = _as_json(name, value)
    return told


#: Every Exception, said in full.
SAME_AS_USUAL = ("retry_on", ("builtins.Exception",))


def _as_json(name: str, value: Any) -> Any:
    if name == "backoff":
        return plain(value)
    if name == "transactional":
        return bool(value)
    return utc_text(value) if isinstance(value, datetime) else value


def options_under(function: Callable[..., Any]) -> TaskOptions:
    """Returns what `gristmill.options` has said about a function."""
    found: TaskOptions = getattr(function, ATTRIBUTE, NOTHING)
    return found


def given_to(place: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """
    Returns those options that were given in a place: "task", "using" or "remote".

    Raises TypeError, as Python does, for one that it does not take.
    """
    given = {name: value for name, value in options.items() if value is not NOT_GIVEN}
    for name in given:
        if name not in OPTIONS or OPTIONS[name].given_to not in ("any", place):
            taken = [known for known, about in OPTIONS.items() if about.given_to in ("any", place)]
            near = difflib.get_close_matches(name, taken, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise TypeError(f"{place}() got an unexpected keyword argument {name!r}{hint}")
    return given


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
