"""
The form by which people make schedules of their own, and change them, of tasks whose authors allow it.

It asks for what most schedules have. What is rarer stays as it is where a schedule has it, and is set by
`operations.define_schedule`, which says what is wrong here too.
"""

from __future__ import annotations

import json
from argparse import ArgumentTypeError
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ImproperlyConfigured, ValidationError

from gristmill import operations
from gristmill.compat import InvalidTask
from gristmill.exceptions import UnknownTask
from gristmill.schedules.announcing import schedulable_tasks
from gristmill.schedules.rules import CATCH_UP, MOST_CAP, OVERLAP
from gristmill.tasks import registry
from gristmill.tasks.aliases import gristmill_backends
from gristmill.tasks.option_rules import MOST_NAME
from gristmill.values.durations import duration

if TYPE_CHECKING:
    from gristmill.inspect.schedules import ScheduleSeen

#: What a schedule may have that the form does not ask for.
KEPT = ("window", "cap", "jitter", "run_on_creation", "datetime_kwarg")
#: Tasks that are offered.
MOST_TASKS = 1_000
CATCH_UP_WORDS = {"latest": "the latest one", "none": "none of them", "all": f"all of them, up to {MOST_CAP:,}"}
OVERLAP_WORDS = {"allow": "may run beside an earlier one", "skip": "is left out while an earlier one has not ended"}


class ScheduleForm(forms.Form):
    """What a schedule is to be; `save` makes or changes it."""

    name = forms.CharField(max_length=MOST_NAME)
    task = forms.ChoiceField(help_text="Tasks with <code>schedulable=True</code>.")
    cron = forms.CharField(
        required=False, max_length=1_000, help_text="Such as <code>30 8 * * mon-fri</code>; or an interval instead."
    )
    every = forms.CharField(required=False, max_length=20, help_text="Such as 90s, 15m, 2h, 7d.")
    timezone = forms.CharField(required=False, max_length=100, help_text="Such as Europe/Zurich; else the project's.")
    args = forms.CharField(required=False, label="Arguments", help_text="A JSON list, such as <code>[7]</code>.")
    kwargs = forms.CharField(
        required=False, label="Keywords", help_text='A JSON object, such as <code>{"id": 7}</code>.'
    )
    catch_up = forms.ChoiceField(label="Of missed instants", choices=[(one, CATCH_UP_WORDS[one]) for one in CATCH_UP])
    overlap = forms.ChoiceField(label="A tick", choices=[(one, OVERLAP_WORDS[one]) for one in OVERLAP])

    def __init__(self, data: Any = None, *, changed: ScheduleSeen | None = None) -> None:
        super().__init__(data, initial=initial_of(changed) if changed is not None else {})
        self.changed = changed
        self.tasks = choices()
        task: Any = self.fields["task"]
        task.choices = self.tasks
        if changed is not None:
            # Another name would be another schedule.
            self.fields["name"].disabled = True

    def clean_args(self) -> Any:
        """Returns them as a list."""
        return self._json("args", list, "[7]")

    def clean_kwargs(self) -> Any:
        """Returns them as a dictionary."""
        return self._json("kwargs", dict, '{"id": 7}')

    def clean_every(self) -> Any:
        """Returns the interval, None where there is none."""
        text = self.cleaned_data["every"]
        try:
            return duration(text) if text else None
        except (ArgumentTypeError, ValueError) as error:
            raise ValidationError(f"{error}.") from None

    def _json(self, name: str, kind: type, example: str) -> Any:
        text = self.cleaned_data[name].strip()
        try:
            value = json.loads(text) if text else kind()
        except ValueError as error:
            raise ValidationError(f"It is not JSON: {error}.") from None
        if not isinstance(value, kind):
            raise ValidationError(f"It has to be like {example}.")
        return value

    def save(self) -> str:
        """Makes or changes the schedule; returns what was done. What is wrong is an error of the form, and "" then."""
        given = self.cleaned_data
        alias, _, task = given["task"].partition(":")
        kept: Mapping[str, Any] = self.changed.rule if self.changed is not None else {}
        options: dict[str, Any] = {name: kept[name] for name in KEPT if kept.get(name) is not None}
        options |= {name: given[name] for name in ("args", "kwargs", "every", "catch_up", "overlap")}
        if self.changed is not None and self.changed.queue_name:
            options["queue_name"] = self.changed.queue_name
        try:
            done = operations.define_schedule(
                given["name"], task, given["cron"] or None, backend=alias, timezone=given["timezone"] or None, **options
            )
        except (TypeError, ValueError, ImproperlyConfigured, InvalidTask, UnknownTask) as error:
            self.add_error(None, f"{error}.")
            return ""
        return f"{'Made' if done == 'created' else 'Changed'} schedule {given['name']}"

    @property
    def key(self) -> str:
        """The alias and the name, by which the pages know it."""
        return f"{self.cleaned_data['task'].partition(':')[0]}/{self.cleaned_data['name']}"


def choices() -> list[tuple[str, str]]:
    """Returns the tasks that people may make schedules of, by alias and name."""
    registry.load()
    backends = gristmill_backends()
    found = [(alias, name) for alias, backend in backends.items() for name in sorted(schedulable_tasks(backend))]
    return [
        (f"{alias}:{name}", name if len(backends) == 1 else f"{name} ({alias})") for alias, name in found[:MOST_TASKS]
    ]


def initial_of(schedule: ScheduleSeen) -> dict[str, Any]:
    """Returns what a schedule is like now, as the form has it."""
    rule = schedule.rule
    by_a_clock = rule.get("cron") not in (None, "manual")
    return {
        "name": schedule.name,
        "task": f"{schedule.backend}:{schedule.task_name}",
        "cron": rule.get("cron") or "",
        "every": f"{rule['every']:g}s" if rule.get("every") else "",
        "timezone": rule.get("timezone", "") if by_a_clock else "",
        "args": rule.get("args", ""),
        "kwargs": rule.get("kwargs", ""),
        "catch_up": rule.get("catch_up", CATCH_UP[0]),
        "overlap": rule.get("overlap", OVERLAP[0]),
    }
