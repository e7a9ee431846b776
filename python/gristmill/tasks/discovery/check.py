"""The system check of tasks that no worker would know."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from gristmill.tasks import registry
from gristmill.tasks.aliases import gristmill_backends
from gristmill.tasks.discovery import causes
from gristmill.tasks.discovery.modules import missing

#: Tasks that one message names.
SHOWN = 3


def check_task_modules(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Names what OPTIONS["TASK_MODULES"] names in vain, and the modules with tasks that no worker imports."""
    if not gristmill_backends():
        return []
    if (sentence := missing()) is not None:
        return [Error(f"{sentence}.", id="gristmill.E012")]
    # In tests jobs are run by the process that knows them, and tasks may stand in the tests themselves.
    return [] if causes.is_in_tests() else list(_unknown())


def _unknown() -> Iterator[CheckMessage]:
    # Django's own check imports the project's views; whichever of the two comes first.
    with suppress(Exception):
        import_module(str(getattr(settings, "ROOT_URLCONF", "")))
    by_module: dict[str, list[str]] = {}
    for of_alias in registry.tasks.values():
        for name, task in of_alias.items():
            by_module.setdefault(task.func.__module__, []).append(name)
    for module, names in sorted(by_module.items()):
        if (why := causes.why_not_imported(module)) is None:
            continue
        told = ", ".join(sorted(names)[:SHOWN]) + (" and others" if len(names) > SHOWN else "")
        yield Warning(f"No worker will know the tasks of {module}: {told}.", hint=f"{why[0].upper()}{why[1:]}.",
                      id="gristmill.W006")  # fmt: skip
