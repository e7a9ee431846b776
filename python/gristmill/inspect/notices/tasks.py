"""
The two tasks that tell of failures, and the schedule that has them looked for every minute.

A worker imports this module with those of the project where OPTIONS["NOTIFY"] names somebody. They are jobs like any
other: tried again where a mail server is away, cut off when they take too long, and nothing to the jobs that failed.
"""

from __future__ import annotations

from typing import Any

from gristmill.compat import AnyTask, task_backends
from gristmill.inspect.notices import looking, telling
from gristmill.schedules.declared import Declared, declare
from gristmill.schedules.rules import checked_rule
from gristmill.tasks import notify
from gristmill.tasks.aliases import gristmill_backend, gristmill_backends
from gristmill.tasks.backoff import Exponential
from gristmill.tasks.decorators import task

#: What its jobs are stored under, wherever the functions stand; and the schedule's name.
LOOK, TELL, SCHEDULE = f"{looking.OWN}look", f"{looking.OWN}tell", "gristmill.notices"
#: Seconds between two looks.
EVERY = 60
#: A look that has passed says nothing.
OF_LOOK: dict[str, Any] = {"timeout": 60, "expires": 300, "retention": 3600}
OF_TELL: dict[str, Any] = {"timeout": 60, "max_attempts": 8, "backoff": Exponential(base=15, factor=3, max=3600)}


def look(context: Any) -> int:
    """Looks for failures that nobody has been told of; returns how many there are."""
    alias = context.task_result.backend
    return looking.look(alias, gristmill_backend(alias).database, tasks_of(alias)[1])


def tell(context: Any, fingerprint: str, job_id: str, hour: str) -> bool:
    """Tells of failures of one cause, once."""
    return telling.tell(gristmill_backend(context.task_result.backend), fingerprint, job_id, hour)


def tasks_of(alias: str) -> tuple[AnyTask, AnyTask]:
    """Returns both tasks of an alias, in its usual queue."""
    queues = task_backends[alias].queues
    where: dict[str, Any] = {
        "backend": alias,
        "queue_name": "default" if not queues or "default" in queues else min(queues),
    }
    one: AnyTask = task(name=LOOK, takes_context=True, **where, **OF_LOOK)(look)
    other: AnyTask = task(name=TELL, takes_context=True, **where, **OF_TELL)(tell)
    return one, other


def make_known() -> None:
    """Makes tasks and schedule known for every alias that tells somebody."""
    for alias, backend in gristmill_backends().items():
        if notify.is_set(backend.options) and notify.notify_error(backend.options) is None:
            one, _ = tasks_of(alias)
            declare(Declared(SCHEDULE, one, checked_rule(one, every=EVERY, overlap="skip")))


make_known()
