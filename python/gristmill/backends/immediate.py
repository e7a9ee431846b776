"""
Runs each task where it is enqueued, for development and tests.

Every option of Gristmill's tasks is accepted, and arguments are checked as they are on the way into the database. One
attempt is made: there are no retries, no time limits, and every job is new. `transactional` tasks run inside
`atomic()`. A task that postpones itself stays READY, as nobody is there to run it later.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Sequence
from traceback import format_exception
from typing import Any

from django.db import transaction
from django.utils import timezone

from gristmill.backends.common import BackendOfTests
from gristmill.bulk import Call, Enqueued
from gristmill.compat import (
    AnyTask,
    TaskContext,
    TaskError,
    TaskResultStatus,
    immediate,
    task_enqueued,
    task_finished,
    task_started,
)
from gristmill.compat import Task as DjangoTask
from gristmill.json_rule import encode
from gristmill.postpone import Postpone
from gristmill.results import JobResult, P, R


class ImmediateBackend(BackendOfTests, immediate.ImmediateBackend):
    """Django's immediate backend, for tasks with Gristmill's options."""

    def enqueue(self, task: DjangoTask[P, R], args: Any, kwargs: Any) -> JobResult[P, R]:
        """Runs the task and returns its result; an exception of the task's is kept in there."""
        self.validate_task(task)
        result = self.new_result(task, args, kwargs)
        object.__setattr__(result, "enqueued_at", timezone.now())
        task_enqueued.send(type(self), task_result=result)
        self._run(result)
        return result

    def enqueue_many(self, task: AnyTask, calls: Iterable[Call | Sequence[Any]]) -> Enqueued:
        """Runs each call in turn."""
        return self.one_by_one(task, calls)

    def _run(self, result: JobResult[..., Any]) -> None:
        task, now = result.task, timezone.now()
        _set(result, status=TaskResultStatus.RUNNING, started_at=now, last_attempted_at=now)
        result.worker_ids.append(self.worker_id)
        task_started.send(sender=type(self), task_result=result)
        context = [TaskContext(task_result=result)] if task.takes_context else []
        try:
            with _transaction_of(task):
                value = None
                with contextlib.suppress(Postpone):
                    # What a handler has written before it postponed itself is kept.
                    value = task.call(*context, *result.args, **result.kwargs)
                    if not isinstance(value, Postpone):
                        value = json.loads(encode(value, where="result"))
                        _set(result, status=TaskResultStatus.SUCCESSFUL)
        except KeyboardInterrupt:
            # If the user tried to terminate, let them.
            raise
        except BaseException as error:
            path = f"{type(error).__module__}.{type(error).__qualname__}"
            result.errors.append(TaskError(exception_class_path=path, traceback="".join(format_exception(error))))
            _set(result, finished_at=timezone.now(), status=TaskResultStatus.FAILED)
            task_finished.send(type(self), task_result=result)
            return
        if result.status == TaskResultStatus.RUNNING:
            result.worker_ids.pop()
            _set(result, status=TaskResultStatus.READY)
            return
        _set(result, finished_at=timezone.now(), _return_value=value)
        task_finished.send(type(self), task_result=result)


def _transaction_of(task: AnyTask) -> Any:
    transactional = getattr(getattr(task, "options", None), "transactional", None)
    if transactional is True:
        return transaction.atomic()
    return transaction.atomic(using=transactional) if isinstance(transactional, str) else contextlib.nullcontext()


def _set(result: JobResult[..., Any], **values: Any) -> None:
    for name, value in values.items():
        object.__setattr__(result, name, value)


__all__ = ["ImmediateBackend"]
