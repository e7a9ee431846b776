"""The backends without a database take the same tasks, and treat their arguments as the database would."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction

import gristmill
from gristmill import Exponential, Postpone, Unique, call
from gristmill.backends import immediate
from gristmill.compat import InvalidTask, TaskResultStatus, task_backends, task_finished
from gristmill.results.result import JobResult
from tests.app.models import Order
from tests.test_options import GIVEN


@pytest.fixture(params=["immediate", "dummy"])
def kind(request, settings):
    return use(settings, request.param)


@pytest.fixture
def at_once(settings):
    return use(settings, "immediate")


def use(settings, kind):
    path = f"gristmill.backends.{kind}.{kind.title()}Backend"
    settings.TASKS = {"default": {"BACKEND": path, "QUEUES": ["default", "mail"]}}
    return task_backends["default"]


def add(left, right=1):
    return left + right


def fail():
    Order.objects.create(name="undone")
    raise LookupError("no")


def postpone():
    Order.objects.create(name="kept")
    raise Postpone(5)


def postpone_politely():
    return Postpone(5)


async def add_async(left):
    return {left: (1,)}


def counting(context):
    return [context.attempt, context.task_result.existing]


def looking_back(context):
    context.progress(1, 2, "half")
    context.metadata["colour"] = "blue"
    context.log("a line")
    return [[one.id, one.status.value, one.args] for one in context.preconditions]


async def looking_back_later(context):
    return [[one.id, one.status.value, one.args] for one in await context.apreconditions()]


def make(function, **options):
    """A task of the backend under test that no other test can know."""
    return gristmill.task(name=f"backends-{function.__name__}", **options)(function)


@pytest.mark.django_db
def test_every_option_is_accepted(kind):
    task = make(add, **GIVEN, unique=Unique(period=5), deadline=5, priority=3, queue_name="mail")

    result = task.using(backoff=Exponential()).enqueue(1)

    assert isinstance(result, JobResult)
    assert result.existing is False
    assert (result.task.options.max_attempts, result.args) == (5, [1])


def test_arguments_are_held_to_the_same_rule(kind):
    with pytest.raises(TypeError, match=r"^args\[0\]: set is not JSON"):
        make(add).enqueue({1})

    assert make(add).enqueue((1,), right=[2]).args == [[1]]


def test_wrong_options_are_refused(kind):
    with pytest.raises(InvalidTask, match=r"^tests\.test_backends\.add: max_attempts must be"):
        make(add, max_attempts=0)


def test_many_are_enqueued_one_by_one(kind):
    enqueued = make(add).enqueue_many([(1,), call(2, right=3)])

    assert [result.args for result in enqueued] == [[1], [2]]
    assert enqueued.ids == [result.id for result in enqueued]
    assert not any(result.existing for result in enqueued)


def test_the_dummy_keeps_what_was_enqueued(settings):
    backend = use(settings, "dummy")

    result = make(add).using(run_after=timedelta(hours=1)).enqueue(1)

    assert backend.results == [result]
    assert backend.get_result(result.id) == result
    backend.clear()
    assert backend.results == []


def test_a_task_runs_where_it_is_enqueued(at_once):
    assert make(add).enqueue(1).return_value == 2
    assert make(add_async).enqueue(1).return_value == {"1": [1]}
    assert make(counting, takes_context=True).enqueue().return_value == [1, False]


@pytest.mark.django_db
def test_a_failure_is_kept_in_the_result(at_once):
    result = make(fail, max_attempts=3).enqueue()

    assert (result.status, result.attempts) == (TaskResultStatus.FAILED, 1)
    assert result.errors[0].exception_class is LookupError
    assert Order.objects.exists()


@pytest.mark.django_db
def test_a_transactional_task_that_fails_leaves_nothing(at_once):
    assert make(fail, transactional=True).enqueue().status == TaskResultStatus.FAILED
    assert not Order.objects.exists()
    assert not transaction.get_connection().needs_rollback


@pytest.mark.django_db
@pytest.mark.parametrize("function", [postpone, postpone_politely])
def test_a_task_that_postpones_itself_stays_ready(at_once, function):
    received = []
    task_finished.connect(lambda **given: received.append(given), weak=False, dispatch_uid="postponed")
    try:
        result = make(function, transactional=True).enqueue()
    finally:
        task_finished.disconnect(dispatch_uid="postponed")

    assert (result.status, result.attempts, result.errors) == (TaskResultStatus.READY, 0, [])
    assert received == []
    assert Order.objects.exists() == (function is postpone)


def careless():
    Order.objects.create(name="kept")
    transaction.on_commit(lambda: 1 / 0)
    transaction.on_commit(lambda: Order.objects.create(name="on commit"))


@pytest.mark.django_db(transaction=True)
def test_a_callback_of_its_commit_that_fails_costs_a_transactional_task_nothing(at_once, caplog):
    received = []
    task_finished.connect(
        lambda task_result, **given: received.append(
            (task_result.status, transaction.get_connection().in_atomic_block)
        ),
        weak=False,
        dispatch_uid="careless",
    )
    try:
        result = make(careless, transactional=True).enqueue()
    finally:
        task_finished.disconnect(dispatch_uid="careless")

    assert (result.status, result.errors) == (TaskResultStatus.SUCCESSFUL, [])
    assert received == [(TaskResultStatus.SUCCESSFUL, False)]
    assert {order.name for order in Order.objects.all()} == {"kept", "on commit"}
    assert "an on_commit callback of job" in caplog.text


def test_a_result_that_is_not_json_fails(at_once):
    result = make(set_result).enqueue()

    assert result.status == TaskResultStatus.FAILED
    assert "result: set is not JSON" in result.errors[0].traceback


def set_result():
    return {1}


def fails():
    raise LookupError("no")


@pytest.mark.parametrize(
    ("ends", "options", "status"),
    [
        ("good good", {}, "SUCCESSFUL"),
        ("good bad", {}, "READY"),
        ("good bad", {"after_mode": "any"}, "SUCCESSFUL"),
        ("bad bad", {"after_mode": "any"}, "READY"),
        ("good bad", {"on_precondition_failure": "proceed"}, "SUCCESSFUL"),
        ("good bad", {"on_precondition_failure": "fail"}, "FAILED"),
        ("good bad", {"after_mode": gristmill.at_least(2), "on_precondition_failure": "fail"}, "FAILED"),
        ("good bad later", {"after_mode": gristmill.at_least(2), "on_precondition_failure": "fail"}, "READY"),
        ("good later", {"on_precondition_failure": "proceed"}, "READY"),
        ("good", {"after_mode": gristmill.at_least(5)}, "SUCCESSFUL"),
        ("", {"after_mode": "any"}, "SUCCESSFUL"),
        ("good", {"hold": True}, "READY"),
    ],
)
def test_what_waits_for_others_runs_at_once_if_enough_of_them_have_succeeded(at_once, ends, options, status):
    kinds = {"good": add_nothing, "bad": fails, "later": postpone_politely}
    after = [make(kinds[end]).enqueue() for end in ends.split()]

    result = make(add).using(after=after, **options).enqueue(1)

    assert result.status == status
    assert result.errors == []
    assert result.is_finished == (status != "READY")


def add_nothing():
    return 0


def test_a_precondition_of_which_only_the_id_is_given_counts_as_successful(at_once):
    assert make(add).using(after=make(fails).enqueue().id).enqueue(1).status == "SUCCESSFUL"


@pytest.mark.parametrize("function", [looking_back, looking_back_later])
def test_a_handler_that_is_run_at_once_has_the_whole_context(at_once, function):
    good, bad = make(add).enqueue(1), make(fails).enqueue()
    look = make(function, takes_context=True)

    result = look.using(after=[bad, good], on_precondition_failure="proceed").enqueue()

    assert result.return_value == [[good.id, "SUCCESSFUL", [1]], [bad.id, "FAILED", []]]
    assert look.enqueue().return_value == []


def test_only_so_many_results_are_kept_for_what_waits_for_them(at_once, monkeypatch):
    monkeypatch.setattr(immediate, "KEPT_RESULTS", 1)
    first, second = make(add).enqueue(1), make(add).enqueue(2)

    result = make(looking_back, takes_context=True).using(after=[first, second]).enqueue()

    assert [one[2] for one in result.return_value] == []
    assert list(at_once.newest) == [result.id]


def test_chains_groups_and_graphs_are_enqueued_in_order(kind):
    step = make(add).with_args

    results = gristmill.chain(step(1), gristmill.group(step(2), step(3)), step(4)).enqueue()
    graph = gristmill.Graph()
    last = graph.add(make(add), 1)
    first = graph.add(make(add), 2)
    last.after(first)
    other = graph.enqueue()

    assert [result.args for result in results] == [[1], [2], [3], [4]]
    assert (results.last.args, other[last].args, other[first].args) == ([4], [1], [2])
    assert results.ids == [result.id for result in results]
