"""A queue with some of everything that pages show, for tests that look at all of them."""

from __future__ import annotations

import json
from datetime import timedelta

PAGES = ("overview", "job", "failures", "queues", "schedules", "worker")


def address_of(job: str) -> str:
    """A job's page."""
    return f"/admin/gristmill/job/{job.replace('-', '')}/change/"


def addresses(*jobs: str) -> list[str]:
    """Each page, and those of these jobs."""
    lists = [f"/admin/gristmill/{page}/" for page in PAGES]
    return [*lists, *map(address_of, jobs)]


def schedule(name: str = "nightly", **columns: object) -> str:
    """A schedule's row; gives the address of its page."""
    from django.utils import timezone

    from gristmill.admin import links
    from gristmill.models import Schedule

    now = timezone.now()
    values = {
        "backend": "default", "name": name, "origin": "database", "queue_name": "default",
        "task_name": "letters.tasks.answer", "definition": json.dumps({"cron": "0 2 * * *", "args": '["good night"]'}),
        "job": "{}", "created_at": now, "defined_at": now, "high_water": now, "next_at": now + timedelta(hours=1),
    }  # fmt: skip
    Schedule.objects.create(**{**values, **columns})
    return links.url("schedules_change", f"default/{name}")
