"""
Schedules of the settings: TASKS[alias]["OPTIONS"]["SCHEDULES"].

    "SCHEDULES": {"nightly": {"task": "shop.tasks.report", "cron": "0 2 * * *", "timezone": "Europe/Zurich"}}

`task` is a key into the tasks that are registered; nothing is imported by it.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured

from gristmill.schedules.declared import Declared
from gristmill.schedules.rules import checked_name, checked_rule
from gristmill.tasks import registry

if TYPE_CHECKING:
    from gristmill.backend import GristmillBackend

WHERE = "TASKS['{alias}']['OPTIONS']['SCHEDULES']"
#: What an entry may have beside its task.
OPTIONS = tuple(list(inspect.signature(checked_rule).parameters)[1:])


def from_settings(backend: GristmillBackend) -> list[Declared]:
    """Returns them; raises ImproperlyConfigured for the first that is wrong."""
    found = list(_each(backend))
    for one in found:
        if isinstance(one, str):
            raise ImproperlyConfigured(one)
    return [one for one in found if isinstance(one, Declared)]


def setting_errors(backend: GristmillBackend) -> list[str]:
    """Returns one sentence for each that is wrong."""
    return [one for one in _each(backend) if isinstance(one, str)]


def _each(backend: GristmillBackend) -> Iterator[Declared | str]:
    where = WHERE.format(alias=backend.alias)
    given = {} if registry.is_for_a_benchmark() else backend.options.get("SCHEDULES", {})
    if not isinstance(given, dict):
        yield f"{where} must be a dictionary of schedules by name, not {given!r}"
        return
    for name, entry in given.items():
        try:
            yield _declared(backend, name, entry)
        except (TypeError, ValueError) as error:
            yield f"{where}[{name!r}]: {error}"


def _declared(backend: GristmillBackend, name: Any, entry: Any) -> Declared:
    checked_name(name)
    if not isinstance(entry, dict):
        raise ValueError(f"it must be a dictionary with a task and its rule, not {entry!r}")
    for option in entry:
        if option not in ("task", *OPTIONS):
            near = difflib.get_close_matches(str(option), ("task", *OPTIONS), n=1)
            hint = f"did you mean {near[0]}?" if near else f"the options are task, {', '.join(OPTIONS)}"
            raise ValueError(f"unknown option {option!r}; {hint}")
    task_name = entry.get("task")
    if not isinstance(task_name, str):
        raise ValueError(f"task must be the name that a task is registered under; got {task_name!r}")
    task = registry.get(backend.alias, task_name)
    if task is None:
        near = difflib.get_close_matches(task_name, registry.names(), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"no task is registered under the name {task_name!r}{hint}")
    if task.backend != backend.alias:
        task = task.using(backend=backend.alias)
    options = {option: value for option, value in entry.items() if option != "task"}
    return Declared(name, task, checked_rule(task, **options))


__all__ = ["from_settings", "setting_errors"]
