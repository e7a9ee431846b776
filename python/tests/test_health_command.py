"""`manage.py gristmill health`: an exit status for monitors, and a sentence for each thing beyond its limit."""

from __future__ import annotations

import io
import json
import re
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.utils import timezone

from gristmill import operations
from gristmill.inspect import health as measured
from gristmill.inspect.health import Limits
from gristmill.models import JobRow, ReadyRow, Schedule
from tests import crowd, rows
from tests.app.tasks import add, send

pytestmark = pytest.mark.django_db(databases=["default", "other"])


def health(*arguments):
    """The exit status, and what is printed."""
    output, status = io.StringIO(), 0
    try:
        call_command("gristmill", "health", "--backend", "default", *arguments, stdout=output)
    except SystemExit as ended:
        status = ended.code
    return status, output.getvalue().strip()


def enqueued_ago(job, **length):
    for model in (JobRow,):
        model.objects.filter(pk=job.id).update(enqueued_at=timezone.now() - timedelta(**length))


def schedule(name, **columns):
    now = timezone.now()
    values = {
        "backend": "default", "name": name, "origin": "code", "queue_name": "default", "task_name": "a", "job": "{}",
        "definition": "{}", "created_at": now, "defined_at": now, "next_at": now + timedelta(hours=1),
    }  # fmt: skip
    Schedule(**values | columns).save(force_insert=True)


def test_a_queue_that_keeps_up_is_healthy():
    rows.worker()
    add.enqueue(1)
    schedule("hourly")

    status, said = health("--max-backlog", "10", "--max-age", "1h", "--workers", "1", "--max-lateness", "1m")

    # However busy the machine is.
    said = re.sub(r"for (under )?\d+ s", "for a moment", said)
    assert (status, said) == (0, "Healthy: 1 worker, 1 job ready, the oldest due for a moment, no schedule late.")


def test_a_worker_that_claims_nothing_is_not_counted():
    operations.quiet_worker(rows.worker())

    status, said = health()

    assert (status, said) == (
        1,
        "No worker runs, but one that was asked to claim nothing; start one with manage.py gristmill worker.",
    )
    rows.worker()
    assert health()[0] == 0


def test_without_limits_it_wants_a_worker_that_is_heard_of():
    assert health() == (1, "No worker runs; start one with manage.py gristmill worker.")
    assert health("--workers", "0") == (0, "Healthy: the database answers.")
    rows.worker(heartbeat_at=timezone.now() - timedelta(minutes=5))
    assert health()[0] == 1
    rows.worker()
    assert health() == (0, "Healthy: 1 worker.")
    assert health("--workers", "3") == (1, "1 of 3 workers run; start one with manage.py gristmill worker.")


def test_a_backlog_is_counted_to_its_limit():
    for number in range(5):
        add.enqueue(number)
    send.enqueue("a")

    assert health("--workers", "0", "--max-backlog", "6")[0] == 0
    assert health("--workers", "0", "--max-backlog", "3") == (1, "More than 3 jobs are ready.")
    assert health("--workers", "0", "--max-backlog", "1", "--queue", "mail")[0] == 0
    status, said = health("--workers", "0", "--max-backlog", "1", "--queue", "mail", "--queue", "default")
    assert (status, said) == (1, "More than 1 job is ready in queue default.")


def test_an_age_is_for_how_long_a_job_has_been_due():
    enqueued_ago(add.enqueue(1), hours=3)
    enqueued_ago(later := send.enqueue("a"), hours=9)
    # It waited for its date until a moment ago.
    ReadyRow.objects.filter(pk=later.id).update(run_after=timezone.now() - timedelta(minutes=20))

    assert health("--workers", "0", "--max-age", "4h")[0] == 0
    assert health("--workers", "0", "--max-age", "1h") == (
        1,
        "The oldest ready job has been due for 3 h, longer than 60 min.",
    )
    assert health("--workers", "0", "--max-age", "1h", "--queue", "mail")[0] == 0
    assert health("--workers", "0", "--max-age", "10m", "--queue", "mail")[1].startswith(
        "The oldest ready job of queue mail has been due for 20 min"
    )


