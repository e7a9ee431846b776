"""`manage.py ask [APP.]TASK COUNT [ARGUMENT…]`: enqueues jobs and prints their ids, one a line."""

from __future__ import annotations

import json
from importlib import import_module

from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction


class Command(BaseCommand):
    """Enqueues jobs in one transaction."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("task")
        parser.add_argument("count", type=int)
        parser.add_argument("arguments", nargs="*", type=json.loads)

    def handle(self, *, task: str, count: int, arguments: list[object], **options: object) -> None:
        module, _, name = task.rpartition(".")
        asked = getattr(import_module(f"{module or 'work'}.tasks"), name)
        with transaction.atomic():
            for _ in range(count):
                self.stdout.write(str(asked.enqueue(*arguments).id).replace("-", ""))
