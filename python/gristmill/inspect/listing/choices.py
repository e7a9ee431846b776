"""What a list can be narrowed to: states, and the queues and tasks that are known without reading through any table."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.inspect.lanes import lanes_asked
from gristmill.inspect.listing.branches import BRANCHES
from gristmill.inspect.questions import Question, Said, ask
from gristmill.models.fields import read_json
from gristmill.tasks import registry
from gristmill.tasks.aliases import gristmill_backends

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
    return choices_said(connection, ask(connection, **choices_asked(connection)))


def choices_asked(connection: BaseDatabaseWrapper) -> dict[str, Question]:
    """Asks for the queues and tasks of ready jobs, of workers that live, and of schedules."""
    backends = backends_on(connection)
    marks = ", ".join(["%s"] * len(backends))
    if not backends:
        return {}
    return {
        "lanes": lanes_asked(backends, 0),
        "workers": Question(
            "queues, tasks",
            "select queues, tasks from gristmill_worker where stopped_at is null and lost_at is null "
            f"and backend in ({marks}) limit %s",
            [*backends, MOST],
        ),
        "schedules": Question(
            "queue_name, task_name",
            "select queue_name, task_name from gristmill_schedule where removed_at is null "
            "order by backend, name limit %s",
            [MOST],
        ),
    }


def choices_said(connection: BaseDatabaseWrapper, said: Said) -> Choices:
    """Returns what was asked for, with what settings and code know."""
    queues = {name for names in backends_on(connection).values() for name in names}
    registry.load()
    tasks = set(registry.names())
    for _, queue_name, task_name, *_ in said.get("lanes", ()):
        queues.add(queue_name)
        tasks.add(task_name)
    for served, known in said.get("workers", ()):
        included, named = read_json(served), read_json(known)
        queues.update((included.get("include") or ()) if isinstance(included, dict) else ())
        tasks.update(named if isinstance(named, list) else ())
    for queue_name, task_name in said.get("schedules", ()):
        queues.add(queue_name)
        tasks.add(task_name)
    return Choices(
        states=tuple(BRANCHES),
        queues=tuple(sorted(queues)[:MOST]),
        tasks=tuple(sorted(tasks)[:MOST]),
        more=max(len(queues), len(tasks)) > MOST,
    )


def backends_on(connection: BaseDatabaseWrapper) -> dict[str, set[str]]:
    """Returns the TASKS aliases that keep their jobs on a database, each with its QUEUES."""
    known = gristmill_backends().items()
    return {alias: set(backend.queues) for alias, backend in known if backend.database == connection.alias}