def test_the_oldest_job_may_have_a_low_priority():
    for number in range(30):
        add.using(priority=5).enqueue(number)
    enqueued_ago(add.using(priority=-5).enqueue(1), hours=3)

    assert health("--workers", "0", "--max-age", "1h")[0] == 1


def test_workers_of_a_queue_are_those_that_serve_it():
    rows.worker(queues={"include": ["mail"], "exclude": []})

    assert health("--queue", "mail")[0] == 0
    assert health("--queue", "default") == (
        1,
        "No worker serves queue default; start one with manage.py gristmill worker.",
    )


def test_a_late_schedule_is_named():
    now = timezone.now()
    schedule("late", next_at=now - timedelta(minutes=10))
    schedule("paused", next_at=now - timedelta(minutes=10), paused_at=now)
    schedule("broken", problem="its task is unknown", next_at=None, queue_name="mail")

    status, said = health("--workers", "0", "--max-lateness", "2m")

    assert (status, said.splitlines()) == (
        1,
        ["Schedule late is late: a tick has been due for 10 min.", "Schedule broken cannot run: its task is unknown."],
    )
    assert health("--workers", "0", "--max-lateness", "2m", "--queue", "mail")[1].startswith("Schedule broken")
    assert health("--workers", "0", "--max-lateness", "1h", "--queue", "default")[0] == 0


def test_very_many_late_schedules_are_counted():
    for number in range(14):
        schedule(f"late {number}", next_at=timezone.now() - timedelta(minutes=10))

    assert health("--workers", "0", "--max-lateness", "2m")[1].endswith("And so are 4 more schedules.")


def test_json_is_one_object():
    add.enqueue(1)

    status, said = health("--json", "--max-backlog", "0")

    assert status == 1
    assert json.loads(said) == {
        "healthy": False,
        "problems": [
            {"kind": "backlog", "level": "error", "sentence": "More than 0 jobs are ready.", "about": {}},
            {
                "kind": "workers",
                "level": "error",
                "sentence": "No worker runs; start one with manage.py gristmill worker.",
                "about": {},
            },
        ],
        "backlog": 0,
        "backlog_at_least": True,
        "oldest_seconds": None,
        "workers": 0,
        "overdue": None,
    }


def test_a_database_that_does_not_answer_is_unhealthy(monkeypatch):
    monkeypatch.setattr(
        "gristmill.commands.health.migrated_connection", lambda _: (_ for _ in ()).throw(CommandError("it is away"))
    )

    assert health() == (1, "Database 'default' does not answer: it is away.")


def test_each_database_that_keeps_jobs_is_asked():
    rows.worker()
    output = io.StringIO()

    with pytest.raises(SystemExit):
        call_command("gristmill", "health", "--json", stdout=output)

    assert [problem["kind"] for problem in json.loads(output.getvalue())["problems"]] == ["workers"]


@pytest.mark.parametrize("arguments", [["--max-age", "soon"], ["--workers", "-1"], ["--max-backlog", "1e6"]])
def test_a_limit_that_is_none_is_refused(arguments):
    with pytest.raises(CommandError):
        health(*arguments)


def test_it_reads_a_bounded_number_of_rows():
    crowd.fill(3_000)
    operations.pause_queue("mail", reason="x")
    limits = Limits(backlog=100, age=timedelta(hours=1), workers=1, lateness=timedelta(minutes=1))
    with crowd.statements() as noted:
        measured.health(connections["default"], {"default": set()}, limits, ["default"])

    # A scan of 3,000 rows would be beyond it on either database.
    assert max(crowd.rows_read(sql, binds) for sql, binds in noted) < 1_000
    assert connection.alias == "default"
