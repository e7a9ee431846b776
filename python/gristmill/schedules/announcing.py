"""
What a worker is told of schedules as it starts, and `run_jobs()` likewise: JSON, as `crates/core` reads it.

The rows that the engine makes of this are what ticks; a worker's own code is not asked again. So a job's template is
in it: queue, priority, options, deadline and key, as an enqueue would have them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from gristmill.enqueue.preparation import prepared_for
from gristmill.schedules.declared import Declared, declared, taken
from gristmill.schedules.engine_cron import ask_if_possible, question
from gristmill.schedules.rules import Rule, owner_of
from gristmill.schedules.settings import WHERE, from_settings
from gristmill.tasks import registry
from gristmill.tasks.task import task_name_of

if TYPE_CHECKING:
    from gristmill.backend import GristmillBackend
    from gristmill.compat import AnyTask


def announcement(backend: GristmillBackend) -> dict[str, Any]:
    """
    Returns every schedule of an alias, and the tasks that people may make schedules of: as the engine takes them.

    The project's tasks are imported by now. Raises ImproperlyConfigured for the first schedule of the settings that is
    wrong, and for the first rule that is none.
    """
    schedules, wheres = declared(backend.alias), dict[str, str]()
    for each in from_settings(backend):
        wheres[each.name] = f"{WHERE.format(alias=backend.alias)}[{each.name!r}]"
        if each.name in schedules:
            owner = owner_of(schedules[each.name].task)
            raise ImproperlyConfigured(taken(each.name, backend.alias, owner, wheres[each.name]))
        schedules[each.name] = each
    refuse_wrong_rules(schedules.values(), wheres)
    return {
        "schedules": [announced(backend, schedules[name]) for name in sorted(schedules)],
        "schedulable": {name: template(backend, task) for name, task in sorted(schedulable_tasks(backend).items())},
    }


def refuse_wrong_rules(schedules: Iterable[Declared], wheres: Mapping[str, str] | None = None) -> None:
    """
    Raises ImproperlyConfigured for the first cron expression that the engine cannot read, in its words.

    `wheres` says, by name, where a schedule stands that is not above its task. Where no engine can be asked, whoever
    ticks the schedule finds it.
    """
    asked = [each for each in schedules if each.rule.cron is not None]
    answers = ask_if_possible([question(definition(each.rule)) for each in asked]) or []
    for each, answer in zip(asked, answers, strict=False):
        if answer.error is not None:
            where = (wheres or {}).get(each.name) or f"{owner_of(each.task)}: schedule {each.name!r}"
            raise ImproperlyConfigured(f"{where}: cron: {answer.error}")


def announced(backend: GristmillBackend, schedule: Declared) -> dict[str, Any]:
    """Returns one schedule as the engine takes it."""
    return {
        "name": schedule.name,
        "queue_name": schedule.rule.queue_name,
        "task_name": task_name_of(schedule.task),
        "definition": definition(schedule.rule),
        "job": template(backend, schedule.task, schedule.rule.unique_key),
    }


def definition(rule: Rule) -> dict[str, Any]:
    """Returns a rule with its policies and arguments. A cron expression without a zone goes by the project's."""
    by_a_clock = rule.cron not in (None, "manual")
    return {
        "cron": rule.cron,
        "every": rule.every,
        "timezone": (rule.timezone or timezone.get_default_timezone_name()) if by_a_clock else "UTC",
        "catch_up": rule.catch_up,
        "window": rule.window,
        "cap": rule.cap,
        "overlap": rule.overlap,
        "jitter": rule.jitter,
        "run_on_creation": rule.run_on_creation,
        "datetime_kwarg": rule.datetime_kwarg,
        "args": rule.args,
        "kwargs": rule.kwargs,
    }


def template(backend: GristmillBackend, task: AnyTask, unique_key: str | None = None) -> dict[str, Any]:
    """Returns what all jobs of a task's schedule have in common."""
    prepared = prepared_for(backend, task)
    if isinstance(prepared.deadline, datetime):
        raise ImproperlyConfigured(
            f"{owner_of(task)}: its deadline is a date by the project's defaults, which most jobs of a schedule would "
            "pass; give it in seconds"
        )
    return {
        "queue_name": task.queue_name,
        "priority": int(task.priority),
        "options": None if prepared.options_json is None else json.loads(prepared.options_json),
        "deadline_after": None if prepared.deadline is None else prepared.deadline.total_seconds(),
        "unique_key": unique_key,
        "unique_until": None if unique_key is None else prepared.unique.until,
        "unique_period": None if unique_key is None else prepared.unique.period,
        "retention": prepared.retention,
        "held": prepared.held,
    }


def schedulable_tasks(backend: GristmillBackend) -> dict[str, AnyTask]:
    """Returns the tasks of an alias that people may make schedules of, by every name that they are known under."""
    known = registry.tasks.get(backend.alias, {})
    return {name: task for name, task in known.items() if is_schedulable(task)}


def is_schedulable(task: AnyTask) -> bool:
    """Tells whether a task's author lets people make schedules of it."""
    options = getattr(task, "options", None)
    return options is not None and options.schedulable is True


__all__ = ["announced", "announcement", "definition", "is_schedulable", "schedulable_tasks", "template"]
