"""Unique jobs when many enqueue at once: one job for each key, and nobody waits in a circle."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from django.db import connection, connections, transaction

from gristmill import Unique
from gristmill.models import Job, JobRow, ReadyRow, RunningRow, UniqueKeyRow
from tests import rows
from tests.test_unique import resize

pytestmark = pytest.mark.django_db(transaction=True)

PROCESSES = 8
EACH = 25

CHILD = """
import os, sys
import django
django.setup()
from django.db import connections
from gristmill.enqueue.bulk import call
connections["default"].settings_dict["NAME"] = sys.argv[1]
from tests.test_unique import resize
print("ready", flush=True)
sys.stdin.readline()
results = [resize.enqueue(7) for _ in range(int(sys.argv[2]))]
print(sum(not result.existing for result in results), *{result.id for result in results})
"""


def test_two_hundred_enqueues_from_eight_processes_make_one_job():
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]),
        "DJANGO_SETTINGS_MODULE": "tests.settings",
    }
    command = [sys.executable, "-c", CHILD, str(connection.settings_dict["NAME"]), str(EACH)]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(PROCESSES)
    ]
    try:
        for child in children:
            assert child.stdout.readline() == "ready\n"
        for child in children:
            child.stdin.write("go\n")
            child.stdin.flush()
        said = [child.communicate(timeout=60)[0].split() for child in children]
    finally:
        for child in children:
            child.kill()
            child.wait()

    (job,) = JobRow.objects.all()
    assert sum(int(words[0]) for words in said) == 1
    assert {word for words in said for word in words[1:]} == {job.id.hex}
    assert UniqueKeyRow.objects.get().job_id == ReadyRow.objects.get().id == job.id


def together(*functions):
    """Calls each function in a thread of its own, all at once; raises what the first of them raised."""
    barrier = threading.Barrier(len(functions))
    errors = []

    def work(function):
        try:
            connections["default"].ensure_connection()
            barrier.wait(timeout=60)
            function()
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=[function]) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


@pytest.mark.only_on_postgres
def test_bulk_enqueues_in_opposite_order_do_not_deadlock():
    for number in range(300, 320):
        resize.enqueue(number)
    numbers = list(range(1_100))

    for _ in range(2):
        together(
            lambda: resize.enqueue_many((number,) for number in numbers),
            lambda: resize.enqueue_many((number,) for number in reversed(numbers)),
        )

    assert JobRow.objects.count() == UniqueKeyRow.objects.count() == 1_100


@pytest.mark.only_on_postgres
def test_bulk_enqueues_that_move_the_same_jobs_do_not_deadlock():
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    shuffled = random.Random(seed)
    task = resize.using(unique=Unique(by="photo_id", on_conflict="replace"))
    numbers = list(range(200))
    task.enqueue_many((number,) for number in numbers)

    def replace_all():
        order = shuffled.sample(numbers, len(numbers))
        task.enqueue_many((number, "new") for number in order)

    together(replace_all, replace_all, replace_all)

    assert {tuple(job.args) for job in Job.objects.all()} == {(number, "new") for number in numbers}


@pytest.mark.only_on_postgres
def test_a_kept_job_cannot_be_claimed_before_the_callers_commit(elsewhere):
    first = resize.enqueue(7)

    def free():
        """What a claim finds: it skips locked rows."""
        with transaction.atomic():
            return [row.id.hex for row in ReadyRow.objects.select_for_update(skip_locked=True)]

    with transaction.atomic():
        assert resize.enqueue(7).existing
        assert elsewhere(free) == []

    assert elsewhere(free) == [first.id]


@pytest.mark.only_on_postgres
def test_a_claim_of_the_holder_does_not_wait_for_the_caller(elsewhere):
    """The key's own row stays free: a claim of another job with its key goes through beside an open transaction."""
    running_task = resize.using(unique=Unique(until="finished"))
    first = running_task.enqueue(7)
    rows.claim(first.id)

    def finish():
        with connections["default"].cursor() as cursor:
            cursor.execute("set lock_timeout = '2s'")
            cursor.execute("delete from gristmill_unique_key where job_id = %s", [first.id])
        return RunningRow.objects.filter(pk=first.id).delete()[0]

    with transaction.atomic():
        assert running_task.enqueue(7).existing
        assert elsewhere(finish) == 1


@pytest.mark.only_on_postgres
def test_who_waits_for_a_key_gets_it_when_the_other_rolls_back():
    taken, rolled_back = threading.Event(), threading.Event()
    results = []

    def first():
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            resize.enqueue(7)
            taken.set()
            waiting_for_a_lock()
            1 / 0  # noqa: B018
        rolled_back.set()

    def second():
        assert taken.wait(10)
        results.append(resize.enqueue(7))
        assert rolled_back.wait(10)

    together(first, second)

    assert [result.existing for result in results] == [False]
    assert JobRow.objects.get().id.hex == results[0].id


def waiting_for_a_lock():
    """Polls until someone waits for a transaction of ours."""
    for _ in range(10_000):
        with connections["default"].cursor() as cursor:
            cursor.execute(
                "select count(*) from pg_locks where not granted and pg_backend_pid() = any(pg_blocking_pids(pid))"
            )
            if cursor.fetchone()[0]:
                return
    raise AssertionError("nobody came to wait for the key")
