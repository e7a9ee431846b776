"""A job's arguments as people may see them: by what its task says is secret, what it was stored with, the settings."""

from __future__ import annotations

from functools import lru_cache
from inspect import Parameter
from typing import Any

from gristmill.compat import task_backends
from gristmill.inspect.redacting import HIDDEN, Shown, Words, revealed, shown
from gristmill.models.fields import read_json
from gristmill.tasks import fitting, registry
from gristmill.tasks.options import NOT_GIVEN
from gristmill.tasks.secret_words import secret_words


def arguments_of(
    backend: str, task_name: str, args: Any, kwargs: Any, options: Any = None, *, reveal: bool = False
) -> Shown | None:
    """
    Returns the arguments of a job, as they were read or as JSON text; None for what is no list and no object.

    The task is looked up among those that this process knows. Options that cannot be read hide everything, as they
    might say so.
    """
    args, kwargs, options = (read_json(each) if isinstance(each, str) else each for each in (args, kwargs, options))
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        return None
    parameters = parameters_of(backend, task_name)
    if reveal:
        return revealed(args, kwargs, parameters)
    return shown(args, kwargs, parameters, secrets_of(backend, task_name, options), words_of(backend))


def secrets_of(backend: str, task_name: str, options: Any) -> frozenset[str] | bool:
    """Returns which arguments are secret, True for all: by the task of this code and what was stored with the job."""
    task = registry.get(backend, task_name)
    said = [getattr(getattr(task, "options", None), "redact", NOT_GIVEN)]
    if options is not None:
        said.append(options.get("redact") if isinstance(options, dict) else True)
    given = [each for each in said if each and each is not NOT_GIVEN]
    if not all(isinstance(each, (list, tuple)) for each in given):
        return True
    return frozenset(str(name) for each in given for name in each)


def is_all_secret(backend: str, task_name: str, options: Any) -> bool:
    """Tells whether a job's task says that all of it is secret."""
    return secrets_of(backend, task_name, read_json(options) if isinstance(options, str) else options) is True


def parameters_of(backend: str, task_name: str) -> tuple[Parameter, ...] | None:
    """Returns what a task's function takes, without the context; None where the task or its function is not known."""
    registry.load()
    task = registry.get(backend, task_name)
    return None if task is None else fitting.parameters_of(task)


def words_of(backend: str) -> Words:
    """Returns the words that hide arguments of this TASKS alias."""
    return _words(secret_words((task_backends.settings.get(backend) or {}).get("OPTIONS") or {}))


_words = lru_cache(maxsize=16)(Words)

__all__ = ["HIDDEN", "arguments_of"]
