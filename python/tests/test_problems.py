"""What is wrong with a queue: each kind of trouble is one sentence, and is gone once the trouble is."""

from __future__ import annotations

import json
import uuid
from datetime import datetime, timedelta
from datetime import timezone as dt_timezone
from unittest import mock

import pytest
from django.db import connection
from django.utils import timezone

from gristmill import __version__, operations
from gristmill.inspect import survey as survey_module
from gristmill.inspect.problems import jobs, queues
from gristmill.inspect.problems.finding import problems
from gristmill.inspect.survey import survey
from gristmill.models import (
    CancelRequestRow,
    Job,
    JobRow,
    ReadyRow,
    ResultRow,
    Schedule,
    ScheduledRow,
    WaitingRow,
    Worker,
)
from tests import goals, rows
from tests.app.tasks import add

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
MINUTES = timedelta(minutes=10)


@pytest.fixture(autouse=True)
def own_clock():
    """A clock that a test has put forward goes right in the next one, also where it failed."""
    yield
    mock.patch.stopall()


def found(backends=("default",)):
    """What is wrong, but for kinds that a database without a worker has anyway."""
    known = {alias: {"default", "mail"} for alias in backends}
    return problems(connection, known, survey(connection, known))


def alive(**columns):
    return rows.worker(**{"version": __version__, **columns})


def of_schedule(**columns):
    now = timezone.now()
    values = {
        "backend": "default", "name": "nightly", "origin": "code", "queue_name": "default",
        "task_name": "tests.app.tasks.add", "definition": json.dumps({"cron": "0 2 * * *"}), "job": "{}",
        "created_at": now - HOUR, "defined_at": now - HOUR, "high_water": now - HOUR, "next_at": now + HOUR,
    }  # fmt: skip
    return Schedule.objects.create(**{**values, **columns})


def age_rows(model, **ages):
    for row in model.objects.all():
        model.objects.filter(pk=row.pk).update(**{name: getattr(row, name) - by for name, by in ages.items()})


def nobody():
    add.enqueue(1)
    return alive


def unknown_task():
    alive()
    add.enqueue(1)
    ReadyRow.objects.update(task_name="shop.tasks.gone")
    return ReadyRow.objects.all().delete


def old_code():
    worker = alive(tasks=["tests.app.tasks.send"])
    add.enqueue(1)
    return lambda: Worker.objects.filter(pk=worker.pk).update(tasks=["tests.app.tasks.add"])


def other_queues():
    alive(queues={"include": ["mail"], "exclude": []})
    add.enqueue(1)
    return alive


def only_quiet_worker():
    worker = alive()
    add.enqueue(1)
    operations.quiet_worker(worker, actor="lea")
    return lambda: operations.resume_worker(worker)


def quiet_worker():
    worker = alive()
    operations.quiet_worker(worker, actor="lea")
    return lambda: operations.resume_worker(worker)


def silent_worker():
    worker = alive(heartbeat_at=timezone.now() - timedelta(seconds=30), label="mill-2")
    return lambda: Worker.objects.filter(pk=worker.pk).update(heartbeat_at=timezone.now())


def lost_worker():
    rows.worker(label="mill-3", lost_at=timezone.now() - MINUTES, last_error="the lease was over")
    return lambda: alive(label="mill-3")


def refused_worker():
    rows.worker(label="mill-4", stopped_at=timezone.now() - MINUTES, exit_status=78, last_error="password refused")
    return lambda: alive(label="mill-4")


def crashed_worker():
    rows.worker(label="mill-5", stopped_at=timezone.now() - MINUTES, exit_status=99)
    return lambda: alive(label="mill-5")


def old_version():
    worker = rows.worker(version="0.0.1")
    return lambda: Worker.objects.filter(pk=worker.pk).update(version=__version__)


def paused_queue():
    alive()
    add.enqueue(1)
    operations.pause_queue("default", reason="the provider is down")
    return lambda: operations.resume_queue("default")


def paused_empty_queue():
    operations.pause_queue("default", reason="later")
    return lambda: operations.resume_queue("default")


def old_line():
    alive()
    add.enqueue(1)
    age_rows(JobRow, enqueued_at=MINUTES)
    return ReadyRow.objects.all().delete


def stranded_job():
    alive()
    first, second = add.enqueue(1), add.enqueue(2)
    rows.fail(first.id)
    goals.wait(second, first)
    return WaitingRow.objects.all().delete


def held_job():
    alive()
    job = add.enqueue(1)
    operations.hold(job, reason="out of paper")
    return lambda: operations.release(job)


def poisoned_job():
    alive()
    running = rows.claim(add.enqueue(1).id)
    rows.end(running, "crashed")
    rows.finish(running, "poisoned", "crashes")
    return ResultRow.objects.all().delete


def only_fails():
    alive()
    for number in range(jobs.FAILS):
        rows.fail(add.enqueue(number).id)
    return lambda: rows.succeed(add.enqueue(9).id)


def deaf_job():
    worker = alive()
    running = rows.claim(add.enqueue(1).id, worker.pk)
    request = CancelRequestRow.objects.create(job_id=running.id, token=running.token, asked_at=timezone.now() - MINUTES)
    return request.delete


def overdue_scheduled():
    alive()
    add.using(run_after=HOUR).enqueue(1)
    age_rows(ScheduledRow, run_after=HOUR + MINUTES)
    return ScheduledRow.objects.all().delete


def forgotten_end():
    alive()
    return goals.propagation("notify", Job(id=uuid.uuid4()), due_at=timezone.now() - MINUTES).delete


def late_schedule():
    alive()
    row = of_schedule(next_at=timezone.now() - MINUTES)
    return lambda: Schedule.objects.filter(pk=row.pk).update(next_at=timezone.now() + HOUR)


