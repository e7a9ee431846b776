"""Bulk enqueue: thousands of jobs in a few statements, all or none of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, overload

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from gristmill.compat import AnyTask, TaskResult, task_enqueued
from gristmill.database.transactions import read_committed
from gristmill.enqueue.new_job import Gate, NewJob
from gristmill.enqueue.preparation import Prepared, prepared_for, with_key
from gristmill.enqueue.verbs import (
    EDGES_PER_STATEMENT,
    ROWS_PER_STATEMENT,
    Waiting,
    chunks,
    enqueue_gates,
    enqueue_jobs,
    enqueue_with_keys,
    refuse_unknown,
)
from gristmill.results.result import JobResult, fresh_result
from gristmill.tasks.calls import Call, call
from gristmill.tasks.preconditions import ids_on
from gristmill.tasks.task import unchecked_copy
from gristmill.values.bounds import later
from gristmill.values.ids import new_id
from gristmill.values.moments import database_now

if TYPE_CHECKING:
    from gristmill.backend import GristmillBackend


class Enqueued(Sequence["JobResult[..., Any]"]):
    """
    The results of a bulk enqueue, in the order of the calls; each is built when it is first looked at.

    The result of a call that met a job with its unique key is that job's, with `existing` true.
    """

    def __init__(
        self,
        task: AnyTask,
        backend: str,
        enqueued_at: datetime,
        jobs: list[tuple[str, Call]],
        existing: dict[int, JobResult[..., Any]] | None = None,
    ) -> None:
        self._task, self._backend, self._enqueued_at, self._jobs = task, backend, enqueued_at, jobs
        # By position: of jobs that were there, and those that somebody has looked at, who may have refreshed them.
        self._existing = existing or {}
        self._seen: dict[int, JobResult[..., Any]] = {}

    @property
    def ids(self) -> list[str]:
        """Returns the ids of the jobs."""
        return [job_id for job_id, _ in self._jobs]

    def __len__(self) -> int:
        return len(self._jobs)

    @overload
    def __getitem__(self, index: int) -> JobResult[..., Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Enqueued: ...
    def __getitem__(self, index: int | slice) -> JobResult[..., Any] | Enqueued:
        if isinstance(index, slice):
            places = range(len(self._jobs))[index]
            existing = {place: self._existing[old] for place, old in enumerate(places) if old in self._existing}
            part = Enqueued(self._task, self._backend, self._enqueued_at, self._jobs[index], existing)
            part._seen = {place: self[old] for place, old in enumerate(places)}
            return part
        index = range(len(self._jobs))[index]
        known = self._existing.get(index) or self._seen.get(index)
        if known is None:
            known = self._seen[index] = self._new(*self._jobs[index])
        return known

    def _new(self, job_id: str, asked: Call, *, existing: bool = False) -> JobResult[..., Any]:
        return fresh_result(
            *(self._task, self._backend, job_id, self._enqueued_at, list(asked.args), asked.kwargs), existing=existing
        )

    def settle(self, first: dict[int, int], held: dict[int, JobResult[..., Any]]) -> None:
        """Notes what unique calls met: the call whose key they repeat, or a job that was there before."""
        for place, result in held.items():
            self._jobs[place] = (result.id, self._jobs[place][1])
            self._existing[place] = result
        for place, of in first.items():
            known = self._existing.get(of)
            self._existing[place] = known or self._new(*self._jobs[of], existing=True)
            self._jobs[place] = (self._existing[place].id, self._jobs[place][1])

    def made(self) -> Iterator[JobResult[..., Any]]:
        """Yields the results of the jobs that were made here."""
        return (self._new(*job) for place, job in enumerate(self._jobs) if place not in self._existing)

    def made_ids(self) -> list[str]:
        """Returns the ids of the jobs that were made here."""
        if not self._existing:
            return self.ids
        return [job_id for place, (job_id, _) in enumerate(self._jobs) if place not in self._existing]


def enqueue_many(backend: GristmillBackend, task: AnyTask, calls: Iterable[Call | Sequence[Any]]) -> Enqueued:
    """
    Adds a job for each of `calls`: a tuple of positional arguments, or `call(*args, **kwargs)`.

    All of them or none, in the caller's transaction or one of its own, with one moment of enqueue. Errors name the
    call: `calls[17].args[0]: set is not JSON`. The signal `task_enqueued` is sent once a job where something other
    than Django's own log line listens. Of calls with one unique key the first makes the job. Each of the jobs that are
    made waits for all that the task's `after` names.
    """
    backend.validate_task(task)
    prepared = prepared_for(backend, task)
    connection = connections[backend.database]
    if not connection.in_atomic_block:
        backend.refuse_other_transactions(connection)
    after = ids_on(connection.alias, prepared.after)
    jobs: list[tuple[str, Call]] = []
    with read_committed(connection.alias):
        refuse_unknown(connection, after)
        enqueued_at = enqueue_moment(backend, connection)
        if isinstance(task.run_after, timedelta):
            task = unchecked_copy(task, run_after=later(enqueued_at, task.run_after))
        enqueued = Enqueued(task, backend.alias, enqueued_at, jobs)
        like = _like(backend, task, prepared, enqueued_at)
        rows = _rows(backend, like, prepared, calls, jobs)
        if prepared.key_maker is None:
            enqueue_jobs(connection, rows, enqueued_at, like)
        else:
            _enqueue_unique(backend, connection, prepared, enqueued, rows, like)
        if after:
            gate = Gate(prepared.needed, prepared.on_precondition_failure)
            made = chunks(enqueued.made_ids(), min(ROWS_PER_STATEMENT, EDGES_PER_STATEMENT // len(after) + 1))
            enqueue_gates(connection, (Waiting(some, gate, after) for some in made), enqueued_at)
        if jobs:
            backend.wake(connection)
    if someone_listens():
        for result in enqueued.made():
            task_enqueued.send(type(backend), task_result=result)
    return enqueued


def one_by_one(backend: Any, task: AnyTask, calls: Iterable[Call | Sequence[Any]]) -> Enqueued:
    """Enqueues each call by itself, through any backend."""
    asked = [as_call(each, number) for number, each in enumerate(calls)]
    results: list[Any] = [backend.enqueue(task, list(each.args), each.kwargs) for each in asked]
    jobs = [(result.id, each) for result, each in zip(results, asked, strict=True)]
    return Enqueued(task, backend.alias, timezone.now(), jobs, dict(enumerate(results)))


def _enqueue_unique(
    backend: GristmillBackend,
    connection: BaseDatabaseWrapper,
    prepared: Prepared,
    enqueued: Enqueued,
    rows: Iterable[NewJob],
    like: NewJob,
) -> None:
    """Inserts what has a key of its own: all keys in their order first, then what others hold, in that order too."""
    # Place of the first call of each key, and of those that repeat it.
    places: dict[str, int] = {}
    first: dict[int, int] = {}
    by_key: dict[str, NewJob] = {}
    for place, row in enumerate(rows):
        assert row.key is not None
        if row.key in places:
            first[place] = places[row.key]
        else:
            places[row.key] = place
            by_key[row.key] = row
    rules = dict.fromkeys(by_key, prepared.rule)
    holders = enqueue_with_keys(connection, by_key.values(), rules, enqueued._enqueued_at, like)
    found = backend.existing_results(holders.values())
    enqueued.settle(first, {places[key]: found[job_id] for key, job_id in holders.items()})


def _like(backend: GristmillBackend, task: AnyTask, prepared: Prepared, enqueued_at: datetime) -> NewJob:
    """Returns what all jobs of a bulk enqueue have in common."""
    like = NewJob(
        id="",
        backend=backend.alias,
        queue_name=task.queue_name,
        task_name=prepared.task_name,
        priority=int(task.priority),
        run_after=task.run_after,
        deadline=prepared.deadline_at(enqueued_at),
        args_json="[]",
        kwargs_json="{}",
        options_json=prepared.options_json,
        retention=prepared.retention,
        waits=bool(prepared.after),
        held=prepared.held,
    )
    return like if prepared.key_maker is None else with_key(like, prepared, "")


def _rows(
    backend: GristmillBackend,
    like: NewJob,
    prepared: Prepared,
    calls: Iterable[Call | Sequence[Any]],
    jobs: list[tuple[str, Call]],
) -> Iterator[NewJob]:
    limit, keys, fit = backend.max_json_bytes, prepared.key_maker, prepared.fit
    for number, asked in enumerate(calls):
        one = as_call(asked, number)
        fit.refuse_misfit(*one, f"calls[{number}]: ")
        args, kwargs = fit.encoded(*one, max_bytes=limit, where=f"calls[{number}].")
        job_id = new_id().hex
        jobs.append((job_id, one))
        key = None if keys is None else keys.key(*one)
        yield like._replace(id=job_id, args_json=args, kwargs_json=kwargs, key=key)


def as_call(asked: Call | Sequence[Any], number: int) -> Call:
    """Returns what was asked in one form; raises TypeError, naming its number, for what is neither."""
    if isinstance(asked, Call):
        return asked
    if not isinstance(asked, (tuple, list)):
        raise TypeError(
            f"calls[{number}]: give a tuple of arguments, such as (7,), or call(7, size=3); not {type(asked).__name__}"
        )
    return Call(tuple(asked), {})


def enqueue_moment(backend: GristmillBackend, connection: BaseDatabaseWrapper) -> datetime:
    """Returns the one moment of enqueue: the database's, or Django's where that counts."""
    if backend.uses_django_clock():
        return timezone.now()
    return database_now(connection)


def someone_listens() -> bool:
    """Tells whether `task_enqueued` has a receiver that would do something: Django's own writes a debug line."""
    if len(task_enqueued.receivers) > 1:
        return True
    framework = TaskResult.__module__.rpartition(".")[0]
    return bool(task_enqueued.receivers) and logging.getLogger(framework).isEnabledFor(logging.DEBUG)


__all__ = ["ROWS_PER_STATEMENT", "Call", "Enqueued", "call", "enqueue_many"]
