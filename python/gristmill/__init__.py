"""Background tasks and goals for Django on the database you already have."""

from importlib.metadata import PackageNotFoundError, version

from gristmill.enqueue.graphs import Graph
from gristmill.enqueue.steps import chain, group
from gristmill.runner.progress import Context
from gristmill.schedules.decorator import schedule
from gristmill.tasks.backoff import Constant, Exponential, Linear
from gristmill.tasks.calls import call
from gristmill.tasks.decorators import options, task
from gristmill.tasks.postpone import Postpone
from gristmill.tasks.preconditions import at_least
from gristmill.tasks.remote import remote
from gristmill.tasks.uniqueness import Unique

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
