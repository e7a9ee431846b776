"""A queue with some of everything that pages show, for tests that look at all of them."""

from __future__ import annotations

import json
import math
from datetime import timedelta
from uuid import uuid4

PAGES = ("overview", "job", "failures", "queues", "schedules", "worker")


def address_of(job: str) -> str:
    """A job's page."""
    return f"/admin/gristmill/job/{job.replace('-', '')}/change/"


def address_of_task(name: str) -> str:
    """A task's page."""
    return f"/admin/gristmill/job/task/{name.replace('_', '_5F')}/"


def addresses(*jobs: str) -> list[str]:
    """Each page, and those of these jobs."""
    lists = [f"/admin/gristmill/{page}/" for page in PAGES]
    forms = ["/admin/gristmill/schedules/add/"]
    return [*lists, *forms, address_of_task("letters.tasks.read_letter"), *map(address_of, jobs)]


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


def a_day(task: str = "letters.tasks.read_letter") -> None:
    """What workers have counted of a task within a day, with a deploy half an hour ago, and how deep queues were."""
    from django.utils import timezone

    from gristmill.models import DepthRow, PulseRow

    now = timezone.now().replace(second=0, microsecond=0)
    counts, depths = [], []
    for minute in range(1, 24 * 60):
        at, wave = now - timedelta(minutes=minute), 1 + math.sin(minute / 9) + minute % 7 / 7
        of = {"level": 1, "at": at, "backend": "default", "queue_name": "default", "task_name": task,
              "version": "0.1.0" if minute > 30 else "0.2.0", "wait_seconds": 0.0, "run_seconds": 0.0}  # fmt: skip
        attempts = int(40 * wave)
        waits, runs = [0] * 5 + [attempts, int(9 * wave), minute % 5], [0] * 7 + [attempts // 2, attempts, 1]
        for outcome, number in (("successful", attempts), ("failed", int(minute % 13 == 0)), ("retried", minute % 3)):
            if number:
                buckets = {"waits": json.dumps(waits), "runs": json.dumps(runs)}
                counts.append(PulseRow(id=uuid4(), outcome=outcome, attempts=number, **of, **buckets))
        if not 12 < minute < 18:
            for queue, ready in (("default", int(60 * wave)), ("mail", 90 - minute)):
                depth = {"ready": max(ready, 0), "scheduled": 0, "oldest_seconds": wave}
                depths.append(DepthRow(level=1, at=at, backend="default", queue_name=queue, **depth))
    PulseRow.objects.bulk_create(counts)
    DepthRow.objects.bulk_create(depths, ignore_conflicts=True)
