"""Bulk enqueue: thousands of jobs in a few statements, all or none of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from gristmill.compat import AnyTask, TaskResult, task_enqueued
from gristmill.gates import Gate, ask_to_settle, insert_edges, insert_gates, refuse_unknown
from gristmill.ids import new_id
from gristmill.insert import NewJob
from gristmill.insert_many import ROWS_PER_STATEMENT, insert_jobs, insert_with_keys
from gristmill.json_rule import encode
from gristmill.moments import database_now
from gristmill.preconditions import ids_on

if TYPE_CHECKING:
    from gristmill.backend import GristmillBackend
    from gristmill.preparation import Prepared
    from gristmill.results import JobResult


class Call(NamedTuple):
    """The arguments of one call, made by `call(*args, **kwargs)`."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def call(*args: Any, **kwargs: Any) -> Call:
    """Notes the arguments of one call for `enqueue_many`, keywords included."""
    return Call(args, kwargs)


class Enqueued(Sequence["JobResult[..., Any]"]):
    """
    The results of a bulk enqueue, in the order of the calls; each is built when it is looked at.

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
        # By position.
        self._existing = existing or {}

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
            return Enqueued(self._task, self._backend, self._enqueued_at, self._jobs[index], existing)
        index = range(len(self._jobs))[index]
        return self._existing.get(index) or self._new(*self._jobs[index])

    def _new(self, job_id: str, asked: Call, *, existing: bool = False) -> JobResult[..., Any]:
        from gristmill.results import fresh_result

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
        return (self[place] for place in range(len(self)) if place not in self._existing)

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
    from gristmill.preparation import prepared_for

    backend.validate_task(task)
    prepared = prepared_for(backend, task)
    connection = connections[backend.database]
    if not connection.in_atomic_block:
        backend.refuse_other_transactions(connection)
    after = ids_on(connection.alias, prepared.after)
    jobs: list[tuple[str, Call]] = []
    with transaction.atomic(using=connection.alias):
        refuse_unknown(connection, after)
        enqueued_at = enqueue_moment(backend, connection)
        if isinstance(task.run_after, timedelta):
            from gristmill.tasks import unchecked_copy

            task = unchecked_copy(task, run_after=enqueued_at + task.run_after)
        enqueued = Enqueued(task, backend.alias, enqueued_at, jobs)
        rows = _rows(backend, task, prepared, enqueued_at, calls, jobs)
        if prepared.key_maker is None:
            insert_jobs(connection, enqueued_at, rows)
        else:
            _insert_unique(backend, connection, prepared, enqueued, rows)
        if after:
            gate, made = Gate(prepared.needed, prepared.on_failure), enqueued.made_ids()
            insert_gates(connection, enqueued_at, ((job_id, gate, len(after), False) for job_id in made))
            insert_edges(connection, product(after, made))
            ask_to_settle(connection, enqueued_at, made)
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


def _insert_unique(
    backend: GristmillBackend,
    connection: BaseDatabaseWrapper,
    prepared: Prepared,
    enqueued: Enqueued,
    rows: Iterable[NewJob],
) -> None:
    """Inserts what has a key of its own: all keys in their order first, then what others hold, in that order too."""
    from gristmill.conflict import insert_unique

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
    ordered = sorted(by_key)
    now = enqueued._enqueued_at
    taken = insert_with_keys(connection, now, [by_key[key] for key in ordered])
    holders: dict[int, str] = {}
    for key in ordered:
        if by_key[key].id not in taken:
            answer = insert_unique(backend, connection, by_key[key], prepared.unique, now, taken=True)
            if isinstance(answer, str):
                holders[places[key]] = answer
    found = backend.existing_results(holders.values())
    enqueued.settle(first, {place: found[job_id] for place, job_id in holders.items()})


def _rows(
    backend: GristmillBackend,
    task: AnyTask,
    prepared: Prepared,
    enqueued_at: datetime,
    calls: Iterable[Call | Sequence[Any]],
    jobs: list[tuple[str, Call]],
) -> Iterator[NewJob]:
    from gristmill.preparation import with_key

    limit, keys = backend.max_json_bytes, prepared.key_maker
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
        waits=bool(prepared.after),
        held=prepared.held,
    )
    for number, asked in enumerate(calls):
        one = as_call(asked, number)
        args = encode(one.args, where=f"calls[{number}].args", max_bytes=limit)
        kwargs = encode(one.kwargs, where=f"calls[{number}].kwargs", max_bytes=limit) if one.kwargs else "{}"
        job_id = new_id().hex
        jobs.append((job_id, one))
        job = like._replace(id=job_id, args_json=args, kwargs_json=kwargs)
        yield job if keys is None else with_key(job, prepared, keys.key(*one))


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
