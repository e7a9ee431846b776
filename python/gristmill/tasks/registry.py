"""The tasks that this process knows. A name stored in the database is a key in here and is never imported."""

from __future__ import annotations

import os
import sys
from inspect import unwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gristmill.compat import Task

# By TASKS alias, then by name: the module path, unless a task has a name of its own, and every alias.
tasks: dict[str, dict[str, Task[..., Any]]] = {}
# Tasks that were given options under an alias whose backend takes none of ours.
without_effect: dict[str, list[str]] = {}
# Modules with tasks that are imported by whoever starts as a worker does: by django.setup(), or by `load`.
imported_at_start: set[str] = set()
# By a function's path, the module's execution that defined it: importing it anew makes a new spec.
_executions: dict[str, Any] = {}
_loaded = _loading = False


def register(task: Task[..., Any]) -> None:
    """
    Makes a task known under its name and its aliases.

    A copy made by `using()` does not replace what the decorator made; what a module that is imported anew defines
    does. A function made inside another one has no path that could be found again, and is left out. Raises
    InvalidTask, naming both, where two functions claim one name or have one path.
    """
    if "<locals>" in task.func.__qualname__:
        return
    from django.apps import apps

    if _loading or not apps.ready:
        imported_at_start.add(task.func.__module__)
    of_alias = tasks.setdefault(task.backend, {})
    # Django's own tasks have neither a name of their own nor aliases.
    for name in (getattr(task, "task_name", task.module_path), *getattr(task, "aliases", ())):
        known = of_alias.get(name) or next((others[name] for others in tasks.values() if name in others), None)
        if known is not None and known.func is not task.func and known.module_path != task.module_path:
            from gristmill.compat import InvalidTask

            raise InvalidTask(f"the task name {name!r} is claimed by both {known.module_path} and {task.module_path}")
        if known is not None and known.func is not task.func and is_of_one_execution(known, task):
            from gristmill.compat import InvalidTask

            raise InvalidTask(
                f"{task.module_path} is the path of two functions, {where_is(known)} and {where_is(task)}; workers "
                "find a task by its path, so give one of them another name"
            )
        if name not in of_alias or of_alias[name].func is not task.func:
            of_alias[name] = task
    _executions[f"{task.func.__module__}.{task.func.__qualname__}"] = execution_of(task)


def is_of_one_execution(known: Task[..., Any], task: Task[..., Any]) -> bool:
    """Tells whether two different functions were defined by one import of their module, and not by one anew."""
    execution = execution_of(task)
    is_copy = known.func.__code__ is task.func.__code__ and task.func.__closure__ is None
    return execution is not None and execution is _executions.get(known.module_path) and not is_copy


def execution_of(task: Task[..., Any]) -> Any:
    """Returns what stands for the import that defined a function; None for what a person types into a shell."""
    module = sys.modules.get(task.func.__module__)
    if module is None or getattr(unwrap(task.func), "__globals__", None) is not vars(module):
        return None
    return module.__spec__


def where_is(task: Task[..., Any]) -> str:
    """Says where a function stands."""
    code = unwrap(task.func).__code__
    return f"{os.path.basename(code.co_filename)}:{code.co_firstlineno}"


def load() -> None:
    """Imports the modules that OPTIONS["TASK_MODULES"] names, once; apps must be ready."""
    global _loaded, _loading
    if _loaded:
        return
    _loading = True
    try:
        _load()
    finally:
        _loading = False
    _loaded = True


def _load() -> None:
    from gristmill.tasks.discovery.modules import import_benchmark, import_task_modules

    if is_for_a_benchmark():
        # A worker of `manage.py gristmill bench`: it leaves the project's jobs alone, those too that an app's import
        # has made known.
        tasks.clear()
        import_benchmark()
    else:
        import_task_modules()


def is_for_a_benchmark() -> bool:
    """Tells whether this process belongs to a worker of `manage.py gristmill bench`, which knows one task only."""
    return "GRISTMILL_BENCH_FILE" in os.environ


def get(backend: str, name: str) -> Task[..., Any] | None:
    """Returns the task of that name: the alias's own, else another alias's, whose code is the same; None if unknown."""
    own = tasks.get(backend)
    if own is not None and name in own:
        return own[name]
    return next((others[name] for others in tasks.values() if name in others), None)


def knows_the_projects() -> bool:
    """Tells whether any task is known that is not this package's own."""
    return any(
        not task.func.__module__.startswith("gristmill.") for of_alias in tasks.values() for task in of_alias.values()
    )


def module_count() -> int:
    """Returns how many modules have tasks."""
    return len({task.func.__module__ for of_alias in tasks.values() for task in of_alias.values()})


def names() -> list[str]:
    """Returns every known name, aliases included, sorted: `using(backend=…)` lets any alias enqueue any task."""
    return sorted({name for of_alias in tasks.values() for name in of_alias})
