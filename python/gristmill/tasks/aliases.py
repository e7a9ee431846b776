"""The aliases of TASKS that use Gristmill."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django.apps import apps
from django.db import router

from gristmill.compat import BaseTaskBackend, InvalidTaskBackend, task_backends

if TYPE_CHECKING:
    from gristmill.backend import GristmillBackend


class OwnBackend(BaseTaskBackend):
    """What `GristmillBackend` is known by to all that it leans on, and that cannot import it."""

    @property
    def database(self) -> str:
        """The alias of the database that has the queue's tables."""
        raise NotImplementedError


def gristmill_backends() -> dict[str, GristmillBackend]:
    """Returns the backends that are Gristmill's, by alias. An alias that cannot be loaded is passed over."""
    found = {}
    for alias in task_backends:
        try:
            backend = task_backends[alias]
        except InvalidTaskBackend:
            continue
        if isinstance(backend, OwnBackend):
            found[alias] = cast("GristmillBackend", backend)
    return found


def gristmill_backend(alias: str) -> GristmillBackend:
    """Returns one of them; raises ValueError for an alias that is someone else's."""
    backend = task_backends[alias]
    if not isinstance(backend, OwnBackend):
        raise ValueError(f"backend '{alias}' of TASKS is not Gristmill's")
    return cast("GristmillBackend", backend)


def worker_command(alias: str) -> str:
    """Returns the command that starts a worker for an alias."""
    return "manage.py gristmill worker" + ("" if alias == "default" else f" --backend {alias}")


def default_database() -> str:
    """Returns where a job is of which only the id is known: the database of "default", else of the first alias."""
    known = gristmill_backends()
    if not known:
        return router.db_for_write(apps.get_model("gristmill", "Job"))
    return known.get("default", next(iter(known.values()))).database
