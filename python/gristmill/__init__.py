"""Background tasks and goals for Django on the database you already have."""

from importlib.metadata import PackageNotFoundError, version

from gristmill.bulk import call
from gristmill.decorators import options, task
from gristmill.graphs import Graph
from gristmill.postpone import Postpone
from gristmill.preconditions import at_least
from gristmill.remote_tasks import remote
from gristmill.retries import Constant, Exponential, Linear
from gristmill.running.progress import Context
from gristmill.scheduling.decorator import schedule
from gristmill.steps import chain, group
from gristmill.uniqueness import Unique

try:
    __version__ = version("gristmill")
except PackageNotFoundError:  # run from a source tree
    __version__ = "0+source"

__all__ = [
    "Constant",
    "Context",
    "Exponential",
    "Graph",
    "Linear",
    "Postpone",
    "Unique",
    "at_least",
    "call",
    "chain",
    "group",
    "options",
    "remote",
    "schedule",
    "task",
]
