"""Finds the `gristmill` executable, which the wheel installs beside Python's own scripts."""

import os
import shutil
import sys
import sysconfig
from pathlib import Path

NAME = "gristmill.exe" if os.name == "nt" else "gristmill"


class BinaryMissing(RuntimeError):
    """There is no `gristmill` executable where an installation puts it."""


def find_binary() -> str:
    """
    Returns the path of the `gristmill` executable.

    Looked for in this order: the environment variable GRISTMILL_BINARY, this interpreter's scripts folder, the
    folder of `sys.executable`, PATH. Raises BinaryMissing with a sentence that says what to do.
    """
    named = os.environ.get("GRISTMILL_BINARY")
    if named:
        if not os.access(named, os.X_OK):
            raise BinaryMissing(f"GRISTMILL_BINARY names {named}, which is not an executable file")
        return named
    for folder in (sysconfig.get_path("scripts"), str(Path(sys.executable).parent)):
        candidate = os.path.join(folder, NAME)
        if os.access(candidate, os.X_OK):
            return candidate
    on_path = shutil.which(NAME)
    if on_path:
        return on_path
    raise BinaryMissing(
        "the gristmill executable is not installed beside this Python; install the gristmill wheel, "
        "or name a build of it in the environment variable GRISTMILL_BINARY"
    )
