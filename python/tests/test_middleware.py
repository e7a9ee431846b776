"""What a project puts around enqueues and runs: in order, made once, and at no cost where there is none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.exceptions import ImproperlyConfigured

import gristmill
from gristmill import chain
from gristmill.backend import GristmillBackend
from gristmill.compat import task_backends
from gristmill.exceptions import UnknownJob
from gristmill.models import EdgeRow, Job
from gristmill.runner.attempt import call_of
from gristmill.testing import run_jobs
from tests.app import middleware

pytestmark = pytest.mark.django_db

PLACE = "tests.app.middleware"


@gristmill.task
def take(*args, **kwargs):
    return [list(args), kwargs]


@gristmill.task
async def take_later(*args, **kwargs):
    return [list(args), kwargs]


@gristmill.task
def divide(number):
    return 1 / number


@pytest.fixture
def use(settings) -> Iterator[object]:
    """Sets middleware for the test."""

    def set_options(**options):
        settings.TASKS = {"default": {**settings.TASKS["default"], "OPTIONS": options}}
        call_of.cache_clear()

    middleware.seen.clear()
    middleware.made.clear()
    yield set_options
    call_of.cache_clear()


def test_an_enqueue_goes_through_it_from_the_first_to_the_last(use):
    use(ENQUEUE_MIDDLEWARE=[f"{PLACE}.outer", f"{PLACE}.inner"])

    result = take.enqueue(1)
    take.enqueue(2)

    assert (result.args, result.kwargs) == ([1, "outer", "inner"], {"more": True})
    assert Job.objects.get(pk=result.id).args == [1, "outer", "inner"]
    assert middleware.seen[:3] == ["outer in", ("inner", [1, "outer"]), "outer out"]
    assert middleware.made == ["inner", "outer"]


@pytest.mark.parametrize("how", ["many", "graph"])
def test_so_does_each_job_of_a_bulk_enqueue(use, how):
    use(ENQUEUE_MIDDLEWARE=(f"{PLACE}.urgent",))

    if how == "many":
        results = take.enqueue_many([(1,), (2,)])
        assert [result.args for result in results] == [[1], [2]]
    else:
        results = chain(take.with_args(1), take.with_args(2)).enqueue()
        assert [(str(edge.precondition_id), str(edge.dependent_id)) for edge in EdgeRow.objects.all()] == [
            tuple(str(Job.objects.get(pk=job_id).id) for job_id in results.ids)
        ]

    assert [job.priority for job in Job.objects.order_by("id")] == [77, 77]
    assert list(results.ids) == [job.id.hex for job in Job.objects.order_by("id")]


def test_a_bulk_enqueue_through_it_is_still_all_or_nothing(use):
    use(ENQUEUE_MIDDLEWARE=[f"{PLACE}.urgent"])
    with pytest.raises(TypeError):
        take.enqueue_many([(1,), ({1},)])
    with pytest.raises(UnknownJob):
        chain(take.with_args(1), take.using(after="0" * 32).with_args(2)).enqueue()
    assert not Job.objects.exists()


@pytest.mark.parametrize("task", [take, take_later], ids=["sync", "async"])
def test_a_run_goes_through_it(use, task):
    use(RUN_MIDDLEWARE=[f"{PLACE}.watching", f"{PLACE}.inner"])
    first, second = task.enqueue(1, context="mine"), task.enqueue(2)

    assert run_jobs().successful == 2
    first.refresh()
    assert first.return_value == [[1, "inner"], {"context": "mine", "more": True}]
    assert middleware.seen[0] == (task.name, [1], {"context": "mine"})
    # Once around handlers that are not async, and once around those that are.
    assert middleware.made == ["inner"] * (2 if task is take_later else 1)
    assert second


def test_it_may_turn_an_error_into_a_result(use):
    use(RUN_MIDDLEWARE=[f"{PLACE}.turning_errors"])
    result = divide.enqueue(0)
    run_jobs()
    result.refresh()
    assert result.return_value == "infinite"


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        ([f"{PLACE}.missing"], "names 'tests.app.middleware.missing', which cannot be imported"),
        ([f"{PLACE}.not_a_function"], "names 'tests.app.middleware.not_a_function', which is not a function"),
        (f"{PLACE}.outer", "must be a list of dotted paths, not 'tests.app.middleware.outer'"),
        ([7], "must be a list of dotted paths"),
    ],
)
@pytest.mark.parametrize("option", ["ENQUEUE_MIDDLEWARE", "RUN_MIDDLEWARE"])
def test_what_is_wrong_with_it_is_a_system_check(option, paths, said):
    backend = GristmillBackend("default", {"QUEUES": [], "OPTIONS": {option: paths}})

    (message,) = [each for each in backend.check() if each.id == "gristmill.E009"]

    assert message.msg.startswith(f"TASKS['default']['OPTIONS']['{option}'] {said}")


def test_what_was_not_checked_is_refused_when_it_is_used(use):
    use(ENQUEUE_MIDDLEWARE=[f"{PLACE}.nothing"])
    with pytest.raises(ImproperlyConfigured, match=r"tests\.app\.middleware\.nothing must return a function, not None"):
        take.enqueue(1)


def test_without_middleware_nothing_is_around_a_run():
    call = call_of("default", take.module_path, "default", 0)
    assert call is not None and call.around is None and call.around_async is None
    assert task_backends["default"].run_through(is_async=True) is None
