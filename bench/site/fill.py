"""Puts jobs in line before a drain: `fill.py gristmill|tasksdb JOBS`."""

import sys
from datetime import datetime, timezone

import django

django.setup()

from noop.tasks import noop  # noqa: E402 - needs Django to be set up

#: What django-tasks-db stores for a task without a date.
NEVER_DATED = datetime(9999, 1, 1, tzinfo=timezone.utc)


def fill_tasksdb(jobs: int) -> None:
    """Writes the rows that its enqueue() writes; it has no bulk call of its own."""
    from django_tasks_db.models import DBTaskResult

    rows = (
        DBTaskResult(
            args_kwargs={"args": [number], "kwargs": {}},
            priority=noop.priority,
            task_path=noop.module_path,
            queue_name=noop.queue_name,
            run_after=NEVER_DATED,
            backend_name="default",
        )
        for number in range(jobs)
    )
    DBTaskResult.objects.bulk_create(rows, batch_size=500)


if __name__ == "__main__":
    count = int(sys.argv[2])
    if sys.argv[1] == "tasksdb":
        fill_tasksdb(count)
    else:
        noop.enqueue_many((number,) for number in range(count))
