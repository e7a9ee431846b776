"""What a list can be narrowed to: states, and the queues and tasks that are known without reading through any table."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.inspect.lanes import lane_names
from gristmill.inspect.listing.branches import BRANCHES
from gristmill.inspect.survey import live_workers
from gristmill.models import Schedule
from gristmill.tasks import registry
from gristmill.tasks.aliases import gristmill_backends
from gristmill.values.moments import database_now

#: A menu that is longer is of no use; who wants another name writes it.
MOST = 500


@dataclass(frozen=True)
class Choices:
    """
    What may be chosen. `more` where there is more than is named, 500 of each at most.

    Queues and tasks are those of the settings, of this process's code, of ready jobs, of workers that run and of
    schedules: a queue or a task of finished jobs alone is not among them.
    """

    states: tuple[str, ...]
    queues: tuple[str, ...]
    tasks: tuple[str, ...]
    more: bool


def choices(connection: BaseDatabaseWrapper) -> Choices:
    """Returns what a list of the jobs on this database can be narrowed to."""
    backends = {
        alias: set(backend.queues)
        for alias, backend in gristmill_backends().items()
        if backend.database == connection.alias
    }
    queues = {name for names in backends.values() for name in names}
    registry.load()
    tasks = set(registry.names())
    for _, queue_name, task_name in lane_names(connection, backends):
        queues.add(queue_name)
        tasks.add(task_name)
    for worker in live_workers(connection, backends, database_now(connection))[:MOST]:
        queues.update(worker.include_queues or ())
        tasks.update(worker.tasks)
    made = Schedule.objects.using(connection.alias).filter(removed_at=None).order_by("backend", "name")
    for queue_name, task_name in made.values_list("queue_name", "task_name")[:MOST]:
        queues.add(queue_name)
        tasks.add(task_name)
    return Choices(
        states=tuple(BRANCHES),
        queues=tuple(sorted(queues)[:MOST]),
        tasks=tuple(sorted(tasks)[:MOST]),
        more=max(len(queues), len(tasks)) > MOST,
    )
