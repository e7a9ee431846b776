"""Which queues a worker serves, and what is odd about those that somebody named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from difflib import get_close_matches

from django.core.management.base import CommandError
from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.backend import GristmillBackend
from gristmill.tasks import registry

#: Rows of a table in which a queue's name is looked for.
LOOKED_AT = 10_000
PLACES = ("gristmill_ready", "gristmill_scheduled", "gristmill_waiting", "gristmill_running")


def served_queues(
    backend: GristmillBackend, connection: BaseDatabaseWrapper, named: Sequence[str] | None, excluded: Sequence[str]
) -> list[str] | None:
    """Returns the queues to serve, None for any: those named, else those of the backend; refuses what serves none."""
    for name in named or ():
        if backend.queues and name not in backend.queues and not has_jobs(connection, backend.alias, name):
            raise CommandError(
                f"backend '{backend.alias}' has no queue {name!r}; its QUEUES are "
                f"{', '.join(map(repr, sorted(backend.queues)))}{meant(name, backend.queues)}"
            )
        if "," in name and name not in known_names(backend) and not has_jobs(connection, backend.alias, name):
            raise CommandError(f"there is no queue {name!r}{meant(name, known_names(backend))}")
    served = list(dict.fromkeys(named)) if named else sorted(backend.queues) or None
    if served is not None and not set(served) - set(excluded):
        raise CommandError(
            f"no queue is left to serve: of {', '.join(map(repr, served))} all are excluded; "
            "correct --queue, --exclude-queue or OPTIONS['WORKER']"
        )
    return served


def odd_names(
    backend: GristmillBackend, connection: BaseDatabaseWrapper, named: Sequence[str], excluded: Sequence[str]
) -> Iterator[str]:
    """Yields a sentence for each name that no setting, task or job has; it may get jobs yet."""
    for option, names in (("--queue", named), ("--exclude-queue", excluded)):
        for name in names:
            known = backend.queues or known_names(backend)
            if name not in known and not has_jobs(connection, backend.alias, name):
                yield f"{option} {name}: no setting, task or job has a queue of that name{meant(name, known)}"


def known_names(backend: GristmillBackend) -> set[str]:
    """Returns the queues of the settings and of the project's tasks."""
    with suppress(Exception):
        # What cannot be imported is told by the worker itself.
        registry.load()
    of_tasks = {task.queue_name for tasks in registry.tasks.values() for task in tasks.values()}
    return {*backend.queues, *backend.options.get("QUEUES", {}), *of_tasks}


def has_jobs(connection: BaseDatabaseWrapper, backend: str, queue_name: str) -> bool:
    """Tells whether jobs that have not ended are in a queue, as far as it looks."""
    with connection.cursor() as cursor:
        for table in PLACES:
            cursor.execute(
                f"select 1 from (select backend, queue_name from {table} limit %s) as looked_at "
                "where backend = %s and queue_name = %s limit 1",
                [LOOKED_AT, backend, queue_name],
            )
            if cursor.fetchall():
                return True
    return False


def meant(name: str, known: set[str]) -> str:
    """Says what may have been meant."""
    if "," in name:
        parts = [f"--queue {part.strip()}" for part in name.split(",") if part.strip()]
        return f"; name one at a time: {' '.join(parts)}"
    by_case = {each.lower(): each for each in known}
    near = get_close_matches(name.lower(), by_case, n=1)
    return f"; did you mean {by_case[near[0]]!r}?" if near else ""
