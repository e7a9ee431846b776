"""
The tasks backend: enqueues jobs in the caller's own transaction and reads their results.

A plain job costs one query. A worker that said it is idle is woken after the commit, never inside it.
"""

from __future__ import annotations

import functools
import json
import logging
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from django.core import checks
from django.db import DatabaseError, connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from gristmill import compat, registry
from gristmill.bulk import Call, Enqueued, enqueue_many
from gristmill.compat import (
    AnyTask,
    AnyTaskResult,
    BaseTaskBackend,
    TaskError,
    TaskResult,
    TaskResultDoesNotExist,
    TaskResultStatus,
    task_enqueued,
)
from gristmill.exceptions import Interrupted, OutsideTransaction, RunnerCrashed, TablesMissing, WorkerLost
from gristmill.ids import new_id, parse_id
from gristmill.json_rule import MAX_BYTES, encode
from gristmill.moments import from_utc, utc_text
from gristmill.tasks import Task, placeholder, unchecked_copy
from gristmill.wake import IDLE, wake_after_commit, wake_now

if TYPE_CHECKING:
    from typing_extensions import ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")

logger = logging.getLogger("gristmill")

# Exceptions recorded for attempts that ended without one of their own.
ERROR_OF_OUTCOME = {"crashed": RunnerCrashed, "lost": WorkerLost, "interrupted": Interrupted}