def broken_schedule():
    row = of_schedule(problem="the zone Mars/Base is not known", next_at=None)
    return lambda: Schedule.objects.filter(pk=row.pk).update(problem=None, next_at=timezone.now() + HOUR)


def paused_schedule():
    row = of_schedule(paused_at=timezone.now() - HOUR, paused_reason="holidays")
    return lambda: Schedule.objects.filter(pk=row.pk).update(paused_at=None)


def jobs_that_are_tried_again():
    alive()
    for number in range(jobs.FAILS):
        rows.failed_for_now(add.enqueue(number).id)
    return ScheduledRow.objects.all().delete


def newer_tables():
    with connection.cursor() as cursor:
        cursor.execute("insert into gristmill_schema (version, name) values (2, '0002_tomorrow')")
    return lambda: execute("delete from gristmill_schema where version = 2")


def clocks_apart():
    ahead = mock.patch.object(timezone, "now", lambda: datetime.now(tz=dt_timezone.utc) + MINUTES)
    ahead.start()
    return ahead.stop


def execute(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)


#: How each comes about, with what mends it; its kind and level; and the heart of its sentence.
TROUBLE = [
    (nobody, "no worker", "error", "No worker runs for default: start one with manage.py gristmill worker"),
    (unknown_task, "unknown task", "error", "1 ready job of shop.tasks.gone in queue default waits for nobody"),
    (old_code, "old code", "error", "the workers that run started with code that does not have it"),
    (other_queues, "other queues", "error", "no running worker serves queue 'default'"),
    (only_quiet_worker, "only quiet", "error", "the only worker that serves it was asked to claim nothing"),
    (quiet_worker, "quiet", "note", "is to be quiet from its next heartbeat on, asked by lea"),
    (silent_worker, "silent", "warning", "Worker mill-2 on mill has been silent for 30 s"),
    (lost_worker, "lost", "warning", "mill-3 on mill was lost 10 min ago, and has not come back: the lease was over"),
    (refused_worker, "ended badly", "warning", "mill-4 on mill was refused at its start 10 min ago"),
    (crashed_worker, "ended badly", "warning", "mill-5 on mill crashed 10 min ago, and has not come back."),
    (old_version, "other version", "warning", f"is of version 0.0.1, and this process of version {__version__}"),
    (paused_queue, "paused", "warning", "Queue default has been paused for under 1 s, 1 job waits: the provider"),
    (paused_empty_queue, "paused", "note", "no job waits: later."),
    (old_line, "old", "warning", "What is next in queue default has been due for 10 min"),
    (stranded_job, "stranded", "warning", "1 job in queue default needs a job that failed: retry what failed"),
    (jobs_that_are_tried_again, "retrying", "warning", "5 jobs in queue default failed and will be tried again"),
    (newer_tables, "schema", "error", "The tables are of version 2, and this process's gristmill knows version 1"),
    (clocks_apart, "clock", "warning", "This process's clock is 10 min ahead of the database's"),
    (held_job, "held", "note", "1 job in queue default is held: out of paper."),
    (poisoned_job, "poisoned", "error", "1 job of tests.app.tasks.add is poisoned: its process died each time"),
    (only_fails, "failing", "error", "tests.app.tasks.add only fails: 5 jobs of it failed lately, none succeeded."),
    (deaf_job, "does not end", "warning", "was asked to end 10 min ago and still runs."),
    (overdue_scheduled, "not promoted", "error", "has been due for 10 min and was not made ready"),
    (forgotten_end, "not carried on", "error", "has not been told of it for 10 min"),
    (late_schedule, "late", "error", "Schedule nightly should have ticked 10 min ago"),
    (broken_schedule, "cannot tick", "error", "Schedule nightly cannot tick: the zone Mars/Base is not known."),
    (paused_schedule, "schedule paused", "note", "Schedule nightly has been paused for 60 min: holidays."),
]


@pytest.mark.parametrize(("arrange", "kind", "level", "said"), TROUBLE, ids=[row[0].__name__ for row in TROUBLE])
def test_each_trouble_is_a_sentence_that_is_gone_when_it_is_mended(arrange, kind, level, said):
    mend = arrange()

    (problem,) = [each for each in found() if each.kind == kind]
    assert (problem.level, said in problem.sentence) == (level, True), problem.sentence
    assert problem.sentence.endswith(".")

    mend()
    assert kind not in [each.kind for each in found()]


def test_a_healthy_queue_has_no_problem():
    alive()
    add.enqueue(1)
    rows.succeed(add.enqueue(2).id)
    of_schedule()

    assert found() == []


def test_the_worst_comes_first():
    paused_empty_queue()
    old_version()
    broken_schedule()

    assert [each.level for each in found()] == ["error", "warning", "note"]


def test_a_line_longer_than_is_counted_is_told_so(monkeypatch):
    monkeypatch.setattr(survey_module, "CAP", 2)
    monkeypatch.setattr(queues, "CAP", 2)
    alive()
    add.enqueue_many([(number,) for number in range(3)])

    assert [each.sentence for each in found()] == [
        "More than 2 jobs are ready in queue default: start more workers, or see what floods it."
    ]


def test_what_a_person_wrote_cannot_move_a_cursor():
    operations.pause_queue("default", reason="\x1b[2J<b>hm</b>")

    (problem,) = found()
    assert "\x1b" not in problem.sentence
    assert json.dumps(problem.as_json())


def test_a_problem_of_another_alias_is_not_told():
    rows.worker(backend="other", heartbeat_at=timezone.now() - MINUTES)
    of_schedule(backend="other", problem="no")

    assert found() == []
