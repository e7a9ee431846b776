"""`manage.py flood TASK COUNT`: enqueues so many jobs without arguments at once."""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandParser

from work import tasks


class Command(BaseCommand):
    """Enqueues in bulk."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("task")
        parser.add_argument("count", type=int)

    def handle(self, *, task: str, count: int, **options: object) -> None:
        getattr(tasks, task).enqueue_many(() for _ in range(count))
