"""`dumpdata` and `loaddata` bring jobs to where they were: what has ended stays so, and nothing is placed twice."""

from __future__ import annotations

import json

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from gristmill.doctor.examine import examine
from gristmill.models import Attempt, Job, JobRow, PropagationRow, ReadyRow, ResultRow, RunningRow, UniqueKeyRow, Worker
from gristmill.testing import run_jobs
from tests import goals, rows
from tests.app.tasks import add
from tests.busy import a_busy_healthy_database
from tests.sql import execute

pytestmark = pytest.mark.django_db

ONCE = add.using(unique=True)
TABLES = [
    model._meta.db_table
    for model in apps.get_app_config("gristmill").get_models()
    if model._meta.concrete_model is not Job
]


@pytest.fixture
def dump(tmp_path):
    """Dumps a whole app, or everything; gives the file."""

    def write(*labels, **options):
        path = tmp_path / f"dump{len(list(tmp_path.iterdir()))}.json"
        call_command("dumpdata", *labels, output=str(path), verbosity=0, **options)
        return str(path)

    return write


def load(path):
    call_command("loaddata", path, verbosity=0)


def contents():
    """Every row of every table; the propagations without their numbers."""
    found = {}
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"select * from {table}")
            names = [column[0] for column in cursor.description]
            read = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
            without = "id" if table == "gristmill_propagation" else None
            found[table] = sorted(
                str(sorted((name, value) for name, value in row.items() if name != without)) for row in read
            )
    return found


def clear():
    for table in TABLES:
        execute(f"delete from {table}")


def healthy():
    return [finding.sentence for finding in examine("default", pause=lambda seconds: None).findings] == []


@pytest.mark.parametrize("labels", [(), ("gristmill",)])
@pytest.mark.parametrize("kind", ["json", "jsonl"])
def test_a_dump_brings_every_row_back_to_where_it_was(dump, labels, kind, tmp_path):
    a_busy_healthy_database()
    before = contents()
    path = tmp_path / f"dump.{kind}"
    call_command("dumpdata", *labels, output=str(path), format=kind, verbosity=0)
    clear()

    load(str(path))

    assert contents() == before
    assert healthy()


def test_what_has_ended_does_not_run_again_and_the_rest_does(dump):
    done, failed, left = add.enqueue(1), add.enqueue("no number"), add.enqueue(3)
    rows.succeed(done.id)
    rows.fail(failed.id)
    after = goals.wait(add.enqueue(4), left)
    path = dump()
    clear()
    load(path)

    ran = run_jobs()

    assert {attempt.job_id for attempt in ran.attempts} == {left.id, after.id.hex}
    assert Attempt.objects.filter(job_id=done.id).count() == 1
    assert healthy()


def test_a_dump_that_is_loaded_twice_changes_nothing(dump):
    a_busy_healthy_database()
    before = contents()
    path = dump()

    for _ in range(2):
        load(path)

    assert contents() == before


def test_a_dump_leaves_the_jobs_that_are_there_alone(dump):
    add.enqueue(1)
    path = dump()
    clear()
    a_busy_healthy_database()
    jobs = Job.objects.count()

    load(path)

    assert Job.objects.count() == jobs + 1
    assert healthy()


def test_a_job_that_has_gone_on_since_it_was_dumped_stays_where_it_is(dump):
    job, unique = add.enqueue(1), ONCE.enqueue(2)
    path = dump()
    run_jobs()

    load(path)

    assert {each.state for each in Job.objects.all()} == {"successful"}
    assert len(run_jobs()) == 0
    assert [Attempt.objects.filter(job_id=each.id).count() for each in (job, unique)] == [1, 1]
    assert ReadyRow.objects.count() == 0


def test_a_job_that_has_got_further_in_the_dump_is_where_the_dump_has_it(dump):
    job = add.using(unique=True).enqueue(1)
    after = goals.wait(add.enqueue(2), job)
    earlier = dump()
    rows.succeed(job.id)
    UniqueKeyRow.objects.all().delete()
    later = dump()
    clear()
    load(earlier)

    load(later)

    assert (Job.objects.get(pk=job.id).state, UniqueKeyRow.objects.count()) == ("successful", 0)
    assert [attempt.job_id for attempt in run_jobs().attempts] == [after.id.hex]
    assert healthy()


def test_a_token_never_goes_back_behind_an_attempt_that_is_loaded(dump):
    job = add.enqueue(1)
    ready = ReadyRow.objects.get()
    rows.fail(job.id)
    path = dump("gristmill.attempt")
    Attempt.objects.all().delete()
    ResultRow.objects.all().delete()
    ready.save(force_insert=True)

    load(path)

    assert ReadyRow.objects.get().token == 1
    assert run_jobs().successful == 1
    assert list(Attempt.objects.order_by("token").values_list("token", flat=True)) == [1, 2]


def test_a_job_that_runs_here_goes_on_running(dump):
    worker = rows.worker()
    job = add.enqueue(1)
    running = rows.claim(job.id, worker.id)
    rows.end(running, "failed")
    rows.finish(running, "failed")
    path = dump()
    ResultRow.objects.all().delete()
    Attempt.objects.all().delete()
    running.save(force_insert=True)

    load(path)

    assert (RunningRow.objects.count(), ResultRow.objects.count(), Attempt.objects.count()) == (1, 0, 0)


def test_a_live_workers_row_is_not_set_back(dump):
    worker = rows.worker()
    path = dump()
    now = timezone.now()
    Worker.objects.update(heartbeat_at=now)

    load(path)

    assert Worker.objects.get(pk=worker.id).heartbeat_at == now


def test_a_propagation_that_is_loaded_takes_no_others_number(dump):
    first = add.enqueue(1)
    PropagationRow.objects.create(kind="raise_deadline", job_id=first.id, due_at=timezone.now())
    path = dump()
    clear()
    second = add.enqueue(2)
    PropagationRow.objects.create(kind="evaluate", job_id=second.id, due_at=timezone.now())
    number = PropagationRow.objects.get().pk
    execute("update gristmill_propagation set id = (select min(id) from gristmill_propagation)")

    load(path)
    load(path)

    assert sorted(PropagationRow.objects.values_list("kind", flat=True)) == ["evaluate", "raise_deadline"]
    assert PropagationRow.objects.filter(pk=number, kind="evaluate").exists()
    PropagationRow.objects.create(kind="evaluate", job_id=second.id, due_at=timezone.now())


@pytest.mark.parametrize("value", [None, True, 5, 1.5, "text", '"quoted"', [1, {"a": None}], {"ü": "\u2028"}])
def test_what_a_task_has_returned_is_the_same_in_a_copy(dump, value):
    job = add.enqueue(1)
    running = rows.claim(job.id)
    rows.end(running, "successful", return_value=json.dumps(value))
    rows.finish(running, "successful")
    path = dump()
    clear()

    load(path)

    assert Job.objects.get(pk=job.id).result == value


def test_a_row_that_no_fixture_brings_is_saved_as_ever():
    job = add.enqueue(1)
    row = ReadyRow.objects.get(pk=job.id)
    row.priority = 7
    row.save()

    assert ReadyRow.objects.get().priority == 7
    with pytest.raises(TypeError, match="read only"):
        Job.objects.get().save()


def test_a_job_that_is_loaded_without_its_place_is_given_none(dump):
    add.enqueue(1)
    path = dump("gristmill.jobrow", "gristmill.job")
    clear()

    load(path)

    assert (JobRow.objects.count(), ReadyRow.objects.count()) == (1, 0)
