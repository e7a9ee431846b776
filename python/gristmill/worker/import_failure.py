"""Says in one sentence why a project could not be imported."""

from __future__ import annotations

import os
import sys
import traceback

from gristmill.worker.fork_safety import CannotServe


def why_it_failed(error: BaseException) -> str:
    """Says in one sentence which module could not be imported, why, and where."""
    if isinstance(error, CannotServe):
        return str(error)
    message = " ".join(str(error).split()) or "no message"
    what = f"{type(error).__name__}: {message}"
    if isinstance(error, SyntaxError):
        what = f"{type(error).__name__}: {error.msg}"
    module, path, line = None, None, None
    for frame, at in traceback.walk_tb(error.__traceback__):
        name = frame.f_globals.get("__name__", "")
        # The innermost module body that is the project's own says which import went wrong.
        if frame.f_code.co_name == "<module>" and not name.startswith(
            ("importlib", "django.", "gristmill.", "__main__")
        ):
            module, path, line = name, frame.f_code.co_filename, at
    if isinstance(error, SyntaxError) and error.filename:
        path, line = error.filename, error.lineno
        module = module_of(path) or module
    if module is None:
        return f"cannot start Django: {what}"
    return f"cannot import {module}: {what} ({shown(path)}, line {line})"


def module_of(path: str) -> str | None:
    """Returns the dotted name under which a source file would be imported."""
    for entry in sys.path:
        if entry and path.startswith(entry.rstrip("/") + "/"):
            return path[len(entry.rstrip("/")) + 1 :].removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return None


def shown(path: str | None) -> str:
    """Returns a path as short as it can be told: below where modules are found, or below the current directory."""
    for entry in [*sys.path, os.getcwd()]:
        if path and entry and path.startswith(entry.rstrip("/") + "/"):
            return path[len(entry.rstrip("/")) + 1 :]
    return path or "?"


def files_of(error: BaseException) -> list[str]:
    """Returns the source files that an error came through."""
    files = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        files.append(error.filename)
    return [path for path in files if os.path.isfile(path)]
