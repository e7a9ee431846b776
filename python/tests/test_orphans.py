"""Rows that somebody has deleted by hand: the next enqueue gets over it, and the doctor puts the rest right."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from gristmill.doctor.examine import examine
from gristmill.models import (
    Attempt,
    GateRow,
    Job,
    JobRow,
    PropagationRow,
    ReadyRow,
    ResultRow,
    UniqueKeyRow,
)
from gristmill.testing import run_jobs
from tests import goals, rows
from tests.app.tasks import add
from tests.busy import a_busy_healthy_database
from tests.damage import a_gate_was_never_made, an_edge_is_of_a_later_epoch
from tests.sql import execute

pytestmark = pytest.mark.django_db

ONCE = add.using(unique=True)


def mend():
    """Examines and puts right; gives what it did."""
    return [finding.mended for finding in examine("default", fix=True, pause=lambda seconds: None).findings]


def healthy():
    return examine("default", pause=lambda seconds: None).findings == []


def delete_row(result):
    JobRow.objects.filter(pk=result.id)._raw_delete("default")


def delete_place(result):
    ReadyRow.objects.filter(pk=result.id)._raw_delete("default")


def delete_both(result):
    delete_row(result)
    delete_place(result)


@pytest.mark.parametrize("delete", [delete_row, delete_place, delete_both])
@pytest.mark.parametrize("many", [False, True])
def test_a_unique_job_whose_rows_are_gone_gives_its_key_to_the_next_enqueue(delete, many):
    first = ONCE.enqueue(1)
    delete(first)

    second = next(iter(ONCE.enqueue_many([(1,)]))) if many else ONCE.enqueue(1)

    assert (second.id != first.id, second.existing) == (True, False)
    assert UniqueKeyRow.objects.get().job_id.hex == second.id
    assert ONCE.enqueue(1).id == second.id


def test_a_unique_job_that_is_there_keeps_its_key():
    first = ONCE.enqueue(1)

    assert [ONCE.enqueue(1).id, next(iter(ONCE.enqueue_many([(1,)]))).id] == [first.id] * 2


@pytest.mark.django_db(transaction=True)
def test_of_several_who_want_the_key_of_a_job_that_is_gone_one_gets_it():
    for number in range(5):
        delete_both(ONCE.enqueue(number))

        def ask(_: int, number: int = number) -> str:
            try:
                return ONCE.enqueue(number).id
            finally:
                connection.close()

        with ThreadPoolExecutor(4) as threads:
            assert len(set(threads.map(ask, range(4)))) == 1
    assert Job.objects.count() == 5


@pytest.mark.parametrize("table", ["job", "ready", "gate", "edge", "attempt", "result", "unique_key", "propagation"])
def test_whichever_table_somebody_empties_the_doctor_puts_the_rest_right(table):
    a_busy_healthy_database()
    execute(f"delete from gristmill_{table}")

    examine("default", fix=True, pause=lambda seconds: None)

    assert left_to_people() <= {"success without an attempt"}


def left_to_people():
    """What a second look finds; the propagations that the first has asked for are in need of no worker."""
    execute("update gristmill_propagation set due_at = due_at")
    return {finding.check for finding in examine("default", fix=True, pause=lambda seconds: None).problems}


def test_a_job_that_lost_its_place_is_held_until_a_person_has_looked():
    job = add.enqueue(1)
    delete_place(job)

    assert mend() == ["held it, as it had lost its place"]

    assert Job.objects.get(pk=job.id).state == "held"
    assert len(run_jobs()) == 0
    assert Job.objects.all().release().done == {"released": 1}
    assert run_jobs().successful == 1


def test_a_job_that_succeeded_and_lost_its_place_does_not_run_again():
    job = add.enqueue(1)
    dependent = goals.wait(add.enqueue(2), job)
    rows.succeed(job.id)
    token = Attempt.objects.get(job_id=job.id).token
    ResultRow.objects.filter(pk=job.id)._raw_delete("default")
    PropagationRow.objects.all().delete()

    assert "it has ended, as its last attempt says" in mend()

    found = Job.objects.get(pk=job.id)
    assert (found.state, found.token, found.attempts.count()) == ("successful", token, 1)
    run_jobs()
    assert Attempt.objects.filter(job_id=job.id).count() == 1
    assert Job.objects.get(pk=dependent.id).state == "successful"


def test_what_waits_without_a_gate_waits_for_what_its_edges_say():
    first = add.enqueue(1)
    second = goals.wait(add.enqueue(2), first)
    GateRow.objects.all().delete()

    assert "has it wait for what its edges say" in mend()

    run_jobs()
    assert Job.objects.get(pk=second.id).state == "successful"
    assert healthy()


@pytest.mark.only_on_postgres
def test_a_callers_transaction_keeps_its_timeouts_when_something_is_put_right_in_it():
    execute("set local statement_timeout = '77s'; set local lock_timeout = '66s'")
    first = add.enqueue(1)
    goals.wait(add.enqueue(2), first)
    GateRow.objects.all().delete()

    assert mend()
    with connection.cursor() as cursor:
        cursor.execute("select current_setting('statement_timeout'), current_setting('lock_timeout')")
        assert cursor.fetchall() == [("77s", "66s")]


def test_what_does_not_wait_forgets_what_it_had_waited_for():
    a_gate_was_never_made(a_busy_healthy_database())

    assert mend() == ["forgot what it had waited for"]
    assert healthy()


def test_a_gate_that_is_older_than_its_edges_is_brought_up_to_them():
    an_edge_is_of_a_later_epoch(a_busy_healthy_database())

    assert mend() == ["has it wait for what its edges say"]
    assert healthy()


@pytest.mark.parametrize(
    ("on_precondition_failure", "state"), [("strand", "stranded"), ("fail", "failed"), ("proceed", "successful")]
)
def test_a_precondition_that_is_gone_counts_as_failed(on_precondition_failure, state):
    first = add.enqueue(1)
    second = goals.wait(add.enqueue(2), first, on_precondition_failure=on_precondition_failure)
    delete_both(first)

    assert mend() == ["took it for failed"]

    run_jobs(raise_errors=False)
    assert Job.objects.get(pk=second.id).state == state
    assert healthy()
