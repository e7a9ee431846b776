"""What people do to schedules: define, remove, run now, pause, resume. `gristmill.operations` has it for everybody."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from datetime import timezone as dt_timezone
from typing import TYPE_CHECKING, Any, TypedDict

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from gristmill import compat
from gristmill.database.dialects import about
from gristmill.database.statements import carry_out
from gristmill.database.transactions import read_committed
from gristmill.enqueue.new_job import NewJob
from gristmill.enqueue.verbs import Rule, enqueue_one, enqueue_unique
from gristmill.exceptions import UnknownSchedule, UnknownTask
from gristmill.schedules.announcing import announced, is_schedulable, refuse_wrong_rules
from gristmill.schedules.declared import Declared
from gristmill.schedules.rules import checked_name, checked_rule, owner_of
from gristmill.tasks import registry
from gristmill.tasks.aliases import gristmill_backend
from gristmill.tasks.fitting import Fit
from gristmill.tasks.options import refuse_unique_where_schedulable
from gristmill.tasks.task import Task
from gristmill.tasks.uniqueness import Unique
from gristmill.values.ids import new_id
from gristmill.values.moments import utc_text
from gristmill.verbs.batched import now_bind, words

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from typing_extensions import Unpack

    from gristmill.backend import GristmillBackend
    from gristmill.compat import AnyTask
    from gristmill.models import Schedule
    from gristmill.results.result import JobResult
    from gristmill.schedules.decorator import CatchUp, Overlap

#: How often a run by hand is written down anew where someone else has its very microsecond.
TRIES = 10


class Options(TypedDict, total=False):
    """What a schedule may have beside its rule; see `gristmill.schedule`."""

    args: Sequence[Any]
    kwargs: Mapping[str, Any] | None
    queue_name: str | None
    timezone: str | ZoneInfo | None
    catch_up: CatchUp
    window: float | timedelta | None
    cap: int | None
    run_on_creation: bool
    datetime_kwarg: str | None
    overlap: Overlap
    jitter: float | timedelta


def define_schedule(
    name: str,
    task: AnyTask | str,
    cron: str | None = None,
    *,
    every: float | timedelta | None = None,
    backend: str | None = None,
    **options: Unpack[Options],
) -> str:
    """
    Makes a schedule in the database, or changes the one of that name; returns "created" or "changed".

    Of a task, or of its registered name, whose author allows it (`schedulable=True`). The rule and the options are
    those of `gristmill.schedule`. Where the rule changes, nothing is made up for of the time before. Raises ValueError
    or TypeError for what is wrong, also for a name that belongs to code, and UnknownTask for a task that is not
    registered here.
    """
    found = _task(task, backend)
    where = f"{owner_of(found)}: schedule {name!r}"
    if isinstance(found, Task):
        refuse_unique_where_schedulable(where, found.options)
    if not is_schedulable(found):
        raise ValueError(f"{where}: the task is not schedulable; its author allows it with @task(schedulable=True)")
    try:
        rule = checked_rule(found, cron=cron, every=every, **options)
        schedule = Declared(checked_name(name), found, rule)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{where}: {error}") from None
    try:
        refuse_wrong_rules([schedule])
    except ImproperlyConfigured as error:
        raise ValueError(str(error)) from None
    ours = gristmill_backend(found.backend)
    text = json.dumps(announced(ours, schedule), ensure_ascii=False, separators=(",", ":"))
    with read_committed(ours.database) as connection:
        rows = carry_out(connection, "schedule_define", [ours.alias, text, now_bind(ours.database)])
    if not rows:
        raise ValueError(
            f"{where}: a schedule of that name belongs to the code of backend '{ours.alias}'; take another"
        )
    return str(rows[0][0])


def remove_schedule(name: str, *, backend: str = "default") -> bool:
    """
    Removes a schedule that was made in the database; jobs that it made stay. False: there is none of that name.

    Raises ValueError for one that belongs to code.
    """
    ours = gristmill_backend(backend)
    with read_committed(ours.database) as connection:
        removed = bool(carry_out(connection, "schedule_remove", [ours.alias, words(name, "name")]))
        known = None if removed else _found(ours, name)
    if known is not None:
        raise ValueError(
            f"schedule {name!r} belongs to the code of backend '{backend}'; remove it there, or pause it meanwhile"
        )
    return removed


def pause_schedule(name: str, *, reason: str, backend: str = "default") -> None:
    """
    Pauses a schedule: it makes no jobs until it is resumed, and does not make up for them then.

    `reason` is for the people who wonder why. Pausing a paused one replaces the reason. Raises UnknownSchedule.
    """
    if not reason:
        raise ValueError("a pause needs a reason, for the people who wonder why nothing runs")
    ours = gristmill_backend(backend)
    binds = [ours.alias, words(name, "name"), words(reason, "reason"), now_bind(ours.database)]
    with read_committed(ours.database) as connection:
        if not carry_out(connection, "schedule_pause", binds):
            raise unknown(name, backend)


def resume_schedule(name: str, *, backend: str = "default") -> bool:
    """Ends a pause; what would have run meanwhile is not made up for. False: it was not paused."""
    ours = gristmill_backend(backend)
    binds = [ours.alias, words(name, "name"), now_bind(ours.database)]
    with read_committed(ours.database) as connection:
        return bool(carry_out(connection, "schedule_resume", binds))


def run_schedule(name: str, *, backend: str = "default") -> JobResult[..., Any]:
    """
    Enqueues a job of a schedule now, as one of its ticks by hand, and returns its result.

    Paused ones too. Its handler is given None where others get their instant. Where the task's jobs are unique and
    another has the key, that one's result is returned and nothing is written. Raises UnknownSchedule, also for a
    schedule that has been removed, ValueError for one that cannot be read, and TypeError for one whose arguments do not
    fit the task any more, as far as that is known here.
    """
    ours = gristmill_backend(backend)
    with read_committed(ours.database) as connection:
        schedule = _found(ours, name)
        if schedule is None or schedule.removed_at is not None:
            raise unknown(name, backend)
        job = _job_by_hand(schedule)
        now = timezone.now() if ours.uses_django_clock() else None
        if job.key is None:
            enqueue_one(connection, job, now)
        else:
            kept = enqueue_unique(connection, job, Rule(Unique()), now)
            if isinstance(kept, str):
                return ours.existing_results([kept])[kept]
        _write_down(ours, connection, schedule.name, job.id)
        ours.wake(connection)
        return ours.get_result(job.id)


def unknown(name: str, backend: str) -> UnknownSchedule:
    """Says that there is no such schedule."""
    return UnknownSchedule(
        f"backend '{backend}' has no schedule {name!r}; those of the code are known once a worker has started with them"
    )


def _task(task: AnyTask | str, backend: str | None) -> AnyTask:
    if isinstance(task, compat.Task):
        return task if backend in (None, task.backend) else task.using(backend=backend)
    registry.load()
    alias = backend or "default"
    found = registry.get(alias, task)
    if found is None:
        raise UnknownTask(f"no task is registered here under the name {task!r}")
    return found if found.backend == alias else found.using(backend=alias)


def _found(ours: GristmillBackend, name: str) -> Schedule | None:
    from gristmill.models import Schedule

    return Schedule.objects.using(ours.database).filter(backend=ours.alias, name=name).first()


def _job_by_hand(schedule: Schedule) -> NewJob:
    rule, template = schedule.rule, schedule.template
    if not rule or (schedule.job != "{}" and not template):
        raise ValueError(f"schedule {schedule.name!r} cannot be read: {schedule.problem or 'it is no JSON object'}")
    about = {"name": schedule.name, "nominal": None, "datetime_kwarg": rule.get("datetime_kwarg")}
    options = {**(template.get("options") or {}), "schedule": about}
    after = template.get("deadline_after")
    key = template.get("unique_key")
    _refuse_misfit(schedule, rule)
    return NewJob(
        id=new_id().hex,
        backend=schedule.backend,
        queue_name=template.get("queue_name") or "default",
        task_name=schedule.task_name,
        priority=int(template.get("priority") or 0),
        run_after=None,
        deadline=None if after is None else timedelta(seconds=after),
        args_json=rule.get("args") or "[]",
        kwargs_json=rule.get("kwargs") or "{}",
        options_json=json.dumps(options, ensure_ascii=False, separators=(",", ":")),
        key=key,
        until=None if key is None else template.get("unique_until") or "started",
        period=None if key is None else template.get("unique_period"),
        retention=template.get("retention"),
        held=bool(template.get("held")),
    )


def _refuse_misfit(schedule: Schedule, rule: Mapping[str, Any]) -> None:
    """Raises TypeError where the task is known here, and its code has changed so that the schedule does not fit it."""
    task = registry.get(schedule.backend, schedule.task_name)
    args, kwargs = json.loads(rule.get("args") or "[]"), json.loads(rule.get("kwargs") or "{}")
    if task is not None and isinstance(args, list) and isinstance(kwargs, dict):
        if name := rule.get("datetime_kwarg"):
            kwargs[name] = None
        Fit(task).refuse_misfit(args, kwargs, f"schedule {schedule.name!r}: ")


def _write_down(ours: GristmillBackend, connection: BaseDatabaseWrapper, name: str, job_id: str) -> None:
    """Writes down the tick by hand. Two of one schedule cannot have one instant: the later gets the next free one."""
    for more in range(TRIES):
        moment = None
        if ours.uses_django_clock():
            # It may stand still.
            moment = timezone.now() + timedelta(microseconds=more)
        elif not about(connection).has_a_clock:
            moment = datetime.now(dt_timezone.utc)
        binds = [ours.alias, name, job_id, moment and utc_text(moment)]
        if carry_out(connection, "tick_by_hand", binds):
            return
    raise RuntimeError(f"schedule {name!r} was run by hand {TRIES} times at this very moment; ask again")


__all__ = ["define_schedule", "pause_schedule", "remove_schedule", "resume_schedule", "run_schedule", "unknown"]
