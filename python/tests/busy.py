"""A database on which everything goes on at once, and nothing is wrong."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils import timezone

from gristmill import __version__, operations
from gristmill.models import Job, JobRow, ProgressRow, RunningRow, Schedule, Tick, UniqueKeyRow, Worker
from tests import goals, rows
from tests.app.tasks import add


@dataclass
class Busy:
    """Its worker, its jobs by what they do, and those of them that wait."""

    worker: Worker
    jobs: dict[str, Any]
    waiting: dict[str, Job]

    def id(self, name: str) -> uuid.UUID:
        """The id of a job."""
        return goals.id_of(self.jobs.get(name) or self.waiting[name])


def a_busy_healthy_database() -> Busy:
    """Jobs in every place, with what lies beside them, some of it on its way."""
    worker = rows.worker(processes=8, version=__version__)
    names = (
        *("ready", "running", "done", "failed", "cancelled", "held", "retried", "asked", "crashed", "poisoned"),
        *("started key", "each_start key", "finished key", "pruned key"),
    )
    jobs = {name: add.enqueue(name) for name in names}
    jobs["dated"] = add.using(run_after=timedelta(hours=1)).enqueue("dated")
    runs(jobs["running"], worker)
    rows.succeed(jobs["done"].id)
    rows.fail(jobs["failed"].id)
    operations.cancel(jobs["cancelled"])
    operations.hold(jobs["held"], "out of paper")
    rows.fail(jobs["retried"].id)
    operations.retry(jobs["retried"])
    runs(jobs["asked"], worker)
    operations.cancel(jobs["asked"])
    crashes(jobs["crashed"], 1)
    crashes(jobs["poisoned"], 3)
    keys(jobs, worker)
    # What workers did lies in the past, as elsewhere.
    JobRow.objects.update(enqueued_at=timezone.now() - timedelta(minutes=10))
    schedules(jobs)
    return Busy(worker, jobs, goals_of(jobs))


def schedules(jobs: dict[str, Any]) -> None:
    """A schedule that ticks, with a run by hand after its mark; one that is paused, and one that is gone."""
    now = timezone.now()
    of_all = {"backend": "default", "origin": "code", "queue_name": "default", "task_name": "tests.app.tasks.add"}
    of_all |= {"definition": '{"every":60}', "job": "{}", "created_at": now - timedelta(days=1), "defined_at": now}
    mark = now - timedelta(minutes=5)
    Schedule.objects.create(name="hourly", high_water=mark, next_at=now + timedelta(hours=1), **of_all)
    long_ago = now - timedelta(days=1)
    Schedule.objects.create(name="paused", next_at=long_ago, paused_at=now, paused_reason="x", **of_all)
    Schedule.objects.create(name="gone", next_at=long_ago, removed_at=now, problem="its rule is none", **of_all)
    of_tick = {"backend": "default", "schedule": "hourly"}
    Tick.objects.create(nominal=mark - timedelta(hours=1), found_at=mark, skipped="superseded", **of_tick)
    Tick.objects.create(nominal=mark, found_at=mark, job_id=jobs["done"].id, **of_tick)
    Tick.objects.create(nominal=now, found_at=now, job_id=jobs["ready"].id, by_hand=True, **of_tick)


def goals_of(jobs: dict[str, Any]) -> dict[str, Job]:
    """Jobs that wait in every way, for jobs in every place."""
    one = {name: add.enqueue(name) for name in ("all", "stranded", "any", "proceed", "unresolved", "evaluated", "told")}
    made = {
        "all": goals.wait(one["all"], jobs["ready"], jobs["running"], jobs["done"], jobs["dated"], jobs["held"]),
        "stranded": goals.wait(one["stranded"], jobs["ready"], jobs["failed"], jobs["cancelled"]),
        "any": goals.wait(one["any"], jobs["failed"], jobs["ready"], needed=1),
        "proceed": goals.wait(one["proceed"], jobs["failed"], jobs["ready"], on_precondition_failure="proceed"),
        "unresolved": goals.wait(one["unresolved"], jobs["done"], resolved=False, open=1, successful=0),
        "evaluated": goals.wait(one["evaluated"], jobs["done"]),
        "told": goals.wait(one["told"], jobs["started key"]),
    }
    made["stranded too"] = goals.wait(add.enqueue("stranded too"), made["stranded"])
    made["chain"] = goals.wait(add.enqueue("chain"), made["all"], made["any"])
    goals.propagation("resolve", made["unresolved"])
    goals.propagation("evaluate", made["evaluated"])
    # Its end is about to be told.
    UniqueKeyRow.objects.filter(key="started").delete()
    rows.succeed(jobs["started key"].id)
    goals.propagation("notify", jobs["started key"])
    return made


def runs(job: Any, worker: Worker) -> RunningRow:
    """A worker runs it, and it says how far it is."""
    running = rows.claim(job.id, worker.id)
    ProgressRow.objects.create(job_id=running.id, token=running.token, done=1, updated_at=timezone.now())
    return running


def crashes(job: Any, times: int) -> None:
    """It killed its runner so often, and is poisoned if that was too often."""
    running = rows.claim(job.id)
    rows.end(running, "crashed")
    if times < 3:
        rows.ready_again(running, crashes=times)
    else:
        rows.finish(running, "poisoned", "crashed", crashes=times)


def keys(jobs: dict[str, Any], worker: Worker) -> None:
    """Unique keys of every kind, each held by a job in its states; and one that has expired."""
    for until in ("started", "each_start", "finished", "pruned"):
        UniqueKeyRow.objects.create(key=until, job_id=goals.id_of(jobs[f"{until} key"]), until=until)
    rows.claim(jobs["finished key"].id, worker.id)
    rows.succeed(jobs["pruned key"].id)
    past = timezone.now() - timedelta(hours=1)
    UniqueKeyRow.objects.create(key="old", job_id=goals.id_of(jobs["done"]), until="finished", expires_at=past)
