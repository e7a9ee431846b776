"""Finds the two interpreters that the tests run on: an old pair and a new pair of Python and Django.

OLD: Python 3.10 or 3.11 with Django 5.2 and the django-tasks backport (any newer one when neither is there).
NEW: Python 3.12 or newer with Django 6.1.
GRISTMILL_PYTHON_OLD and GRISTMILL_PYTHON_NEW name them outright; else PATH and pyenv's versions are searched.
"""

from __future__ import annotations

import functools
import glob
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import steps

OLD_VERSIONS = ((3, 10), (3, 11), (3, 12), (3, 13), (3, 14))
NEW_VERSIONS = ((3, 12), (3, 13), (3, 14))


@dataclass(frozen=True)
class Interpreter:
    """One CPython that answered."""

    path: str
    version: tuple[int, int]

    def __str__(self) -> str:
        return "Python " + ".".join(map(str, self.version))


def old() -> Interpreter:
    """The interpreter of the old pair."""
    found = named("GRISTMILL_PYTHON_OLD", OLD_VERSIONS) or first(OLD_VERSIONS)
    if not found:
        raise steps.stop("No Python 3.10 or newer was found for the old pair. " + advice("GRISTMILL_PYTHON_OLD"))
    return found


def new() -> Interpreter | None:
    """The interpreter of the new pair, if this machine has one."""
    return named("GRISTMILL_PYTHON_NEW", NEW_VERSIONS) or first(NEW_VERSIONS)


def need_new() -> Interpreter:
    """The interpreter of the new pair, or an end that says how to get one."""
    found = new()
    if not found:
        raise steps.stop(
            "Django 6.1 needs Python 3.12 or newer and none was found, neither on PATH nor among pyenv's versions. "
            + advice("GRISTMILL_PYTHON_NEW")
        )
    return found


def best() -> Interpreter:
    """The interpreter for the demo: the new pair's, else the old pair's."""
    return new() or old()


def advice(variable: str) -> str:
    return (
        "Install one (Debian, Ubuntu: apt-get install python3.12 python3.12-venv where that exists; "
        f"pyenv: pyenv install 3.12) or set {variable} to its path."
    )


def named(variable: str, versions: tuple[tuple[int, int], ...]) -> Interpreter | None:
    path = os.environ.get(variable)
    if not path:
        return None
    found = ask(path)
    if not found:
        raise steps.stop(f"{variable} is {path}, which does not answer as a Python interpreter.")
    if found.version not in versions:
        low = ".".join(map(str, versions[0]))
        raise steps.stop(f"{variable} is {path}, which is {found}; {low} to 3.14 is supported there.")
    return found


def first(versions: tuple[tuple[int, int], ...]) -> Interpreter | None:
    for version in versions:
        for path in candidates(version):
            found = ask(path)
            if found and found.version == version:
                return found
    return None


def candidates(version: tuple[int, int]) -> list[str]:
    """Where an interpreter of this version may be; a shim that only says no is told apart by asking it."""
    name = "python" + ".".join(map(str, version))
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    paths = [shutil.which(name)] if shutil.which(name) else []
    paths += sorted(glob.glob(str(pyenv / f"{name.removeprefix('python')}.*" / "bin" / name)), reverse=True)
    if sys.version_info[:2] == version:
        paths.append(sys.executable)
    paths += [path for path in (shutil.which("python3"), "/usr/bin/python3") if path]
    return [path for path in paths if path]


@functools.cache
def ask(path: str) -> Interpreter | None:
    """What a path says it is; its real executable, so that a venv made from it outlives a shim."""
    question = (
        "import sys; print(sys.implementation.name, *sys.version_info[:2]); "
        "print(getattr(sys, '_base_executable', None) or sys.executable)"
    )
    try:
        answer = subprocess.run([path, "-c", question], capture_output=True, text=True, timeout=30, check=True).stdout
        words, real = answer.splitlines()
        implementation, major, minor = words.split()
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return Interpreter(real, (int(major), int(minor))) if implementation == "cpython" else None


if __name__ == "__main__":
    for pair, interpreter in (("old", old()), ("new", new())):
        steps.say(f"{pair}: {interpreter} at {interpreter.path}" if interpreter else f"{pair}: none")
