"""
Cancels jobs, by id or by a filter.

Jobs that do not run are cancelled at once. Of one that runs its worker learns within a second: it asks the handler to
end, and kills its runner after a grace. A handler that succeeds first wins. A cancelled job runs again only when it is
retried.

Exit status: 0 when anything was done, 1 when nothing matched or everything was refused.
"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from gristmill.commands import choosing

HELP = "Cancel jobs, running ones too."


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options."""
    choosing.add_arguments(parser, "cancel")


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    """Does it, and tells what came of it."""
    choosing.handle(command, options, "cancel")
