"""Why no worker would know a task, said so that it can be mended."""

from __future__ import annotations

import logging
import sys
from functools import lru_cache
from typing import TYPE_CHECKING

from gristmill.tasks import registry
from gristmill.tasks.discovery.imports import reaches
from gristmill.tasks.discovery.modules import NAME, last, patterns, spec_of, task_modules

if TYPE_CHECKING:
    from gristmill.compat import AnyTask

logger = logging.getLogger("gristmill")

_warned: set[str] = set()


def warn_unless_imported(task: AnyTask) -> None:
    """Says once a task, in the log, that it was enqueued and no worker will import its module."""
    from django.apps import apps

    name = getattr(task, "task_name", task.module_path)
    # In tests jobs are run by this process, which knows the task.
    if getattr(task, "is_remote", False) or name in _warned or not apps.ready or is_in_tests():
        return
    _warned.add(name)
    if (why := why_not_imported(task.func.__module__)) is not None:
        logger.warning("no worker will know the task %s that was enqueued: %s", name, why)


def is_in_tests() -> bool:
    """Tells whether Django's test environment is set up."""
    utils = sys.modules.get("django.test.utils")
    return utils is not None and hasattr(utils._TestState, "saved_data")


def why_not_imported(module: str) -> str | None:
    """Says why a worker does not import a module, and what to do; None where it does."""
    return None if module in registry.imported_at_start else _why_not_imported(module)


@lru_cache(maxsize=1024)
def _why_not_imported(module: str) -> str | None:
    from django.apps import apps

    if module == "__main__":
        return "it is defined in a program (__main__), which no worker can import; move it to a module of an app"
    named = task_modules()
    if module in named or reaches([*named, *setup_modules()], module):
        return None
    said = " and ".join(f"{pattern!r}" for pattern in patterns())
    if apps.get_containing_app_config(module) is None and last(module) in patterns():
        return (
            f"{module.rpartition('.')[0]!r} is not in INSTALLED_APPS, and workers import {said} of installed apps; "
            f"add the app there, or {module!r} to OPTIONS['{NAME}']"
        )
    return (
        f"workers import {said} of installed apps, and not {module}; add {module!r} to OPTIONS['{NAME}'] of TASKS, "
        "or import it in a module that they import"
    )


def setup_modules() -> list[str]:
    """Returns what django.setup() imports of the project: each app, its configuration and its models."""
    from django.apps import apps

    found = []
    for config in apps.get_app_configs():
        if config.name.startswith("django."):
            continue
        found += [config.name, type(config).__module__]
        if config.models_module is not None:
            found.append(config.models_module.__name__)
    return found


def why_unknown(name: str) -> str | None:
    """
    Says why no worker of this code knows a task of this name; None where one does.

    Imports the project's tasks, as a worker does.
    """
    try:
        registry.load()
    except Exception as error:
        return f"the project's tasks cannot be imported here ({type(error).__name__}: {' '.join(str(error).split())})"
    known = next((of_alias[name] for of_alias in registry.tasks.values() if name in of_alias), None)
    if known is not None:
        return why_not_imported(known.func.__module__)
    if name.startswith("__main__."):
        return why_not_imported("__main__")
    module = module_of(name)
    if module is None:
        return "no module here defines a task of that name; its code is older or newer, or another project's"
    if (why := why_not_imported(module)) is not None:
        return why
    return (
        f"{module} is imported and has no task of that name; where it was renamed or moved, give the new one "
        f"aliases=[{name!r}]"
    )


def module_of(name: str) -> str | None:
    """Returns the module that a task's path begins with, where there is one."""
    parts = name.split(".")
    for count in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:count])
        if spec_of(module) is not None:
            return module if count > 1 or len(parts) == 2 else None
    return None


__all__ = ["module_of", "warn_unless_imported", "why_not_imported", "why_unknown"]
