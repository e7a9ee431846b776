"""What this interpreter was started with, so that runners are like the process that was asked for a worker."""

from __future__ import annotations

import sys

# As `sys.flags` names them. What ignores the environment is left out: a worker tells its runners by PYTHONPATH where
# their modules are.
FLAGS = {
    "bytes_warning": "b",
    "debug": "d",
    "dont_write_bytecode": "B",
    "no_site": "S",
    "no_user_site": "s",
    "optimize": "O",
    "quiet": "q",
    "safe_path": "P",
    "verbose": "v",
}


def interpreter_options() -> list[str]:
    """Returns the options of this interpreter (`-O`, `-W error`, `-X dev`, …), as they stand on a command line."""
    flags = [f"-{letter * count}" for name, letter in FLAGS.items() if (count := int(getattr(sys.flags, name, 0)))]
    extended = [name if value is True else f"{name}={value}" for name, value in sys._xoptions.items()]
    return [*flags, *(f"-W{option}" for option in sys.warnoptions), *(f"-X{option}" for option in extended)]
