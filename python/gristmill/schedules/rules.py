"""
The rules of a schedule's options: what each may be, and the one form in which it is announced.

What is wrong is a sentence that begins with the option's name; whoever asked puts before it whose schedule that is.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from gristmill.tasks.fitting import signature_of
from gristmill.tasks.option_rules import MOST_NAME, shown
from gristmill.tasks.task import task_name_of
from gristmill.tasks.uniqueness import KeyMaker, Unique
from gristmill.values.bounds import seconds, seconds_of
from gristmill.values.json_rule import MAX_BYTES, encode

if TYPE_CHECKING:
    from gristmill.compat import AnyTask

CATCH_UP: Final = ("latest", "none", "all")
OVERLAP: Final = ("allow", "skip")
#: What is found sooner than this after its instant is on time, in seconds; the engine's LATE.
LATE = 60
#: Ticks that may be made up for at once: they are written in one transaction.
MOST_CAP = 10_000
#: An interval's bounds, in seconds; the engine's.
LEAST_EVERY, MOST_EVERY = 1, 366 * 86_400
#: Of a long expression, what is told of it.
MOST_SHOWN = 80
#: How long a tick may be put off by chance, in seconds.
MOST_JITTER = 86_400
# What systems keep beside the zones: names that mean another zone on another host, and other ways of counting.
_NO_ZONES = ("localtime", "posixrules", "factory")
_NO_ZONE_FOLDERS = ("posix/", "right/")


@dataclass(frozen=True)
class Rule:
    """A schedule's options, checked, each in one form: durations in seconds, arguments as JSON text."""

    queue_name: str
    cron: str | None
    every: float | None
    # None is the project's.
    timezone: str | None
    catch_up: str
    window: float | None
    cap: int | None
    overlap: str
    jitter: float
    run_on_creation: bool
    datetime_kwarg: str | None
    args: str
    kwargs: str
    # Of all its jobs, where the task's are unique.
    unique_key: str | None = field(default=None, compare=False)


def checked_name(value: Any) -> str:
    """Returns a schedule's name; raises ValueError."""
    if not isinstance(value, str) or not 1 <= len(value) <= MOST_NAME or not value.isprintable():
        raise ValueError(f"name must be 1 to {MOST_NAME} printable characters; got {shown(value)}")
    return value


def checked_rule(
    task: AnyTask,
    *,
    cron: Any = None,
    every: Any = None,
    args: Any = (),
    kwargs: Any = None,
    queue_name: Any = None,
    timezone: Any = None,
    catch_up: Any = "latest",
    window: Any = None,
    cap: Any = None,
    run_on_creation: Any = False,
    datetime_kwarg: Any = None,
    overlap: Any = "allow",
    jitter: Any = 0,
) -> Rule:
    """Returns the options of a task's schedule in their one form; raises ValueError or TypeError for wrong ones."""
    rule = _one_rule(cron, every)
    if timezone is not None and rule[0] in (None, "manual"):
        raise ValueError("timezone belongs to a cron expression; this schedule goes by no clock on a wall")
    if not isinstance(run_on_creation, bool):
        raise ValueError(f"run_on_creation must be True or False; got {shown(run_on_creation)}")
    if run_on_creation and rule[0] == "manual":
        raise ValueError("run_on_creation needs a rule: a schedule that is 'manual' has no instant before now")
    texts, unique_key = _call(task, args, {} if kwargs is None else kwargs, datetime_kwarg)
    _refuse_what_is_of_single_jobs(task)
    return Rule(
        queue_name=_queue(task, queue_name),
        cron=rule[0],
        every=rule[1],
        timezone=_zone(timezone),
        catch_up=_one_of("catch_up", catch_up, CATCH_UP),
        window=None if window is None else _seconds("window", window, LATE, None),
        cap=_cap(cap),
        overlap=_one_of("overlap", overlap, OVERLAP),
        jitter=_seconds("jitter", jitter, 0, MOST_JITTER),
        run_on_creation=run_on_creation,
        datetime_kwarg=datetime_kwarg,
        args=texts[0],
        kwargs=texts[1],
        unique_key=unique_key,
    )


def _one_rule(cron: Any, every: Any) -> tuple[str | None, float | None]:
    if (cron is None) == (every is None):
        which = "neither was given" if cron is None else "both were given"
        raise ValueError(f"cron or every says when it runs, one of them; {which}")
    if every is not None:
        length = seconds_of(every)
        if length is None or not LEAST_EVERY <= length <= MOST_EVERY:
            raise ValueError(
                "every must be a number of seconds or a timedelta, at least 1 second and at most 366 days; "
                f"got {shown(every)}"
            )
        return None, round(length, 6)
    if not isinstance(cron, str):
        raise ValueError(f"cron must be text, such as '30 8 * * mon-fri'; got {shown(cron)}")
    return _expression(cron.strip()), None


def _expression(text: str) -> str:
    """Returns what looks like a cron expression; whether it is one is the engine's to say (`engine_cron`)."""
    if text.lower() == "manual":
        return "manual"
    fields = len(text.split())
    if not text.startswith("@") and fields not in (5, 6):
        raise ValueError(
            "cron: write five fields (minute hour day-of-month month weekday) or six with seconds at the end, "
            f"not {fields}, in '{text[:MOST_SHOWN]}'"
        )
    return text