class GristmillBackend(BaseTaskBackend):
    """
    Keeps jobs in the project's own database.

    OPTIONS: DATABASE (an alias of DATABASES; else the router decides), CLOCK ("database" or "django"),
    MAX_JSON_BYTES (per arguments and result; 256 KiB), OUTSIDE_TRANSACTION ("refuse" or "allow"), WORKER (defaults
    of `manage.py gristmill worker`).
    """

    task_class = Task
    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        # Runs when a module with tasks is imported, before apps are ready: no models in here.
        super().__init__(alias, params)
        self.max_json_bytes: int = self.options.get("MAX_JSON_BYTES", MAX_BYTES)

    @property
    def database(self) -> str:
        """The alias of the database that has the queue's tables."""
        named: str | None = self.options.get("DATABASE")
        if named:
            return named
        from gristmill.models import Job

        return router.db_for_write(Job)

    def validate_task(self, task: AnyTask) -> None:
        """Checks a task as Django does; `run_after` may also be a timedelta."""
        if isinstance(task.run_after, timedelta):
            task = unchecked_copy(task, run_after=None)
        super().validate_task(task)

    def enqueue(self, task: compat.Task[P, R], args: list[Any], kwargs: dict[str, Any]) -> TaskResult[P, R]:
        """
        Adds a job for `task` to the queue, in the transaction that is open on the queue's database.

        Raises TypeError or ValueError for arguments that are not JSON, naming their path; OutsideTransaction when a
        transaction is open on another database only; TablesMissing before the first `migrate`.
        """
        self.validate_task(task)
        args_json = encode(args, where="args", max_bytes=self.max_json_bytes)
        kwargs_json = encode(kwargs, where="kwargs", max_bytes=self.max_json_bytes)
        connection = connections[self.database]
        if not connection.in_atomic_block:
            self.refuse_other_transactions(connection)

        job_id = new_id()
        enqueued_at, run_after, idle = self._insert(connection, job_id.hex, task, args_json, kwargs_json)
        if connection.in_atomic_block:
            wake_after_commit(connection)
        elif idle and connection.get_autocommit():
            wake_now(connection)

        if run_after != task.run_after:
            task = unchecked_copy(task, run_after=run_after)
        result: TaskResult[P, R] = TaskResult(
            task=task,
            id=job_id.hex,
            status=TaskResultStatus.READY,
            enqueued_at=enqueued_at,
            started_at=None,
            finished_at=None,
            last_attempted_at=None,
            # As they will be read back: text keys, lists, and nothing that the caller may change later.
            args=json.loads(args_json),
            kwargs=json.loads(kwargs_json),
            backend=self.alias,
            errors=[],
            worker_ids=[],
        )
        task_enqueued.send(type(self), task_result=result)
        return result

    def enqueue_many(self, task: AnyTask, calls: Iterable[Call | Sequence[Any]]) -> Enqueued:
        """Adds a job for each of `calls`, all or none; see `gristmill.bulk.enqueue_many`."""
        return enqueue_many(self, task, calls)

    def get_result(self, result_id: str) -> AnyTaskResult:
        """Returns the result of a job by its id; raises TaskResultDoesNotExist for an unknown or malformed one."""
        from gristmill.models import Job

        job_id = parse_id(result_id)
        if job_id is None:
            raise TaskResultDoesNotExist(result_id)
        connection = connections[self.database]
        try:
            # Not first(): it would have the view sorted.
            job = next(iter(Job.objects.using(connection.alias).filter(pk=job_id)), None)
        except DatabaseError as error:
            raise_if_tables_missing(error, connection)
            raise
        if job is None:
            raise TaskResultDoesNotExist(result_id)
        return result_of(job)

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        """System checks of this alias: settings, database engine, and whether the app is installed."""
        from gristmill.checks import check_backend

        return check_backend(self, **kwargs)

    def refuse_other_transactions(self, connection: BaseDatabaseWrapper) -> None:
        """
        Raises when the caller is in a transaction, but not in one of the queue's database.

        The job would be there even if that transaction rolled back. Tests that wrap every database they name are
        not concerned.
        """
        for other in connections.all(initialized_only=True):
            if other.in_atomic_block and self.options.get("OUTSIDE_TRANSACTION") != "allow":
                raise OutsideTransaction(
                    f"a transaction is open on database '{other.alias}', but the queue's tables are on "
                    f"'{connection.alias}', so the job would stay even if that transaction rolled back. Enqueue inside "
                    f"transaction.atomic(using='{connection.alias}'), or from transaction.on_commit(…, "
                    f"using='{other.alias}'), or set OPTIONS['OUTSIDE_TRANSACTION'] = 'allow' for this backend"
                )

    def _insert(
        self, connection: BaseDatabaseWrapper, job_id: str, task: AnyTask, args_json: str, kwargs_json: str
    ) -> tuple[datetime, datetime | None, bool]:
        """Inserts the job; gives back when it was enqueued, the date it waits for, and whether a worker is idle."""
        from gristmill.schema import dialect_of

        dialect = dialect_of(connection)
        run_after: datetime | timedelta | None = task.run_after
        now = timezone.now() if self.uses_django_clock() else None
        if now is not None and isinstance(run_after, timedelta):
            run_after = now + run_after
        kind = "none" if run_after is None else "delay" if isinstance(run_after, timedelta) else "date"
        statement = insert_statement(dialect, now is not None, kind)
        binds: list[Any] = [job_id, self.alias, task.queue_name, task.module_path, int(task.priority)]
        if isinstance(run_after, timedelta):
            binds.append(run_after.total_seconds())
        elif run_after is not None:
            binds.append(utc_text(run_after) if dialect == "sqlite" else run_after)
        if now is not None:
            binds.append(utc_text(now) if dialect == "sqlite" else now)
        binds += args_json, kwargs_json, self.options_json(task)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, binds)
                # All of it, or SQLite leaves the statement unfinished.
                ((enqueued_at, due_at, idle),) = cursor.fetchall()
        except DatabaseError as error:
            raise_if_tables_missing(error, connection)
            raise
        if dialect == "sqlite":
            enqueued_at = from_utc(enqueued_at)
            due_at = from_utc(due_at) if isinstance(run_after, timedelta) else run_after
        elif not isinstance(run_after, timedelta):
            due_at = run_after
        return enqueued_at, due_at, bool(idle)

    def options_json(self, task: AnyTask) -> str | None:
        """Returns what is persisted of a task's options, or None where all are the defaults."""
        return '{"takes_context":true}' if task.takes_context else None

    def wake(self, connection: BaseDatabaseWrapper) -> None:
        """Wakes an idle worker once the jobs of this transaction can be seen."""
        wake_after_commit(connection)

    def uses_django_clock(self) -> bool:
        """Tells whether timezone.now() counts: if asked, or in Django's test environment, where time may be frozen."""
        if self.options.get("CLOCK") == "django":
            return True
        # Looked up rather than imported: django.test has no place in a web process.
        utils = sys.modules.get("django.test.utils")
        return utils is not None and hasattr(utils._TestState, "saved_data")


