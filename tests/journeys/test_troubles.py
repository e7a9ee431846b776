"""Each kind of trouble comes about as it does in life, stands on the overview in its sentence, and goes when mended."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from overlooking import APP, Overview
from project import Project, Worker
from waiting import wait_for

NEWER = {"JOURNEY_NEWER_CODE": "1"}
SCHEDULES = {
    "nightly": {"task": "work.tasks.note", "cron": "0 2 * * *"},
    "below": {"task": "work.tasks.note", "every": 3600, "queue_name": "cellar"},
}


@pytest.fixture
def overview(project: Project) -> Iterator[Overview]:
    project.env |= {**APP, "JOURNEY_OPTIONS": json.dumps({"WORKER": {"heartbeat": 4}})}
    project.env["JOURNEY_SCHEDULES"] = json.dumps(SCHEDULES)
    with Overview(project, NEWER) as looking:
        yield looking


def start(project: Project, label: str, *options: str, env: dict[str, str] | None = None) -> Worker:
    worker = project.start_worker("--processes", "2", "--label", label, *options, env=env)
    wait_for(f"{label} to be there", lambda: "registered" in worker.said(), within=15)
    return worker


def forgive(project: Project) -> None:
    Path(f"{project.history_file}.forgiven").touch()


def test_what_goes_wrong_with_jobs_and_queues_is_told_until_it_is_mended(project: Project, overview: Overview) -> None:
    overview.do("note.enqueue()")
    overview.shows({"no worker": "No worker runs for default: start one with manage.py gristmill worker"})
    start(project, "mill-a", "--exclude-queue", "cellar")
    overview.has_lost("no worker")

    overview.do("""
        operations.pause_queue("post", reason="the provider is down")
        note.using(queue_name="post").enqueue()
        note.using(queue_name="cellar").enqueue_many([()] * 60)
        novelty.enqueue()
        remote("shop.tasks.gone").enqueue()
        with transaction.atomic():
            operations.hold(note.enqueue(), reason="out of paper")
        failing = [offend.enqueue() for _ in range(5)]
        note.using(after=failing).enqueue()
        offend.using(max_attempts=9, backoff=Constant(600), queue_name="again").enqueue_many([()] * 5)
        collapse.enqueue()
        """)
    overview.shows(
        {
            "paused": "1 job waits: the provider is down.",
            "other queues": "of work.tasks.note in queue cellar wait for nobody: no running worker serves queue",
            "unknown task": "1 ready job of shop.tasks.gone in queue default waits for nobody",
            "old code": "1 ready job of work.tasks.novelty in queue default waits for nobody: the workers that run",
            "held": "1 job in queue default is held: out of paper.",
            "failing": "looking.tasks.offend only fails: 5 jobs of it failed lately, none succeeded.",
            "stranded": "1 job in queue default needs a job that failed: retry what failed, and they go on.",
            "retrying": "5 jobs in queue again failed and will be tried again",
            "poisoned": "1 job of looking.tasks.collapse is poisoned: its process died each time.",
        }
    )
    overview.shows({"backlog": "More than 50 jobs are ready in queue cellar: start more workers"}, cap=50)
    overview.shows({"unknown queue": "does not name queue 'cellar'"}, queues=["default", "post", "again"])

    forgive(project)
    start(project, "mill-b", env=NEWER)
    overview.do("""
        operations.resume_queue("post")
        operations.release(Job.objects.held())
        operations.retry(Job.objects.filter(state__in=["failed", "poisoned"]))
        operations.cancel(Job.objects.filter(task_name="shop.tasks.gone"))
        operations.cancel(Job.objects.filter(state="scheduled"))
        """)
    overview.has_lost(
        *("paused", "other queues", "unknown task", "old code", "held", "failing", "stranded", "retrying", "poisoned")
    )
    overview.has_lost("backlog", cap=50)
    overview.has_lost("unknown queue", queues=["default", "post", "again"])
    assert overview.look() == []


def test_what_goes_wrong_with_schedules_is_told_until_it_is_mended(project: Project, overview: Overview) -> None:
    start(project, "mill-a", "--exclude-queue", "cellar")
    overview.do("""
        operations.pause_schedule("nightly", reason="holidays")
        Schedule.objects.filter(name="below").update(next_at=timezone.now() - MINUTES)
        """)
    overview.shows(
        {
            "schedule paused": "Schedule nightly has been paused for",
            "late": "Schedule below should have ticked 10 min ago: no worker ticks what serves queue cellar.",
        }
    )
    overview.do("""
        operations.resume_schedule("nightly")
        nightly = Schedule.objects.filter(name="nightly")
        broken = nightly.get().definition.replace("0 2 * * *", "0 25 * * *")
        nightly.update(definition=broken, next_at=timezone.now() - MINUTES)
        """)
    overview.shows({"cannot tick": "Schedule nightly cannot tick: "})
    start(project, "mill-b")
    overview.has_lost("schedule paused", "late", "cannot tick")
    assert overview.look() == []


def test_what_a_frozen_worker_leaves_undone_is_told_until_it_goes_on(project: Project, overview: Overview) -> None:
    frozen = start(project, "mill-a")
    overview.do("stand.enqueue()")
    project.wait_for_runs(1, within=10)
    frozen_at = time.monotonic()
    frozen.send(signal.SIGSTOP)
    # For two heartbeats it counts as alive, and nobody does its work meanwhile.
    overview.do("""
        with transaction.atomic():
            ago = timezone.now() - MINUTES
            line = note.enqueue()
            JobRow.objects.filter(pk=line.id).update(enqueued_at=ago)
            later = note.using(run_after=timedelta(hours=1)).enqueue()
            ScheduledRow.objects.update(run_after=ago)
            note.using(after=line).enqueue()
            PropagationRow.objects.update(due_at=ago)
            operations.cancel(Job.objects.get(task_name="work.tasks.stand"))
            CancelRequestRow.objects.update(asked_at=ago)
        """)
    overview.shows(
        {
            "old": "What is next in queue default has been due for 10 min: its workers do not keep up.",
            "not promoted": "A scheduled job of work.tasks.note has been due for 10 min and was not made ready",
            "not carried on": "has not been told of it for 10 min",
            "does not end": "A job of work.tasks.stand was asked to end 10 min ago and still runs.",
        }
    )
    overview.shows({"silent": "Worker mill-a on"}, within=15)
    frozen.send(signal.SIGCONT)
    project.frozen_seconds = time.monotonic() - frozen_at
    overview.has_lost("old", "not promoted", "not carried on", "does not end", "silent")

    overview.shows({"other version": "Worker mill-a is of version"}, version="99.0")
    overview.has_lost("other version")

    overview.do("operations.quiet_worker(Worker.objects.all(), actor='lea')")
    overview.shows({"quiet": "is quiet, asked by lea"})
    overview.do("note.enqueue()")
    quieted = "was asked to claim nothing; take that back with manage.py gristmill workers resume"
    overview.shows({"only quiet": quieted})
    overview.do("operations.resume_worker(Worker.objects.all())")
    overview.has_lost("quiet", "only quiet")

    assert overview.look() == []


def test_workers_that_end_badly_are_told_until_somebody_follows_them(project: Project, overview: Overview) -> None:
    start(project, "mill-a")
    fickle = project.folder / "fickle"
    fickle.mkdir()
    (fickle / "__init__.py").touch()
    (fickle / "tasks.py").touch()
    env = {"JOURNEY_APPS": "looking,fickle", "PYTHONPATH": str(project.folder)}
    broken = start(project, "mill-c", env=env)
    # It tries for a while to import the project again.
    (fickle / "tasks.py").write_text("import nowhere\n")
    os.kill(broken.zygote(), signal.SIGKILL)
    doomed = start(project, "mill-b", "--heartbeat", "0.5")
    doomed.send_to_all(signal.SIGKILL)
    overview.shows({"lost": "Worker mill-b on", "ended badly": "Worker mill-c on"}, within=25)

    start(project, "mill-b")
    overview.has_lost("lost")
    start(project, "mill-c")
    overview.has_lost("ended badly")
    assert overview.look() == []


def test_what_goes_wrong_with_the_database_is_told_until_it_is_mended(project: Project, overview: Overview) -> None:
    overview.do("connection.cursor().execute(\"insert into gristmill_schema (version, name) values (9, 'later')\")")
    overview.shows({"schema": "The tables are of version 9, and this process's gristmill knows version 1: install"})
    overview.do('connection.cursor().execute("delete from gristmill_schema where version = 9")')
    overview.has_lost("schema")

    overview.shows({"clock": "This process's clock is 5 min ahead of the database's"}, ahead=5)
    overview.shows({"clock": "This process's clock is 5 min behind the database's"}, ahead=-5)
    overview.has_lost("clock")

    if not project.database.is_sqlite:
        with psycopg.connect(project.database.url, application_name="a report") as other:
            other.execute("set transaction isolation level repeatable read")
            other.execute("select count(*) from gristmill_worker")
            overview.shows({"long transaction": "(a report) has been open for"}, long=-1)
        overview.has_lost("long transaction", long=1)

    worker = start(project, "mill-a")
    assert overview.look() == []
    worker.send(signal.SIGTERM)
    assert worker.exit_status(within=15) == 0, worker.said()
    if project.database.is_sqlite:
        with closing(sqlite3.connect(urlsplit(project.database.url).path)) as connection:
            connection.execute("pragma journal_mode = delete")
        overview.shows({"journal mode": "journal mode delete, with which no worker starts: run manage.py migrate."})
        project.manage("migrate", "--verbosity", "0")
        overview.has_lost("journal mode")

    project.manage("migrate", "gristmill", "zero", "--verbosity", "0")
    overview.shows({"database": "Database default cannot be asked: "})
    project.manage("migrate", "--verbosity", "0")
    overview.has_lost("database")
    assert overview.look() == []
