"""The schedules that this process's code declares, by TASKS alias and name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gristmill.schedules.rules import Rule, owner_of

if TYPE_CHECKING:
    from gristmill.compat import AnyTask


@dataclass(frozen=True)
class Declared:
    """A schedule of a task, checked."""

    name: str
    task: AnyTask
    rule: Rule


# By alias, then by name.
_schedules: dict[str, dict[str, Declared]] = {}


def declare(schedule: Declared) -> None:
    """
    Makes a schedule known, so that workers announce it.

    A task that is defined again, as when its module is, takes its schedules with it. Raises ValueError, naming both,
    where a name is taken.
    """
    task = schedule.task
    of_alias = _schedules.setdefault(task.backend, {})
    for name, other in list(of_alias.items()):
        if other.task.module_path == task.module_path and other.task.func is not task.func:
            del of_alias[name]
    known = of_alias.get(schedule.name)
    if known is not None:
        raise ValueError(taken(schedule.name, task.backend, owner_of(known.task), owner_of(task)))
    of_alias[schedule.name] = schedule


def declared(backend: str) -> dict[str, Declared]:
    """Returns the schedules that code declares for an alias, by name."""
    return dict(_schedules.get(backend, {}))


def taken(name: str, backend: str, one: str, other: str) -> str:
    """Says that two schedules have one name."""
    where = f"the schedule name {name!r} of backend '{backend}'"
    if one == other:
        return f"{where} is claimed twice by {one}; give one of them another name"
    return f"{where} is claimed by both {one} and {other}; give one of them another name"


__all__ = ["Declared", "declare", "declared", "taken"]
