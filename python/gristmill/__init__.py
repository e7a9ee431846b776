"""Background tasks and goals for Django on the database you already have."""

from importlib.metadata import PackageNotFoundError, version

from gristmill.bulk import call
from gristmill.compat import task

try:
    __version__ = version("gristmill")
except PackageNotFoundError:  # run from a source tree
    __version__ = "0+source"

__all__ = ["call", "task"]
