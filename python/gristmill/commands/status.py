"""Shows workers, queues and recent failures."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

HELP = "Show workers, queues and recent failures."


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("--backend", metavar="ALIAS", help="Only this TASKS alias (default: all that use Gristmill).")
    parser.add_argument("--json", action="store_true", help="Print one JSON object.")


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    """Prints what is going on."""
