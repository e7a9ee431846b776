"""What a test is told of the jobs that ran in it is true: failures are raised, and no other test is remembered."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from django.test import TestCase
from django.test.utils import override_settings

import gristmill
from gristmill import Graph, Unique, chain, remote
from gristmill.compat import task_backends
from gristmill.models import Job, JobRow
from gristmill.tasks import registry
from gristmill.testing import JobFailed, arun_jobs, clock, run_jobs
from tests.app import worked
from tests.app.tasks import add, add_async
from tests.app.worked import ran

PATH = "gristmill.backend.GristmillBackend"
MIDDLEWARE = ["tests.app.middleware.outer"]
NOON = datetime(2031, 5, 1, 12, tzinfo=timezone.utc)


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()


def state_of(result: Any) -> str:
    return Job.objects.get(pk=result.id).state


@gristmill.task
def anything(*args: Any, **kwargs: Any) -> list[Any]:
    return list(args)


@gristmill.task
def doubled(text: str) -> str:
    return text * 2


@gristmill.task
def another(*args: Any, **kwargs: Any) -> str:
    return "another"


# -- failures -------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_bare_run_raises_what_the_first_job_raised_that_failed_for_good(run_jobs: Any) -> None:
    failed = worked.fail.enqueue("no tea")
    other = worked.note.enqueue("later")

    with pytest.raises(worked.Sad, match="no tea") as caught:
        run_jobs()

    assert caught.traceback[-1].name == "fail"
    assert (state_of(failed), state_of(other)) == ("failed", "ready")
    assert run_jobs().successful == 1


@pytest.mark.django_db
def test_a_run_that_is_asked_not_to_raise_runs_them_all() -> None:
    worked.fail.enqueue("no tea")
    worked.note.enqueue("later")

    done = run_jobs(raise_errors=False)

    assert (done.failed, done.successful, ran) == (1, 1, ["later"])


@pytest.mark.django_db
def test_a_failure_that_is_tried_again_raises_when_it_is_the_last_one() -> None:
    with clock(NOON) as now:
        worked.fail.using(max_attempts=2, backoff=gristmill.Constant(10)).enqueue("no tea")
        assert run_jobs().retried == 1
        now.advance(10)
        with pytest.raises(worked.Sad):
            run_jobs()


@pytest.mark.django_db
def test_a_job_whose_arguments_do_not_fit_raises_why() -> None:
    remote("tests.app.worked.note").enqueue("too", "many")

    with pytest.raises(TypeError, match=r"^tests\.app\.worked\.note: too many positional arguments$"):
        run_jobs()


@pytest.mark.django_db
def test_a_job_that_failed_without_an_exception_is_raised_as_that() -> None:
    with clock(NOON) as now:
        result = worked.note.using(expires=5).enqueue("late")
        now.advance(6)
        with pytest.raises(JobFailed, match=rf"^job {result.id} of tests\.app\.worked\.note has failed: .* expired$"):
            run_jobs()


@pytest.mark.django_db
@pytest.mark.parametrize(("kind", "cause"), [("interrupt", KeyboardInterrupt), ("exit", SystemExit)])
def test_what_would_end_the_test_run_is_the_cause_of_what_is_raised(kind: str, cause: type[BaseException]) -> None:
    worked.leave.enqueue(kind)

    with pytest.raises(JobFailed) as caught:
        run_jobs()

    assert isinstance(caught.value.__cause__, cause)
    assert caught.value.attempt.outcome == "failed"


# -- nothing is remembered ------------------------------------------------------------------------------------------


def settings_with(**options: Any) -> Any:
    return override_settings(TASKS={"default": {"BACKEND": PATH, "QUEUES": [], "OPTIONS": options}})


@pytest.mark.django_db
def test_changed_settings_are_seen_by_the_next_run() -> None:
    for options, fits in [({}, True), ({"MAX_JSON_BYTES": 20}, False), ({}, True)]:
        with settings_with(**options):
            doubled.enqueue("x" * 15)
            if fits:
                assert run_jobs().successful == 1
            else:
                with pytest.raises(ValueError, match=r"^result: 32 bytes of JSON are over the limit of 20"):
                    run_jobs()


@pytest.mark.django_db
def test_changed_middleware_is_seen_by_the_next_run() -> None:
    def run() -> Any:
        result = anything.enqueue(1)
        run_jobs()
        result.refresh()
        return result.return_value

    assert run() == [1]
    with settings_with(RUN_MIDDLEWARE=MIDDLEWARE):
        assert run() == [1, "outer"]
    assert run() == [1]
    with settings_with(ENQUEUE_MIDDLEWARE=MIDDLEWARE):
        assert run() == [1, "outer"]
    assert run() == [1]


@pytest.mark.django_db
def test_a_task_that_is_defined_anew_is_seen_by_the_next_run(monkeypatch: pytest.MonkeyPatch) -> None:
    first = anything.enqueue(1)
    assert run_jobs().results[0].return_value == [1]

    monkeypatch.setitem(registry.tasks["default"], anything.module_path, another)
    anything.enqueue(1)

    assert run_jobs().results[0].return_value == "another"
    assert first.id


# -- async tests ----------------------------------------------------------------------------------------------------


class AsyncTests(TestCase):
    async def test_jobs_run_in_an_async_test_too(self) -> None:
        jobs = [await add.aenqueue(1), await add_async.aenqueue(2)]

        done = await arun_jobs()

        assert done.successful == 2
        for result, value in zip(jobs, (2, 3), strict=True):
            await result.arefresh()
            assert result.return_value == value

    async def test_what_a_job_raises_comes_out_of_it(self) -> None:
        await worked.fail.aenqueue("no tea")
        with pytest.raises(worked.Sad):
            await arun_jobs()
        await worked.note.aenqueue("tea")
        assert (await arun_jobs(task=worked.note, raise_errors=False)).successful == 1


def test_the_fixture_for_async_tests_is_the_function(arun_jobs: Any) -> None:
    from gristmill import testing

    assert arun_jobs is testing.arun_jobs


# -- results --------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_result_that_was_refreshed_is_still_that_when_it_is_looked_at_again() -> None:
    graph = Graph()
    node = graph.add(add, 1)
    many, graphs, chained = add.enqueue_many([(1,), (2,), (3,)]), graph.enqueue(), chain(add.with_args(1)).enqueue()
    run_jobs()

    graphs.last.refresh()
    assert graphs.last.return_value == graphs[0].return_value == graphs[node].return_value == 2
    assert graphs[:][0] is graphs.last
    chained[0].refresh()
    assert chained.last.return_value == 2
    many[-1].refresh()
    assert many[2].return_value == 4
    assert many[1:][1] is many[2]
    part = many[::2]
    part[0].refresh()
    assert many[0].return_value == 2
    assert [each is same for each, same in zip(many, many, strict=True)] == [True] * 3


@pytest.mark.django_db
def test_signals_of_a_bulk_are_given_results_of_their_own() -> None:
    from gristmill.compat import task_enqueued

    seen: list[Any] = []

    def receive(sender: Any, task_result: Any, **kwargs: Any) -> None:
        seen.append(task_result)

    task_enqueued.connect(receive)
    try:
        many = add.using(unique=Unique()).enqueue_many([(1,), (1,), (2,)])
        graph = chain(add.with_args(1), add.with_args(2)).enqueue()
    finally:
        task_enqueued.disconnect(receive)

    assert [each.id for each in seen] == [many[0].id, many[2].id, *graph.ids]
    assert many[1].existing and JobRow.objects.count() == 4
    assert task_backends["default"].get_result(many[1].id) == many[0]
