"""Puts hostile strings into every column that a page shows: by a real worker where it writes them, else by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from everything import schedule
from hostile import STRINGS
from waiting import wait_for


@dataclass
class Rows:
    """Ids of jobs, and addresses of schedules, a string each, by what is hostile of them."""

    # Run by the worker: argument, output, error and traceback; argument and result.
    failed: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    # Task, queue, key; reason and actor; what they wait for; worker; the reason of an attempt.
    named: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    running: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    schedules: list[str] = field(default_factory=list)

    def run_by_a_worker(self) -> None:
        """Has them printed, raised and given back."""
        from letters.tasks import answer, say

        from gristmill.models import Job

        self.failed = [say.enqueue(text).id for text in STRINGS]
        self.answered = [answer.enqueue(text).id for text in STRINGS]
        ended = Job.objects.filter(state__in=("failed", "successful"))
        wait_for("the worker to run all", lambda: ended.count() == 2 * len(STRINGS), 30)

    def write_by_hand(self) -> None:
        """Writes what the worker would not."""
        for number, text in enumerate(STRINGS):
            add_jobs(self, text)
            add_workers(self, text)
            add_schedule(self, text, number)


def add_jobs(rows: Rows, text: str) -> None:
    """Jobs whose task, queue, key and reasons it is, with one that waits for them."""
    from django.utils import timezone
    from letters.tasks import answer

    from gristmill import operations
    from gristmill.models import Job, JobRow, Queue, ScheduledRow

    named = answer.using(run_after=timezone.now() + timedelta(days=1), queue_name=text).enqueue(text).id
    for table in (JobRow, ScheduledRow):
        table.objects.filter(pk=named).update(task_name=text)
    JobRow.objects.filter(pk=named).update(unique_key=text)
    Queue.objects.create(backend="default", queue_name=text, paused_at=timezone.now(), reason=text)
    held = answer.using(queue_name="kept").enqueue(text)
    operations.hold(Job.objects.get(pk=held.id), reason=text, actor=text)
    # No worker tells it that one of them has failed: it waits.
    needed = [Job.objects.get(pk=named), Job.objects.get(pk=rows.failed[len(rows.named)])]
    rows.waiting.append(answer.using(after=needed).enqueue(text).id)
    rows.named.append(named)
    rows.held.append(held.id)


def add_workers(rows: Rows, text: str) -> None:
    """A worker that runs a job, and one that was lost, whose job ended."""
    from django.utils import timezone
    from letters.tasks import answer

    from tests import rows as by_hand

    names = {"label": text, "host": text, "version": text, "queues": {"include": [text], "exclude": [text]}}
    living = by_hand.worker(**names, tasks=[text], lease_seconds=3_600.0)
    lost = by_hand.worker(**names, lost_at=timezone.now(), last_error=text)
    kept = answer.using(queue_name="kept")
    rows.running.append(kept.enqueue(text).id)
    by_hand.claim(rows.running[-1], living.id)
    rows.ended.append(kept.enqueue(text).id)
    last = by_hand.claim(rows.ended[-1], lost.id)
    by_hand.end(last, "failed", reason=text, exception_class_path=text, traceback=text, output=text)
    by_hand.finish(last, "failed", text)


def add_schedule(rows: Rows, text: str, number: int) -> None:
    """A schedule that cannot tick, or is paused."""
    from django.utils import timezone

    more = {"paused_at": timezone.now(), "paused_reason": text} if number % 2 else {"problem": text}
    rows.schedules.append(schedule(text, task_name=text, queue_name=text, **more))
