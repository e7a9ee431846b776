"""
Forgets finished jobs by hand, in small batches, each a transaction of its own.

Workers prune all the time by the verb `prune`. What the verb cannot choose, one queue or failures apart, is chosen here
by the same rules: a job's own retention comes first, nothing is forgotten within 60 s of its end, and nothing that a
job still waits for.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Exists, Model, OuterRef, Q, QuerySet

from gristmill.database.statements import carry_out
from gristmill.database.transactions import read_committed
from gristmill.models import (
    Action,
    Attempt,
    CancelRequestRow,
    EdgeRow,
    GateRow,
    JobRow,
    ProgressRow,
    ResultRow,
    UniqueKeyRow,
)
from gristmill.values.moments import database_now
from gristmill.verbs.batched import BATCH, now_bind, unpacked

#: Edges that go in one transaction: as many as the verb takes. A job with more of them goes with the last.
EDGES = 20_000
#: A job is never forgotten sooner, so that whoever waits for its result can read it.
LEAST_AGE = timedelta(seconds=60)


class Rule(NamedTuple):
    """What may be forgotten: successful jobs and others by their age, perhaps of one (backend, queue) only."""

    successful_age: timedelta
    failed_age: timedelta
    queue: tuple[str, str] | None = None

    @property
    def is_the_verbs(self) -> bool:
        """Tells whether the engine's verb can choose so."""
        return self.queue is None and self.successful_age == self.failed_age


def prune(connection: BaseDatabaseWrapper, rule: Rule) -> Iterator[int]:
    """Forgets what the rule allows, and yields how many jobs each batch was."""
    if rule.is_the_verbs:
        binds = [now_bind(connection.alias), rule.successful_age.total_seconds(), BATCH]
        count = BATCH
        while count == BATCH:
            with read_committed(connection.alias):
                ((count,),) = unpacked(carry_out(connection, "prune", binds))
            yield count
        return
    for rows, column in chosen(connection, rule):
        yield from _in_batches(connection, rows, column)


def prunable(connection: BaseDatabaseWrapper, rule: Rule, cap: int) -> int:
    """Counts what the rule allows, to just beyond the cap."""
    return sum(rows.values("pk")[: cap + 1].count() for rows, _ in chosen(connection, rule))


def chosen(connection: BaseDatabaseWrapper, rule: Rule) -> list[tuple[QuerySet[ResultRow], str]]:
    """Returns what the rule allows, each with the column whose index finds it."""
    now = database_now(connection)
    rows = ResultRow.objects.using(connection.alias).filter(~is_needed(), finished_at__lte=now - LEAST_AGE)
    if rule.queue is not None:
        rows = rows.filter(backend=rule.queue[0], queue_name=rule.queue[1])
    successful_until, failed_until = (now - max(age, LEAST_AGE) for age in (rule.successful_age, rule.failed_age))
    old = Q(state="successful", finished_at__lte=successful_until) | ~Q(state="successful") & Q(
        finished_at__lte=failed_until
    )
    usual = rows.filter(old, prune_at=None, finished_at__lte=max(successful_until, failed_until))
    return [(rows.filter(prune_at__lte=now), "prune_at"), (usual, "finished_at")]


def is_needed() -> Q:
    """Tells, of a result, whether a job waits for it that has not ended."""
    dependents = EdgeRow.objects.filter(
        Exists(JobRow.objects.filter(pk=OuterRef("dependent_id"))),
        ~Exists(ResultRow.objects.filter(pk=OuterRef("dependent_id"))),
        precondition_id=OuterRef("pk"),
    )
    # Not by `awaited`: that is known only once a worker has seen who waits.
    return Q(Exists(dependents))


def _in_batches(connection: BaseDatabaseWrapper, rows: QuerySet[ResultRow], column: str) -> Iterator[int]:
    last: tuple[datetime, object] | None = None
    while True:
        rest = rows
        if last is not None:
            # By key, as what another one is pruning is passed over and stays where it is.
            later = Q(**{f"{column}__gt": last[0]}) | Q(**{column: last[0]}, pk__gt=last[1])
            rest = rows.filter(later, **{f"{column}__gte": last[0]})
        with read_committed(connection.alias):
            page = rest.select_for_update(skip_locked=True).order_by(column, "pk").values_list(column, "pk")[:BATCH]
            found = list(page)
            ids = not_begun_to_be_waited_for(connection, [job_id for _, job_id in found])
            bare = without_edges(connection, ids)
            forget(connection, bare)
        yield len(bare)
        if len(bare) < len(ids):
            # The others have edges left: the same page again, without those that are gone.
            continue
        if len(found) < BATCH:
            return
        last = found[-1]


def not_begun_to_be_waited_for(connection: BaseDatabaseWrapper, ids: list[UUID]) -> list[UUID]:
    """Leaves out jobs that someone's transaction begins to wait for: it locks them, and may have committed since."""
    jobs = JobRow.objects.using(connection.alias).filter(pk__in=ids).order_by("pk")
    free = set(jobs.select_for_update(skip_locked=True).values_list("pk", flat=True))
    results = ResultRow.objects.using(connection.alias)
    needed = set(results.filter(is_needed(), pk__in=free).values_list("pk", flat=True))
    return [job_id for job_id in ids if job_id in free and job_id not in needed]


def without_edges(connection: BaseDatabaseWrapper, ids: list[UUID]) -> list[UUID]:
    """Deletes what jobs have waited for, EDGES rows at most, and returns the jobs that have none left."""
    edges = EdgeRow.objects.using(connection.alias).filter(dependent_id__in=ids)
    pairs = edges.order_by("dependent_id", "precondition_id").values_list("dependent_id", "precondition_id")
    beyond = pairs[EDGES : EDGES + 1].first()
    if beyond is None:
        edges._raw_delete(connection.alias)
        return ids
    whole = Q(dependent_id__lt=beyond[0])
    edges.filter(whole | Q(dependent_id=beyond[0], precondition_id__lt=beyond[1]))._raw_delete(connection.alias)
    # Databases sort ids as Python does.
    return [job_id for job_id in ids if job_id < beyond[0]]


def forget(connection: BaseDatabaseWrapper, ids: list[UUID]) -> None:
    """Deletes everything about finished jobs but what they have waited for."""
    about: list[tuple[type[Model], str]] = [
        *((model, "job_id") for model in (Attempt, ProgressRow, CancelRequestRow, Action, UniqueKeyRow, GateRow)),
        *((model, "id") for model in (JobRow, ResultRow)),
    ]
    for model, column in about:
        # Raw: rows of the queue are nothing that a project's signals are about.
        rows = model._default_manager.using(connection.alias).filter(**{f"{column}__in": ids})
        rows._raw_delete(connection.alias)