def _call(task: AnyTask, args: Any, kwargs: Any, datetime_kwarg: Any) -> tuple[tuple[str, str], str | None]:
    """Returns the arguments as JSON text, and the key of the jobs that have them; raises where they do not fit."""
    if isinstance(args, (str, bytes)) or not isinstance(args, Sequence):
        raise ValueError(f"args must be a list or a tuple; got {shown(args)}")
    if not isinstance(kwargs, Mapping) or not all(isinstance(name, str) for name in kwargs):
        raise ValueError(f"kwargs must be a dictionary of names; got {shown(kwargs)}")
    most = getattr(task.get_backend(), "max_json_bytes", MAX_BYTES)
    texts = encode(args, where="args", max_bytes=most), encode(kwargs, where="kwargs", max_bytes=most)
    called = dict(kwargs)
    if datetime_kwarg is not None:
        if not isinstance(datetime_kwarg, str) or not datetime_kwarg.isidentifier():
            raise ValueError(f"datetime_kwarg must be the name of an argument; got {shown(datetime_kwarg)}")
        if datetime_kwarg in kwargs:
            raise ValueError(f"datetime_kwarg names {datetime_kwarg!r}, which kwargs gives a value already")
        # By hand there is no instant.
        called[datetime_kwarg] = None
    if (misfit := _misfit(task, args, called)) is not None:
        given = "args and kwargs" if datetime_kwarg is None else "args, kwargs and datetime_kwarg"
        raise ValueError(f"{given} do not fit the function: {misfit}")
    unique: Unique | None = dict(task.options.given()).get("unique") if hasattr(task, "options") else None
    if unique is None:
        return texts, None
    if unique.period is not None:
        raise ValueError("it has jobs that are unique for a period, which counts from an enqueue; leave the period out")
    try:
        return texts, KeyMaker(task, unique).key(args, called)
    except Exception as error:
        raise ValueError(f"its unique key cannot be made of these arguments: {error}") from error


def _misfit(task: AnyTask, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    if getattr(task, "is_remote", False):
        return None
    signature = signature_of(task.func)
    if signature is None:
        return None
    try:
        signature.bind(*([None] if task.takes_context else []), *args, **kwargs)
    except TypeError as error:
        return str(error)
    return None


def _refuse_what_is_of_single_jobs(task: AnyTask) -> None:
    given = dict(task.options.given()) if hasattr(task, "options") else {}
    if task.run_after is not None:
        raise ValueError("a task with a run_after has no schedule: its jobs run when the schedule ticks")
    if given.get("after"):
        raise ValueError("a task that waits for jobs (after) has no schedule; enqueue a graph from the task instead")
    for name in ("deadline", "expires"):
        if given.get(name) is not None and not isinstance(given[name], float):
            raise ValueError(f"its task's {name} is a date, which most of its jobs would pass; give it in seconds")


def _queue(task: AnyTask, queue_name: Any) -> str:
    if queue_name is None:
        return task.queue_name
    if not isinstance(queue_name, str) or not queue_name:
        raise ValueError(f"queue_name must be the name of a queue; got {shown(queue_name)}")
    known = task.get_backend().queues
    if known and queue_name not in known:
        raise ValueError(
            f"queue_name {queue_name!r} is no queue of backend '{task.backend}', so no worker would ever tick it; "
            f"its QUEUES are {', '.join(map(repr, sorted(known)))}"
        )
    return queue_name


def _zone(value: Any) -> str | None:
    if value is None:
        return None
    name = getattr(value, "key", None) if isinstance(value, zoneinfo.ZoneInfo) else value
    if not isinstance(name, str):
        raise ValueError(f"timezone must be a name like Europe/Berlin; got {shown(value)}")
    sentence = f"timezone: {shown(name)} is no time zone of the IANA database; they are written like Europe/Berlin"
    if name.lower() in _NO_ZONES or name.lower().startswith(_NO_ZONE_FOLDERS):
        raise ValueError(sentence)
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(sentence) from None
    return name


def _one_of(option: str, value: Any, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError(f"{option} must be {', '.join(map(repr, known[:-1]))} or {known[-1]!r}; got {shown(value)}")
    return str(value)


def _seconds(option: str, value: Any, least: float, most: float | None) -> float:
    try:
        found = seconds(value)
    except ValueError as error:
        raise ValueError(f"{option} {error}; got {shown(value)}") from None
    if found < least or (most is not None and found > most):
        bounds = f"at least {least} seconds" if most is None else f"from {least} to {most:,} seconds"
        raise ValueError(f"{option} must be {bounds}; got {shown(value)}")
    return found


def _cap(value: Any) -> int | None:
    if value is None:
        return None
    if type(value) is not int or not 1 <= value <= MOST_CAP:
        raise ValueError(f"cap must be a whole number from 1 to {MOST_CAP:,}; got {shown(value)}")
    return value


def owner_of(task: AnyTask) -> str:
    """Returns the name by which errors tell a schedule's task."""
    return task_name_of(task) if getattr(task, "is_remote", False) else task.module_path


__all__ = ["Rule", "checked_name", "checked_rule", "owner_of"]
