"""The system check of Django's own backends for tests, beside tasks that have Gristmill's options."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Warning

from gristmill.compat import InvalidTaskBackend, dummy, immediate, task_backends
from gristmill.tasks import registry

#: By Django's class, ours that does the same.
OURS = {
    dummy.DummyBackend: "gristmill.backends.dummy.DummyBackend",
    immediate.ImmediateBackend: "gristmill.backends.immediate.ImmediateBackend",
}
#: Tasks that one message names.
SHOWN = 3


def check_djangos_own(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Names the aliases of Django's own backends whose tasks were given options that have no effect there."""
    return [
        Warning(
            f"TASKS['{alias}'] uses Django's own {kind.__name__}, where the options of {', '.join(names[:SHOWN])}"
            f"{' and others' if len(names) > SHOWN else ''} have no effect.",
            hint=f"Use '{OURS[kind]}', which does the same and takes them.",
            id="gristmill.W007",
        )
        for alias, names in registry.without_effect.items()
        if (kind := kind_of(alias)) in OURS
    ]


def kind_of(alias: str) -> type[Any]:
    """Returns the class of an alias's backend."""
    try:
        return type(task_backends[alias])
    except InvalidTaskBackend:
        return object
