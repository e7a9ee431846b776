"""The tasks that this process knows. A name stored in the database is a key in here and is never imported."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gristmill.compat import Task

# By TASKS alias, then by module path.
tasks: dict[str, dict[str, Task[..., Any]]] = {}
_loaded = False


def register(task: Task[..., Any]) -> None:
    """
    Makes a task known under its module path.

    The first of a name stays, so that a copy made by `using()` does not replace what the decorator made. A function
    made inside another one has no path that could be found again, and is left out.
    """
    if "<locals>" not in task.func.__qualname__:
        tasks.setdefault(task.backend, {}).setdefault(task.module_path, task)


def load() -> None:
    """Imports the `tasks` module of every installed app, once; apps must be ready."""
    global _loaded
    if _loaded:
        return
    if "GRISTMILL_BENCH_FILE" in os.environ:
        # A worker of `manage.py gristmill bench`: it leaves the project's jobs alone, those too that an app's import
        # has made known.
        tasks.clear()
        import gristmill.bench.tasks  # noqa: F401
    else:
        from django.utils.module_loading import autodiscover_modules

        autodiscover_modules("tasks")
    _loaded = True


def get(backend: str, name: str) -> Task[..., Any] | None:
    """Returns the task of that name: the alias's own, else another alias's, whose code is the same; None if unknown."""
    own = tasks.get(backend)
    if own is not None and name in own:
        return own[name]
    return next((others[name] for others in tasks.values() if name in others), None)


def names() -> list[str]:
    """Returns every known name, sorted: `using(backend=…)` lets any alias enqueue any task."""
    return sorted({name for of_alias in tasks.values() for name in of_alias})
