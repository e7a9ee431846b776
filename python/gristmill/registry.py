"""The tasks that this process knows. A name stored in the database is a key in here and is never imported."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gristmill.compat import Task

# By TASKS alias, then by name: the module path, unless a task has a name of its own, and every alias.
tasks: dict[str, dict[str, Task[..., Any]]] = {}
_loaded = False


def register(task: Task[..., Any]) -> None:
    """
    Makes a task known under its name and its aliases.

    A copy made by `using()` does not replace what the decorator made; a later definition of the same path does, as in
    the module itself. A function made inside another one has no path that could be found again, and is left out.
    Raises InvalidTask, naming both, where two functions claim one name.
    """
    if "<locals>" in task.func.__qualname__:
        return
    of_alias = tasks.setdefault(task.backend, {})
    # Django's own tasks have neither a name of their own nor aliases.
    for name in (getattr(task, "task_name", task.module_path), *getattr(task, "aliases", ())):
        known = of_alias.get(name) or next((others[name] for others in tasks.values() if name in others), None)
        if known is not None and known.func is not task.func and known.module_path != task.module_path:
            from gristmill.compat import InvalidTask

            raise InvalidTask(f"the task name {name!r} is claimed by both {known.module_path} and {task.module_path}")
        if name not in of_alias or of_alias[name].func is not task.func:
            of_alias[name] = task


def load() -> None:
    """Imports the `tasks` module of every installed app, once; apps must be ready."""
    global _loaded
    if _loaded:
        return
    if is_for_a_benchmark():
        # A worker of `manage.py gristmill bench`: it leaves the project's jobs alone, those too that an app's import
        # has made known.
        tasks.clear()
        import gristmill.bench.tasks  # noqa: F401
    else:
        from django.utils.module_loading import autodiscover_modules

        autodiscover_modules("tasks")
    _loaded = True


def is_for_a_benchmark() -> bool:
    """Tells whether this process belongs to a worker of `manage.py gristmill bench`, which knows one task only."""
    return "GRISTMILL_BENCH_FILE" in os.environ


def get(backend: str, name: str) -> Task[..., Any] | None:
    """Returns the task of that name: the alias's own, else another alias's, whose code is the same; None if unknown."""
    own = tasks.get(backend)
    if own is not None and name in own:
        return own[name]
    return next((others[name] for others in tasks.values() if name in others), None)


def names() -> list[str]:
    """Returns every known name, aliases included, sorted: `using(backend=…)` lets any alias enqueue any task."""
    return sorted({name for of_alias in tasks.values() for name in of_alias})
