"""`manage.py demo_data`: some of everything that the admin shows."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from office import day


class Command(BaseCommand):
    """Makes what is not there yet; asked twice, it doubles nothing."""

    help = "Makes some of everything that the admin shows: failures, a stranded graph, a late schedule, what waits."

    def handle(self, **options: Any) -> None:
        day.make(self.stdout.write)
