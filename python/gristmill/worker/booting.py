"""Imports a project as a worker needs it: Django, the tasks, and nothing left open that a fork could not have."""

from __future__ import annotations

import gc
import json
import logging
import os
import platform
import sys
from importlib import import_module
from inspect import iscoroutinefunction
from typing import Any

from gristmill.schedules.announcing import announcement
from gristmill.tasks import registry
from gristmill.tasks.aliases import gristmill_backends
from gristmill.worker import logs
from gristmill.worker.fork_safety import refuse_threads

logger = logging.getLogger("gristmill")


def boot(settings_module: str | None, python_path: list[str]) -> None:
    """Imports Django, the project and its tasks, and closes what they opened; raises whatever they raise."""
    if python_path:
        sys.path[:] = python_path
    if settings_module:
        os.environ["DJANGO_SETTINGS_MODULE"] = settings_module

    call_before_setup()

    import django

    take_database_names()
    django.setup()
    logs.configure()
    registry.load()
    warn_without_tasks()

    from django.core.cache import caches
    from django.db import connections

    connections.close_all()
    caches.close_all()
    gc.collect()
    gc.freeze()
    refuse_threads()


def warn_without_tasks() -> None:
    """Says where nothing but mail will run: whoever has written a task has it in a module that was not imported."""
    if not registry.knows_the_projects() and not registry.is_for_a_benchmark():
        logger.warning(
            "no task of this project is known here, so nothing but mail will run: OPTIONS['TASK_MODULES'] names the "
            "modules that have some, which is `tasks` of every app in INSTALLED_APPS unless it says otherwise"
        )


def call_before_setup() -> None:
    """Calls what OPTIONS["SETUP"] names: what django-configurations and others need done before django.setup()."""
    module, _, name = os.environ.pop("GRISTMILL_SETUP", "").rpartition(".")
    if module:
        getattr(import_module(module), name)()


def take_database_names() -> None:
    """Uses the databases of the process that called for this worker: in a test those that the test runner has made."""
    names = json.loads(os.environ.pop("GRISTMILL_DATABASE_NAMES", "{}"))
    if names:
        from django.conf import settings

        for alias, name in names.items():
            settings.DATABASES[alias]["NAME"] = name


def what_is_known() -> dict[str, Any]:
    """Returns what a worker is told of the project that was imported."""
    return {
        "tasks": registry.names(),
        "async": async_names(),
        "modules": registry.module_count(),
        "python": platform.python_version(),
        "django": sys.modules["django"].get_version(),
    }


def schedules_of(backend: str) -> dict[str, Any]:
    """Returns the schedules of the worker's backend, as it announces them; raises for those that are wrong."""
    served = gristmill_backends().get(backend)
    return {"schedules": [], "schedulable": {}} if served is None else announcement(served)


def async_names() -> list[str]:
    """Names the tasks of which many run at a time in one runner: coroutine functions."""
    tasks = [(name, registry.get("default", name)) for name in registry.names()]
    return [
        name
        for name, task in tasks
        if task is not None and iscoroutinefunction(task.func) and not getattr(task, "transactional", False)
    ]
