"""Whether the path of an exception class, as `retry_on` may have it in place of the class, can ever be met."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from gristmill.values.failure import path_of

#: Of a class that is made inside a function: nothing can be said of it from outside.
LOCAL = "<locals>"


def problem_of(path: str) -> str | None:
    """Returns the end of a sentence that says why nothing that is raised has this path; None where something may."""
    if LOCAL in path:
        return None
    try:
        found = _found(path)
    except Exception as error:
        return f"which cannot be looked up: {type(error).__name__}: {error}"
    if found is None:
        return "which is no class: no module has that name in it"
    if not isinstance(found, type) or not issubclass(found, BaseException):
        return "which is no class of exceptions"
    # What is raised goes by the name under which its class was made.
    own = path_of(found)
    return None if own == path or LOCAL in own else f"which is another name of {own!r}; give that one"


def _found(path: str) -> Any:
    names = path.split(".")
    for cut in range(len(names) - 1, 0, -1):
        module = ".".join(names[:cut])
        try:
            found: Any = import_module(module)
        except ModuleNotFoundError as error:
            # One that is not there, or one that an existing one wants to import?
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise
            continue
        for name in names[cut:]:
            found = getattr(found, name, None)
        return found
    return None


__all__ = ["problem_of"]
