"""Jobs that wait for other jobs: what an enqueue writes, refuses and costs."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from datetime import timezone as dt_timezone

import pytest
from django.db import connection, connections, transaction
from django.utils import timezone

import gristmill
from gristmill import at_least
from gristmill.compat import InvalidTask, task_backends
from gristmill.enqueue.deadlines import inheriting
from gristmill.exceptions import UnknownJob
from gristmill.models import EdgeRow, GateRow, Job, JobRow, PropagationRow, WaitingRow
from tests.app.tasks import add, send

pytestmark = pytest.mark.django_db


@gristmill.task(after_mode="any", on_precondition_failure="proceed", hold=True)
def patient(): ...


def edges():
    """What waits for what, as pairs of ids (precondition, dependent)."""
    return {(row.precondition_id.hex, row.dependent_id.hex) for row in EdgeRow.objects.all()}


def test_a_job_waits_for_another_behind_a_gate(frozen):
    first = add.enqueue(1)
    second = add.using(after=first).enqueue(2)

    assert edges() == {(first.id, second.id)}
    gate = GateRow.objects.get()
    assert (gate.job_id.hex, gate.needed, gate.on_precondition_failure, gate.epoch, gate.resolved) == (
        *(second.id, None, "strand", 1, False),
    )
    assert (gate.open, gate.successful, gate.failed, gate.armed_at) == (1, 0, 0, frozen)
    propagation = PropagationRow.objects.get()
    found = (propagation.kind, propagation.job_id.hex, propagation.checks, propagation.due_at)
    assert found == ("resolve", second.id, False, frozen)
    assert (Job.objects.get(pk=second.id).state, second.status.value) == ("waiting", "READY")
    assert Job.objects.waiting().get().id.hex == second.id


def test_a_gate_is_armed_at_the_moment_of_the_enqueue_by_the_databases_clock_too(monkeypatch):
    monkeypatch.setattr(task_backends["default"], "uses_django_clock", lambda: False)
    second = add.using(after=add.enqueue(1)).enqueue(2)

    assert GateRow.objects.get().armed_at == JobRow.objects.get(pk=second.id).enqueued_at


@pytest.mark.parametrize(
    ("options", "needed", "on_precondition_failure", "stored"),
    [
        ({}, None, "strand", None),
        ({"after_mode": "all", "on_precondition_failure": "strand"}, None, "strand", None),
        ({"after_mode": "any"}, 1, "strand", {"needed": 1}),
        ({"after_mode": at_least(2)}, 2, "strand", {"needed": 2}),
        ({"on_precondition_failure": "proceed"}, None, "proceed", {"on_precondition_failure": "proceed"}),
        ({"on_precondition_failure": "fail"}, None, "fail", {"on_precondition_failure": "fail"}),
    ],
)
def test_how_it_waits_is_stored_with_the_gate_and_the_job(options, needed, on_precondition_failure, stored):
    after = [add.enqueue(number) for number in range(3)]
    waiting = add.using(after=after, **options).enqueue(9)

    gate = GateRow.objects.get()
    assert (gate.needed, gate.on_precondition_failure, gate.open) == (needed, on_precondition_failure, 3)
    assert Job.objects.get(pk=waiting.id).options == stored


def test_how_it_waits_may_be_said_of_a_task():
    result = patient.using(after=[add.enqueue(1), add.enqueue(2)], hold=False).enqueue()
    kept = patient.enqueue()

    assert (GateRow.objects.get().needed, GateRow.objects.get().on_precondition_failure) == (1, "proceed")
    assert {job.id.hex: job.state for job in Job.objects.filter(pk__in=[result.id, kept.id])} == {
        result.id: "waiting",
        kept.id: "held",
    }


def test_a_held_job_starts_out_kept_back_and_costs_one_query(django_assert_num_queries):
    with django_assert_num_queries(1):
        result = add.using(hold=True, run_after=timedelta(hours=1)).enqueue(1)

    assert Job.objects.held().get().id.hex == result.id
    assert Job.objects.get().reason is None
    assert not WaitingRow.objects.get().stranded


@pytest.mark.parametrize("shape", ["result", "job", "uuid", "text", "dashes", "list", "generator", "set"])
def test_a_precondition_may_be_given_in_any_form(shape):
    first = add.enqueue(1)
    after = {
        "result": first,
        "job": Job.objects.get(),
        "uuid": uuid.UUID(first.id),
        "text": first.id,
        "dashes": str(uuid.UUID(first.id)),
        "list": [first],
        "generator": (one for one in [first]),
        "set": {first.id},
    }[shape]

    second = add.using(after=after).enqueue(2)

    assert edges() == {(first.id, second.id)}


def test_one_that_is_named_twice_is_one_precondition():
    first = add.enqueue(1)
    second = add.using(after=[first, first.id, Job.objects.get()]).enqueue(2)

    assert edges() == {(first.id, second.id)}
    assert GateRow.objects.get().open == 1


@pytest.mark.parametrize("nothing", [None, [], ()])
def test_nothing_to_wait_for_is_a_plain_job(nothing, django_assert_num_queries):
    waits = add.using(after=add.enqueue(1))
    with django_assert_num_queries(1):
        plain = waits.using(after=nothing).enqueue(2)

    assert Job.objects.get(pk=plain.id).state == "ready"
    assert not GateRow.objects.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"after": 7}, r"after must be a result, a Job, the id of one, or several of them, or None; got 7"),
        ({"after": "no id"}, r"after must be a result, .*; got 'no id'"),
        ({"after": [7]}, r"after must be a result, .*, and 7 is none; got \[7\]"),
        ({"after_mode": "some"}, r"after_mode must be 'all', 'any' or gristmill.at_least\(…\); got 'some'"),
        ({"after_mode": 2}, r"after_mode must be"),
        ({"on_precondition_failure": "ignore"}, r"on_precondition_failure must be 'strand', 'proceed' or 'fail'"),
        ({"hold": "yes"}, r"hold must be True or False; got 'yes'"),
    ],
)
def test_a_wrong_value_is_refused_naming_task_and_option(options, said):
    with pytest.raises(InvalidTask, match=rf"^tests\.app\.tasks\.add: {said}"):
        add.using(**options)


@pytest.mark.parametrize("count", [0, -1, True, 1.0, "2", 2**31])
def test_at_least_takes_whole_numbers_from_one(count):
    with pytest.raises(ValueError, match="at_least takes a whole number from 1"):
        at_least(count)


def test_what_a_job_waits_for_is_no_option_of_a_task():
    from gristmill.tasks.task import Task

    with pytest.raises(InvalidTask, match=r"after is of single jobs; give it to using\(\)"):
        Task(func=add.func, after=[])


@pytest.mark.parametrize("in_autocommit", [False, True])
@pytest.mark.django_db(transaction=True)
def test_an_unknown_precondition_is_refused_and_nothing_is_left(in_autocommit):
    known = add.enqueue(1)
    unknown = uuid.uuid4()

    def ask():
        with pytest.raises(UnknownJob, match=rf"^job {unknown.hex} is not known on database 'default': .*RETENTION"):
            add.using(after=[known, unknown]).enqueue(2)

    if in_autocommit:
        ask()
    else:
        with transaction.atomic():
            ask()
            add.enqueue(3)

    assert JobRow.objects.count() == (1 if in_autocommit else 2)
    assert not GateRow.objects.exists() and not EdgeRow.objects.exists() and not PropagationRow.objects.exists()


def test_a_precondition_that_is_unknown_does_not_take_a_unique_key():
    unique = add.using(unique=True)
    with pytest.raises(UnknownJob):
        unique.using(after=uuid.uuid4()).enqueue(1)

    assert not unique.enqueue(1).existing


@pytest.mark.django_db(databases=["default", "other"])
@pytest.mark.parametrize("shape", ["result", "job"])
def test_a_precondition_on_another_database_is_refused_naming_both(shape):
    other = add.using(backend="elsewhere").enqueue(1)
    after = other if shape == "result" else Job.objects.using("other").get()

    with pytest.raises(UnknownJob, match=r"is on database 'other', but what is to wait for it goes to 'default'"):
        add.using(after=after).enqueue(2)
    assert add.using(backend="elsewhere", after=after).enqueue(3)


def test_a_result_of_a_backend_without_a_database_is_refused():
    theirs = task_backends["not_ours"].enqueue(add.using(backend="not_ours"), [1], {})

    with pytest.raises(UnknownJob, match=r"'not_ours' of TASKS \(DummyBackend\)"):
        add.using(after=theirs).enqueue(1)


def test_an_alias_of_the_same_database_is_no_obstacle():
    first = add.using(backend="any_queue").enqueue(1)

    assert add.using(after=first).enqueue(2)


@pytest.mark.django_db(transaction=True)
def test_all_of_it_is_part_of_the_callers_transaction(elsewhere):
    first = add.enqueue(1)
    with transaction.atomic():
        add.using(after=first).enqueue(2)
        assert elsewhere(GateRow.objects.count) == 0
        transaction.set_rollback(True)

    assert not GateRow.objects.exists() and not PropagationRow.objects.exists() and not EdgeRow.objects.exists()


@pytest.mark.only_on_postgres
@pytest.mark.django_db(transaction=True)
def test_one_that_waits_is_one_query_on_postgresql(django_assert_num_queries):
    after = [add.enqueue(number) for number in range(5)]
    with django_assert_num_queries(1):
        add.using(after=after).enqueue(9)
    assert EdgeRow.objects.count() == 5


@pytest.mark.only_on_postgres
@pytest.mark.django_db(transaction=True)
def test_a_precondition_is_not_locked_by_who_waits_for_it(elsewhere):
    first = add.enqueue(1)
    with transaction.atomic():
        add.using(after=first).enqueue(2)

        def lock():
            with transaction.atomic(), connections["default"].cursor() as cursor:
                # It is kept from being deleted, and from no change: see test_kept_preconditions.
                cursor.execute("select id from gristmill_job where id = %s for no key update nowait", [first.id])
                cursor.execute("select id from gristmill_ready where id = %s for update nowait", [first.id])
                return cursor.fetchall()

        assert len(elsewhere(lock)) == 1


def test_thousands_of_preconditions_take_a_bounded_number_of_queries(django_assert_max_num_queries):
    after = add.enqueue_many((number,) for number in range(2_500))
    with django_assert_max_num_queries(14):
        waiting = add.using(after=after.ids).enqueue(9)

    assert EdgeRow.objects.filter(dependent_id=waiting.id).count() == GateRow.objects.get().open == 2_500


def test_an_unknown_one_among_thousands_is_found():
    after = add.enqueue_many((number,) for number in range(1_200)).ids
    with pytest.raises(UnknownJob, match=r"nor are 1 others"):
        add.using(after=[*after, uuid.uuid4(), uuid.uuid4()]).enqueue(9)
    assert not GateRow.objects.exists()


def test_each_job_of_a_bulk_enqueue_waits(django_assert_max_num_queries):
    first, second = add.enqueue(1), send.enqueue("a")
    with django_assert_max_num_queries(18):
        enqueued = add.using(after=[first, second], after_mode="any").enqueue_many((n,) for n in range(1_500))

    assert len(enqueued) == Job.objects.waiting().count() == GateRow.objects.filter(needed=1, open=2).count() == 1_500
    assert EdgeRow.objects.count() == 3_000
    assert PropagationRow.objects.filter(kind="resolve").count() == 1_500


def test_a_bulk_enqueue_that_waits_for_an_unknown_job_leaves_nothing():
    with pytest.raises(UnknownJob):
        add.using(after=uuid.uuid4()).enqueue_many([(1,), (2,)])
    assert not JobRow.objects.exists()


def test_of_a_unique_bulk_only_what_is_made_waits():
    unique = add.using(unique=True)
    there = unique.enqueue(1)
    first = send.enqueue("a")

    enqueued = unique.using(after=first).enqueue_many([(1,), (2,), (2,)])

    assert enqueued[0].id == there.id
    assert edges() == {(first.id, enqueued[1].id)}
    assert GateRow.objects.count() == PropagationRow.objects.count() == 1


@pytest.mark.parametrize("on_conflict", ["keep", "replace"])
def test_a_unique_job_that_is_there_goes_on_waiting_for_what_it_waits_for(on_conflict):
    unique = send.using(unique=gristmill.Unique(on_conflict=on_conflict))
    first, other = add.enqueue(1), add.enqueue(2)
    waiting = unique.using(after=first).enqueue("a")

    again = unique.using(after=other, run_after=timedelta(minutes=1)).enqueue("a")
    plain = unique.enqueue("a")

    assert (again.id, plain.id, again.existing) == (waiting.id, waiting.id, True)
    assert edges() == {(first.id, waiting.id)}
    assert Job.objects.get(pk=waiting.id).state == "waiting"


def test_a_unique_job_that_moves_is_still_awaited():
    from gristmill.models import ReadyRow, ScheduledRow

    unique = send.using(unique=True)
    result = unique.using(run_after=timedelta(hours=1)).enqueue("a")
    ScheduledRow.objects.update(awaited=True)

    unique.enqueue("a")

    assert ReadyRow.objects.get(pk=result.id).awaited


@pytest.mark.parametrize("bulk", [False, True])
def test_a_dated_job_that_waits_keeps_its_date_and_deadline(bulk):
    date = timezone.now() + timedelta(days=2)
    waits = add.using(after=add.enqueue(1), run_after=date, deadline=date)
    job = Job.objects.get(pk=(waits.enqueue_many([(2,)])[0] if bulk else waits.enqueue(2)).id)

    assert (job.state, abs(job.due_at - date) < timedelta(milliseconds=1)) == ("waiting", True)
    assert abs(job.deadline - date) < timedelta(milliseconds=1)


def test_it_is_one_statement_per_table_on_sqlite(django_assert_max_num_queries):
    first = add.enqueue(1)
    with django_assert_max_num_queries(7 if connection.vendor == "sqlite" else 1):
        add.using(after=first).enqueue(2)


HURRY = datetime(2031, 5, 6, 7, 8, 9, 123456, dt_timezone.utc)


@pytest.mark.parametrize("how", ["one", "bulk", "graph"])
@pytest.mark.parametrize(
    ("task", "inherits"),
    [(add, True), (add.using(run_after=timedelta(days=1)), True), (add.using(deadline=60), False)],
    ids=["says nothing", "is dated", "has its own"],
)
def test_what_a_running_job_enqueues_inherits_its_deadline(task, how, inherits):
    with inheriting(HURRY):
        enqueued(task, how)

    assert (Job.objects.get().deadline == HURRY) is inherits


@pytest.mark.parametrize("how", ["one", "bulk", "graph"])
def test_a_deadline_of_none_is_not_inherited(how):
    with inheriting(HURRY):
        enqueued(add.using(deadline=None), how)

    assert JobRow.objects.get().deadline is None


def test_nothing_is_inherited_once_the_handler_has_ended():
    with inheriting(HURRY, alone=True):
        pass
    add.enqueue(1)

    assert JobRow.objects.get().deadline is None


def enqueued(task, how):
    if how == "one":
        return task.enqueue(1)
    if how == "bulk":
        return task.enqueue_many([(1,)])
    graph = gristmill.Graph()
    graph.add(task, 1)
    return graph.enqueue()


def test_a_job_knows_what_it_waits_for_and_what_waits_for_it(django_assert_max_num_queries):
    first, second = add.enqueue(1), send.enqueue("a")
    third = add.using(after=[second, first]).enqueue(3)

    job = Job.objects.get(pk=third.id)
    with django_assert_max_num_queries(2):
        assert [each.id.hex for each in job.preconditions] == [first.id, second.id]
    assert [each.id.hex for each in Job.objects.get(pk=first.id).dependents.waiting()] == [third.id]
    assert not job.dependents.exists() and not Job.objects.get(pk=first.id).preconditions.exists()
    # Pruned: it is known to have been there, and that is all.
    JobRow.objects.filter(pk=first.id).delete()
    assert [each.id.hex for each in job.preconditions] == [second.id]


def test_a_job_that_thousands_wait_for_knows_them():
    first = add.enqueue(1)
    add.using(after=first).enqueue_many((number,) for number in range(1_500))

    assert Job.objects.get(pk=first.id).dependents.count() == 1_500
