"""The aliases of TASKS that use Gristmill."""

from __future__ import annotations

from django.db import router

from gristmill.backend import GristmillBackend
from gristmill.compat import InvalidTaskBackend, task_backends


def gristmill_backends() -> dict[str, GristmillBackend]:
    """Returns the backends that are Gristmill's, by alias. An alias that cannot be loaded is passed over."""
    found = {}
    for alias in task_backends:
        try:
            backend = task_backends[alias]
        except InvalidTaskBackend:
            continue
        if isinstance(backend, GristmillBackend):
            found[alias] = backend
    return found


def gristmill_backend(alias: str) -> GristmillBackend:
    """Returns one of them; raises ValueError for an alias that is someone else's."""
    backend = task_backends[alias]
    if not isinstance(backend, GristmillBackend):
        raise ValueError(f"backend '{alias}' of TASKS is not Gristmill's")
    return backend


def default_database() -> str:
    """Returns where a job is of which only the id is known: the database of "default", else of the first alias."""
    from gristmill.models import Job

    known = gristmill_backends()
    if not known:
        return router.db_for_write(Job)
    return known.get("default", next(iter(known.values()))).database
