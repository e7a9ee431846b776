"""What a job begins to wait for is not forgotten before that is committed, and nobody waits because of that."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from gristmill import Graph, Unique, operations
from gristmill.database.dialects import statements_of
from gristmill.database.statements import run
from gristmill.exceptions import UnknownJob
from gristmill.models import Job, JobRow, ResultRow
from gristmill.testing import run_jobs
from gristmill.verbs.pruning import Rule, prune
from tests import rows
from tests.app.tasks import add

pytestmark = pytest.mark.django_db(transaction=True)

ONE_DAY, TWO_DAYS = timedelta(days=1), timedelta(days=2)
# By the engine's verb, and as chosen by hand.
RULES = {"verb": Rule(ONE_DAY, ONE_DAY), "by hand": Rule(ONE_DAY, TWO_DAYS)}


def ended_long_ago() -> Any:
    """A job that has succeeded, and whose retention is over."""
    job = add.enqueue(1)
    rows.succeed(job.id)
    long_ago(job)
    return job


def ended_just_now(count: int) -> list[Any]:
    jobs = add.enqueue_many([(0,)] * count)
    for job in jobs:
        rows.succeed(job.id)
    return jobs


def long_ago(job: Any) -> None:
    ResultRow.objects.filter(pk=job.id).update(finished_at=timezone.now() - timedelta(days=9), prune_at=None)


def forgotten(rule: Rule = RULES["verb"]) -> int:
    return sum(prune(connection, rule))


def by_a_graph(job: Any) -> None:
    graph = Graph()
    graph.add(add, 2, after=graph.add(add.using(after=job), 3))
    graph.enqueue()


WAYS: dict[str, Callable[[Any], Any]] = {
    "enqueue": lambda job: add.using(after=job).enqueue(2),
    "aenqueue": lambda job: async_to_sync(add.using(after=job).aenqueue)(2),
    "unique": lambda job: add.using(after=job, unique=True).enqueue(2),
    "more than a thousand": lambda job: add.using(after=[job, *ended_just_now(1_000)]).enqueue(2),
    "enqueue_many": lambda job: add.using(after=job).enqueue_many([(2,), (3,)]),
    "graph": by_a_graph,
    "add_preconditions": lambda job: operations.add_preconditions(add.enqueue(2), job),
}


@pytest.mark.only_on_postgres
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_what_an_open_transaction_begins_to_wait_for_is_not_forgotten(
    way: Callable[[Any], Any], rule: Rule, elsewhere: Callable[[Callable[[], Any]], Any]
) -> None:
    job = ended_long_ago()
    with transaction.atomic():
        way(job)
        assert elsewhere(lambda: forgotten(rule)) == 0
    # Committed, and before any worker has looked at it.
    assert forgotten(rule) == 0

    run_jobs()

    assert not Job.objects.stranded().exists()
    assert not Job.objects.exclude(state="successful").exists()


@pytest.mark.only_on_postgres
def test_nobody_waits_for_whoever_begins_to_wait_for_a_job(elsewhere: Callable[[Callable[[], Any]], Any]) -> None:
    job, other = ended_long_ago(), ended_long_ago()
    waits_too = add.using(after=job).enqueue(3)
    with transaction.atomic():
        add.using(after=job).enqueue(2)

        # A worker holds another's edge against it, and runs that one.
        elsewhere(lambda: run_jobs(backend="default"))
        assert elsewhere(lambda: Job.objects.get(pk=waits_too.id).state) == "successful"
        # What is not waited for goes.
        assert elsewhere(forgotten) == 1
        assert not elsewhere(lambda: JobRow.objects.filter(pk=other.id).exists())
        # It can be run again, from its first to its last statement.
        assert elsewhere(lambda: operations.retry(job)).done == {"retried": 1}
        elsewhere(lambda: run_jobs(backend="default"))
        assert elsewhere(lambda: Job.objects.get(pk=job.id).generation) == 2

    run_jobs()
    assert not Job.objects.exclude(state="successful").exists()


@pytest.mark.only_on_postgres
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_where_it_is_rolled_back_the_job_goes(rule: Rule, elsewhere: Callable[[Callable[[], Any]], Any]) -> None:
    job = ended_long_ago()
    with transaction.atomic():
        add.using(after=job).enqueue(2)
        assert elsewhere(lambda: forgotten(rule)) == 0
        transaction.set_rollback(True)

    # The verb looks at it again in ten minutes.
    assert ResultRow.objects.filter(prune_at__gt=timezone.now() + timedelta(minutes=8)).exists() == (
        rule is RULES["verb"]
    )
    long_ago(job)
    assert forgotten(rule) == 1


@pytest.mark.only_on_postgres
def test_who_commits_between_a_look_and_the_lock_is_seen(elsewhere: Callable[[Callable[[], Any]], Any]) -> None:
    job = ended_long_ago()
    # All of the verb that only looks and locks: a cursor has its snapshot from here on, and has not locked anything.
    (text,) = statements_of("postgres", "prune")
    head = text[: text.index("put_off as (")].rstrip().rstrip(",")
    head = head.replace("$1", "null").replace("$2", "86400").replace("$3", "10")
    with transaction.atomic():
        run(connection, [f"declare looks cursor for {head} select id from needed"], [])
        elsewhere(lambda: add.using(after=job).enqueue(2))
        assert [str(row[0].hex) for row in run(connection, ["fetch all from looks"], [])] == [job.id]


@pytest.mark.only_on_postgres
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_job_whose_key_an_open_transaction_met_is_not_forgotten_and_nobody_waits(
    rule: Rule, elsewhere: Callable[[Callable[[], Any]], Any]
) -> None:
    task = add.using(unique=Unique(until="pruned"))
    job = task.enqueue(1)
    rows.succeed(job.id)
    long_ago(job)
    waits_too = add.using(after=job).enqueue(3)
    with transaction.atomic():
        assert task.enqueue(1).existing
        elsewhere(lambda: run_jobs(backend="default"))
        assert elsewhere(lambda: Job.objects.get(pk=waits_too.id).state) == "successful"
        assert elsewhere(lambda: forgotten(rule)) == 0
        # A graph in which it is a node.
        graph = Graph()
        graph.add(add, 2, after=graph.add(task, 1))
        graph.enqueue()

    run_jobs()
    assert not Job.objects.exclude(state="successful").exists()


@pytest.mark.only_on_postgres
def test_a_graph_that_meets_a_job_that_runs_keeps_it(elsewhere: Callable[[Callable[[], Any]], Any]) -> None:
    task = add.using(unique=Unique(until="finished"))
    job = task.enqueue(1)
    running = rows.claim(job.id)
    with transaction.atomic():
        graph = Graph()
        graph.add(add, 2, after=graph.add(task, 1))
        graph.enqueue()

        def ends() -> int:
            rows.end(running, "successful", return_value="null")
            rows.finish(running, "successful")
            long_ago(job)
            return forgotten()

        assert elsewhere(ends) == 0

    run_jobs()
    assert not Job.objects.exclude(state="successful").exists()


def test_what_has_been_forgotten_before_is_unknown() -> None:
    job = ended_long_ago()
    assert forgotten() == 1
    with pytest.raises(UnknownJob):
        add.using(after=job).enqueue(2)


@pytest.mark.skipif(connection.vendor == "postgresql", reason="PostgreSQL locks rows")
def test_on_sqlite_who_read_before_it_was_forgotten_cannot_write_after(
    monkeypatch: pytest.MonkeyPatch, elsewhere: Callable[[Callable[[], Any]], Any]
) -> None:
    # As where the settings leave out the line that the checks ask for.
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {})
    connection.close()
    run(connection, ["pragma journal_mode = wal"], [])
    job = ended_long_ago()
    with pytest.raises(OperationalError, match="is locked"), transaction.atomic():
        assert Job.objects.get(pk=job.id).state == "successful"
        assert elsewhere(forgotten) == 1
        add.using(after=job).enqueue(2)
    assert not JobRow.objects.exists()