@functools.cache
def insert_statement(dialect: str, now_is_bound: bool, run_after: str) -> str:
    """
    Returns the statement that inserts one job, and returns (enqueued_at, run_after, a worker is idle).

    Binds: id, backend, queue_name, task_name, priority, [run_after], [now], args, kwargs, options. `run_after` is
    "none", "date" or "delay" (seconds).
    """
    if dialect == "sqlite":
        now = "%s" if now_is_bound else "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now') || '000'"
        later = "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', %s || ' seconds') || '000'"
    else:
        now = "%s" if now_is_bound else "clock_timestamp()"
        later = "clock_timestamp() + make_interval(secs => %s)"
    value = {"none": "null", "date": "%s", "delay": later}[run_after]
    idle = "0" if dialect == "sqlite" else IDLE
    # The trigger gristmill_job_place puts it in its place.
    return (
        "insert into gristmill_job "
        "(id, backend, queue_name, task_name, priority, run_after, enqueued_at, args, kwargs, options) "
        f"values (%s, %s, %s, %s, %s, {value}, {now}, %s, %s, %s) returning enqueued_at, run_after, {idle}"
    )


def result_of(job: Any) -> AnyTaskResult:
    """Builds Django's TaskResult from a row of the `Job` model; asks for attempts only where there can be any."""
    from gristmill.models import UNCOUNTED_OUTCOMES

    attempts: list[Any] = []
    # The first attempt's success is told by the job itself; any other past needs the attempts.
    if job.token > 1 or (job.token == 1 and job.state not in ("running", "successful")):
        attempts = [
            attempt
            for attempt in job.attempts.filter(generation=job.generation)
            if attempt.outcome not in UNCOUNTED_OUTCOMES
        ]
    worker_ids = [attempt.worker_id.hex for attempt in attempts]
    if job.state == "running" or (not attempts and job.state == "successful"):
        worker_ids.append(job.worker_id.hex)
    last_attempted_at = job.claimed_at
    if last_attempted_at is None and attempts:
        last_attempted_at = attempts[-1].started_at or attempts[-1].claimed_at
    result: AnyTaskResult = TaskResult(
        task=task_of(job),
        id=job.id.hex,
        status=job.status,
        enqueued_at=job.enqueued_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        last_attempted_at=last_attempted_at,
        args=job.args,
        kwargs=job.kwargs,
        backend=job.backend,
        errors=[error_of(attempt) for attempt in attempts if attempt.outcome != "successful"],
        worker_ids=worker_ids,
    )
    object.__setattr__(result, "_return_value", job.result)
    return result


def task_of(job: Any) -> AnyTask:
    """
    Returns the task of a job as it was enqueued.

    The stored name is looked up among the registered tasks and never imported. A name that is not registered here
    gives a task that shows its name and raises UnknownTask when called, so that the result stays readable.
    """
    task = registry.get(job.backend, job.task_name)
    if task is None:
        registry.load()
        task = registry.get(job.backend, job.task_name) or placeholder(job.task_name, backend=job.backend)
    options = job.options or {}
    return cast(
        "AnyTask",
        unchecked_copy(
            task,
            priority=job.priority,
            queue_name=job.queue_name,
            backend=job.backend,
            run_after=job.run_after,
            takes_context=options.get("takes_context", task.takes_context),
        ),
    )


def error_of(attempt: Any) -> TaskError:
    """Returns Django's TaskError of an attempt that did not succeed, whatever ended it."""
    path = attempt.exception_class_path
    text = attempt.traceback
    if not path:
        error = ERROR_OF_OUTCOME.get(attempt.outcome, RuntimeError)
        path = f"{error.__module__}.{error.__qualname__}"
        text = text or f"{path}: {attempt.reason or attempt.outcome}\n"
    return TaskError(exception_class_path=path, traceback=text or "")


def raise_if_tables_missing(error: DatabaseError, connection: BaseDatabaseWrapper) -> None:
    """Raises TablesMissing when that is what the database's error means."""
    text = str(error)
    if "gristmill_" in text and ("no such table" in text or "does not exist" in text):
        raise TablesMissing(
            f"the gristmill tables are missing on database '{connection.alias}'; run manage.py migrate"
            + ("" if connection.alias == "default" else f" --database {connection.alias}")
        ) from error


__all__ = ["GristmillBackend"]
