"""Bulk enqueue: thousands of jobs in a few statements, all or none of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from django.db import DatabaseError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from gristmill.compat import AnyTask, AnyTaskResult, TaskResult, TaskResultStatus, task_enqueued
from gristmill.ids import new_id
from gristmill.json_rule import encode
from gristmill.moments import database_now, utc_text

if TYPE_CHECKING:
    from gristmill.backend import GristmillBackend

#: Rows of one statement: enough that the round trip is nothing, few enough that binds stay small.
ROWS_PER_STATEMENT = 1_000


class Call(NamedTuple):
    """The arguments of one call, made by `call(*args, **kwargs)`."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def call(*args: Any, **kwargs: Any) -> Call:
    """Notes the arguments of one call for `enqueue_many`, keywords included."""
    return Call(args, kwargs)


class Enqueued(Sequence[AnyTaskResult]):
    """The results of a bulk enqueue, in the order of the calls; each is built when it is looked at."""

    def __init__(self, task: AnyTask, backend: str, enqueued_at: datetime, jobs: list[tuple[str, Call]]) -> None:
        self._task, self._backend, self._enqueued_at, self._jobs = task, backend, enqueued_at, jobs

    @property
    def ids(self) -> list[str]:
        """Returns the ids of the jobs."""
        return [job_id for job_id, _ in self._jobs]

    def __len__(self) -> int:
        return len(self._jobs)

    @overload
    def __getitem__(self, index: int) -> AnyTaskResult: ...
    @overload
    def __getitem__(self, index: slice) -> Enqueued: ...
    def __getitem__(self, index: int | slice) -> AnyTaskResult | Enqueued:
        if isinstance(index, slice):
            return Enqueued(self._task, self._backend, self._enqueued_at, self._jobs[index])
        job_id, (args, kwargs) = self._jobs[index]
        return TaskResult(
            task=self._task,
            id=job_id,
            status=TaskResultStatus.READY,
            enqueued_at=self._enqueued_at,
            started_at=None,
            finished_at=None,
            last_attempted_at=None,
            args=list(args),
            kwargs=kwargs,
            backend=self._backend,
            errors=[],
            worker_ids=[],
        )


def enqueue_many(backend: GristmillBackend, task: AnyTask, calls: Iterable[Call | Sequence[Any]]) -> Enqueued:
    """
    Adds a job for each of `calls`: a tuple of positional arguments, or `call(*args, **kwargs)`.

    All of them or none, in the caller's transaction or one of its own, with one moment of enqueue. Errors name the
    call: `calls[17].args[0]: set is not JSON`. The signal `task_enqueued` is sent once a job where something other
    than Django's own log line listens.
    """
    backend.validate_task(task)
    connection = connections[backend.database]
    if not connection.in_atomic_block:
        backend.refuse_other_transactions(connection)
    jobs: list[tuple[str, Call]] = []
    with transaction.atomic(using=connection.alias):
        enqueued_at = _now(backend, connection)
        if isinstance(task.run_after, timedelta):
            from gristmill.tasks import unchecked_copy

            task = unchecked_copy(task, run_after=enqueued_at + task.run_after)
        rows = _rows(backend, calls, jobs)
        while chunk := list(islice(rows, ROWS_PER_STATEMENT)):
            _insert(backend, connection, task, enqueued_at, chunk)
        if jobs:
            backend.wake(connection)
    enqueued = Enqueued(task, backend.alias, enqueued_at, jobs)
    if _someone_listens():
        for result in enqueued:
            task_enqueued.send(type(backend), task_result=result)
    return enqueued


def _rows(
    backend: GristmillBackend, calls: Iterable[Call | Sequence[Any]], jobs: list[tuple[str, Call]]
) -> Iterator[tuple[str, str, str]]:
    limit = backend.max_json_bytes
    for number, asked in enumerate(calls):
        one = asked if isinstance(asked, Call) else Call(_arguments(asked, number), {})
        args = encode(one.args, where=f"calls[{number}].args", max_bytes=limit)
        kwargs = encode(one.kwargs, where=f"calls[{number}].kwargs", max_bytes=limit) if one.kwargs else "{}"
        job_id = new_id().hex
        jobs.append((job_id, one))
        yield job_id, args, kwargs


def _arguments(asked: Sequence[Any], number: int) -> tuple[Any, ...]:
    if not isinstance(asked, (tuple, list)):
        raise TypeError(
            f"calls[{number}]: give a tuple of arguments, such as (7,), or call(7, size=3); not {type(asked).__name__}"
        )
    return tuple(asked)


def _now(backend: GristmillBackend, connection: BaseDatabaseWrapper) -> datetime:
    """Returns the one moment of enqueue: the database's, or Django's where that counts."""
    if backend.uses_django_clock():
        return timezone.now()
    return database_now(connection)


def _insert(
    backend: GristmillBackend,
    connection: BaseDatabaseWrapper,
    task: AnyTask,
    enqueued_at: datetime,
    rows: list[tuple[str, str, str]],
) -> None:
    from gristmill.backend import raise_if_tables_missing

    options = backend.options_json(task)
    shared: list[Any] = [backend.alias, task.queue_name, task.module_path, int(task.priority)]
    try:
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite":
                run_after = utc_text(task.run_after) if task.run_after else None
                tail = [*shared, run_after, utc_text(enqueued_at), options]
                cursor.executemany(SQLITE, [(*row, *tail) for row in rows])
            else:
                ids, args, kwargs = (list(column) for column in zip(*rows, strict=True))
                cursor.execute(POSTGRES, [*shared, task.run_after, enqueued_at, options, ids, args, kwargs])
    except DatabaseError as error:
        raise_if_tables_missing(error, connection)
        raise


def _someone_listens() -> bool:
    """Tells whether `task_enqueued` has a receiver that would do something: Django's own writes a debug line."""
    if len(task_enqueued.receivers) > 1:
        return True
    framework = TaskResult.__module__.rpartition(".")[0]
    return bool(task_enqueued.receivers) and logging.getLogger(framework).isEnabledFor(logging.DEBUG)


# The trigger gristmill_job_place puts each job in its place.
SQLITE = (
    "insert into gristmill_job "
    "(id, args, kwargs, backend, queue_name, task_name, priority, run_after, enqueued_at, options) "
    "values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)

POSTGRES = (
    "insert into gristmill_job "
    "(backend, queue_name, task_name, priority, run_after, enqueued_at, options, id, args, kwargs) "
    "select %s, %s, %s, %s::smallint, %s::timestamptz, %s::timestamptz, %s::text, id, args, kwargs "
    "from unnest(%s::uuid[], %s::text[], %s::text[]) as one(id, args, kwargs)"
)
