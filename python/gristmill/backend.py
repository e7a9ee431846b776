"""
The tasks backend: enqueues jobs in the caller's own transaction and reads their results.

A plain job costs one query. A worker that said it is idle is woken after the commit, never inside it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from gristmill import middleware
from gristmill.checks import check_backend
from gristmill.compat import (
    AnyTask,
    TaskResultDoesNotExist,
    task_backends,
    task_enqueued,
)
from gristmill.compat import (
    Task as DjangoTask,
)
from gristmill.database.missing_tables import raise_if_tables_missing
from gristmill.database.transactions import read_committed
from gristmill.database.wake import wake_after_commit, wake_now
from gristmill.enqueue.bulk import Call, Enqueued, enqueue_many, one_by_one
from gristmill.enqueue.enqueue_graph import enqueue_graph
from gristmill.enqueue.graphs import GraphResults, Node, graph_one_by_one
from gristmill.enqueue.new_job import Gate, NewJob
from gristmill.enqueue.preparation import prepared_for, with_key
from gristmill.enqueue.verbs import ROWS_PER_STATEMENT, chunks, enqueue_one, enqueue_unique
from gristmill.exceptions import OutsideTransaction
from gristmill.results.reading import read_job
from gristmill.results.result import JobResult, fresh_result, result_of
from gristmill.tasks.aliases import OwnBackend
from gristmill.tasks.callback_timeout import callback_timeout
from gristmill.tasks.options import checked_run_after
from gristmill.tasks.preconditions import ids_on
from gristmill.tasks.task import Task, unchecked_copy
from gristmill.values.ids import new_id, parse_id
from gristmill.values.json_rule import MAX_BYTES

if TYPE_CHECKING:
    from typing_extensions import ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")


class GristmillBackend(OwnBackend):
    """
    Keeps jobs in the project's own database.

    OPTIONS: DATABASE (an alias of DATABASES; else the router decides), CLOCK ("database" or "django"),
    MAX_JSON_BYTES (per arguments and result; 256 KiB), OUTSIDE_TRANSACTION ("refuse" or "allow"), DEFAULTS (of task
    options), EMAIL (of queued messages), QUEUES (settings of single queues), RETENTION (of results), REDACT (words in
    keys that hide arguments), NOTIFY (who is told of failures), CALLBACK_TIMEOUT (of receivers, hooks and backoff
    functions; 30 s), WORKER (defaults of `manage.py gristmill worker`).
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
        self.callback_timeout = callback_timeout(self.options)
        self.has_enqueue_middleware = bool(self.options.get(middleware.ENQUEUE))
        self._run_through: dict[bool, Any] = {}

    @property
    def database(self) -> str:
        """The alias of the database that has the queue's tables."""
        named: str | None = self.options.get("DATABASE")
        if named:
            if named not in connections.settings:
                raise ImproperlyConfigured(
                    f"TASKS['{self.alias}']['OPTIONS']['DATABASE'] names '{named}', which is not in DATABASES; there "
                    f"is {', '.join(map(repr, connections.settings))}"
                )
            return named
        from gristmill.models import Job

        return router.db_for_write(Job)

    def validate_task(self, task: AnyTask) -> None:
        """Checks a task as Django does; `run_after` may also be a timedelta, and lies within the ends of time."""
        checked_run_after(task.module_path, task.run_after)
        if isinstance(task.run_after, timedelta):
            task = unchecked_copy(task, run_after=None)
        super().validate_task(task)

    def enqueue(self, task: DjangoTask[P, R], args: list[Any], kwargs: dict[str, Any]) -> JobResult[P, R]:
        """
        Adds a job for `task` to the queue, in the transaction that is open on the queue's database.

        Raises TypeError for arguments that the task's function does not take; TypeError or ValueError for such as are
        not JSON, naming their path; UnknownJob for something to wait for that is not there; OutsideTransaction when a
        transaction is open on another database only; TablesMissing before the first `migrate`.
        """
        if self.has_enqueue_middleware:
            return cast("JobResult[P, R]", self._enqueue_through(task, args, kwargs))
        return self._enqueue(task, args, kwargs)

    @cached_property
    def _enqueue_through(self) -> Any:
        """What an enqueue goes through; made once, when the first job is enqueued and apps are ready."""
        return middleware.around(self.alias, self.options, middleware.ENQUEUE, self._enqueue)

    def run_through(self, *, is_async: bool) -> Any:
        """Returns what the run of a handler goes through, made once a process; None where nothing is."""
        if is_async not in self._run_through:
            innermost = middleware.handled_async if is_async else middleware.handled
            self._run_through[is_async] = middleware.around(self.alias, self.options, middleware.RUN, innermost)
        return self._run_through[is_async]

    def _enqueue(self, task: DjangoTask[P, R], args: list[Any], kwargs: dict[str, Any]) -> JobResult[P, R]:
        self.validate_task(task)
        prepared = prepared_for(self, task)
        prepared.fit.refuse_misfit(args, kwargs)
        args_json, kwargs_json = prepared.fit.encoded(args, kwargs, max_bytes=self.max_json_bytes)
        connection = connections[self.database]
        if not connection.in_atomic_block:
            self.refuse_other_transactions(connection)

        job_id = new_id()
        job = NewJob(
            id=job_id.hex,
            backend=self.alias,
            queue_name=task.queue_name,
            task_name=prepared.task_name,
            priority=int(task.priority),
            run_after=task.run_after,
            deadline=prepared.deadline_or_inherited(),
            args_json=args_json,
            kwargs_json=kwargs_json,
            options_json=prepared.options_json,
            retention=prepared.retention,
            held=prepared.held,
        )
        now = timezone.now() if self.uses_django_clock() else None
        gate, after = None, None
        if prepared.after:
            gate = Gate(prepared.needed, prepared.on_precondition_failure)
            after = ids_on(connection.alias, prepared.after)
        if prepared.key_maker is None:
            inserted = enqueue_one(connection, job, now, gate, after)
            assert inserted is not None, "a job without a key was not inserted"
            if connection.in_atomic_block:
                wake_after_commit(connection)
            elif inserted.idle and connection.get_autocommit():
                wake_now(connection)
        else:
            with read_committed(connection.alias):
                job = with_key(job, prepared, prepared.key_maker.key(args, kwargs))
                answer = enqueue_unique(connection, job, prepared.rule, now, gate, after)
                if isinstance(answer, str):
                    return cast("JobResult[P, R]", self.existing_results([answer])[answer])
                inserted = answer
                wake_after_commit(connection)
        enqueued_at, run_after, _ = inserted

        if run_after != task.run_after:
            task = unchecked_copy(task, run_after=run_after)
        # Arguments as they will be read back: text keys, lists, and nothing that the caller may change later.
        stored = json.loads(args_json), json.loads(kwargs_json)
        result = fresh_result(task, self.alias, job_id.hex, enqueued_at, *stored)
        task_enqueued.send(type(self), task_result=result)
        return cast("JobResult[P, R]", result)

    def existing_results(self, job_ids: Iterable[str]) -> dict[str, JobResult[..., Any]]:
        """Returns the results of jobs that an enqueue met, by their ids."""
        from gristmill.models import Job

        found = {}
        for some in chunks(job_ids, ROWS_PER_STATEMENT):
            for job in Job.objects.using(self.database).filter(pk__in=some):
                found[job.id.hex] = result_of(job, existing=True)
        return found

    def enqueue_many(self, task: AnyTask, calls: Iterable[Call | Sequence[Any]]) -> Enqueued:
        """
        Adds a job for each of `calls`, all or none; see `gristmill.enqueue.bulk.enqueue_many`.

        With middleware around an enqueue each of them goes through it, so each costs what one enqueue does.
        """
        if self.has_enqueue_middleware:
            with read_committed(self.database):
                return one_by_one(self, task, calls)
        return enqueue_many(self, task, calls)

    def enqueue_graph(self, nodes: Sequence[Node], order: Sequence[int]) -> GraphResults:
        """
        Adds the jobs of a graph, all or none; see `gristmill.enqueue.graphs.Graph.enqueue`.

        With middleware around an enqueue each of them goes through it, after those that it waits for.
        """
        if any(getattr(task_backends[node.task.backend], "has_enqueue_middleware", False) for node in nodes):
            with read_committed(self.database):
                return graph_one_by_one(nodes, order)
        return enqueue_graph(self, nodes, order)

    def get_result(self, result_id: str) -> JobResult[..., Any]:
        """Returns the result of a job by its id; raises TaskResultDoesNotExist for an unknown or malformed one."""
        job_id = parse_id(result_id)
        if job_id is None:
            raise TaskResultDoesNotExist(result_id)
        connection = connections[self.database]
        try:
            job = read_job(connection, job_id)
        except DatabaseError as error:
            raise_if_tables_missing(error, connection)
            raise
        if job is None:
            raise TaskResultDoesNotExist(result_id)
        return result_of(job)

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        """System checks of this alias: settings, database engine, and whether the app is installed."""
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


__all__ = ["GristmillBackend"]
