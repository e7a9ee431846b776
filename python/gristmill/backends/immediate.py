"""
Runs each task where it is enqueued, for development and tests.

Every option of Gristmill's tasks is accepted, and arguments are checked as they are on the way into the database. One
attempt is made: there are no retries, no time limits, and every job is new. `transactional` tasks run inside
`atomic()`. A task that postpones itself stays READY, as nobody is there to run it later.

What a task waits for (`after`) has been run already, so it runs at once if enough of that has succeeded, as
`after_mode` and `on_precondition_failure` say. Where it has not, the job stays READY, as a stranded one is, or is
FAILED without having run. A precondition of which only the id is given counts as successful. With `hold` a job stays
READY. A handler sees the results of its preconditions, where they are among the last thousand.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from traceback import format_exception
from typing import Any, Literal

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.utils import timezone

from gristmill.backends.common import BackendOfTests
from gristmill.compat import (
    AnyTask,
    TaskError,
    TaskResultStatus,
    immediate,
    task_enqueued,
    task_finished,
    task_started,
)
from gristmill.compat import Task as DjangoTask
from gristmill.results.result import JobResult, P, R
from gristmill.runner.progress import Context, checked, number
from gristmill.runner.transactional import take_hooks
from gristmill.tasks.options import NOTHING, TaskOptions
from gristmill.tasks.postpone import Postpone
from gristmill.values.json_rule import encode

logger = logging.getLogger("gristmill")

#: Results that are kept for the jobs that wait for them.
KEPT_RESULTS = 1_000


class ImmediateBackend(BackendOfTests, immediate.ImmediateBackend):
    """Django's immediate backend, for tasks with Gristmill's options."""

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        self.newest: OrderedDict[str, JobResult[..., Any]] = OrderedDict()

    def enqueue(self, task: DjangoTask[P, R], args: Any, kwargs: Any) -> JobResult[P, R]:
        """Runs the task and returns its result; an exception of the task's is kept in there."""
        self.validate_task(task)
        result = self.new_result(task, args, kwargs)
        object.__setattr__(result, "enqueued_at", timezone.now())
        task_enqueued.send(type(self), task_result=result)
        self.newest[result.id] = result
        if len(self.newest) > KEPT_RESULTS:
            self.newest.popitem(last=False)
        verdict = verdict_of(getattr(task, "options", NOTHING))
        if verdict == "run":
            self._run(result)
        elif verdict == "fail":
            _set(result, finished_at=timezone.now(), status=TaskResultStatus.FAILED)
        return result

    def _run(self, result: JobResult[..., Any]) -> None:
        task, now = result.task, timezone.now()
        _set(result, status=TaskResultStatus.RUNNING, started_at=now, last_attempted_at=now)
        result.worker_ids.append(self.worker_id)
        task_started.send(sender=type(self), task_result=result)
        context = [ImmediateContext(result, self._waited_for(result))] if task.takes_context else []
        hooks: list[Callable[[], Any]] = []
        try:
            with _transaction_of(task, hooks):
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
        postponed = result.status == TaskResultStatus.RUNNING
        if postponed:
            result.worker_ids.pop()
            _set(result, status=TaskResultStatus.READY)
        else:
            _set(result, finished_at=timezone.now(), _return_value=value)
        for hook in hooks:
            try:
                hook()
            except Exception:
                # What it follows is committed.
                logger.exception("an on_commit callback of job %s failed", result.id)
        if not postponed:
            task_finished.send(type(self), task_result=result)

    def _waited_for(self, result: JobResult[..., Any]) -> list[JobResult[..., Any]]:
        after = getattr(result.task, "options", NOTHING).after
        ids = sorted(one.id for one in after) if isinstance(after, tuple) else []
        return [self.newest[job_id] for job_id in ids if job_id in self.newest]


class ImmediateContext(Context):
    """What a handler gets here. Its progress and its metadata are checked, and read by nobody."""

    __slots__ = ("_metadata", "_preconditions")
    _metadata: dict[str, Any]
    _preconditions: list[JobResult[..., Any]]

    def __init__(self, result: JobResult[..., Any], preconditions: list[JobResult[..., Any]]) -> None:
        for name, value in (("task_result", result), ("_metadata", {}), ("_preconditions", preconditions)):
            object.__setattr__(self, name, value)

    def progress(self, done: float | None, total: float | None = None, message: str | None = None) -> None:
        """Checks what is said."""
        for value, name in ((done, "done"), (total, "total")):
            number(value, name)
        checked("" if message is None else str(message), "message")
        checked(self._metadata, "metadata")

    @property
    def metadata(self) -> dict[str, Any]:
        """A dict of the job's own."""
        return self._metadata

    @property
    def preconditions(self) -> list[JobResult[..., Any]]:
        """The results of the jobs that this one waited for, in the order in which they were enqueued."""
        return self._preconditions


def verdict_of(options: TaskOptions) -> Literal["run", "stay", "fail"]:
    """Returns what becomes of a job right after its enqueue: the rule of the engine's gates, asked once."""
    if options.hold is True:
        return "stay"
    after = options.after if isinstance(options.after, tuple) else ()
    ended = Counter(one.status or "SUCCESSFUL" for one in after)
    successful, failed, on_precondition_failure = ended["SUCCESSFUL"], ended["FAILED"], options.on_precondition_failure
    needed = options.after_mode if isinstance(options.after_mode, int) else len(after)
    needed = min(needed, len(after))
    if successful + (failed if on_precondition_failure == "proceed" else 0) >= needed:
        return "run"
    return "fail" if on_precondition_failure == "fail" and len(after) - failed < needed else "stay"


@contextlib.contextmanager
def _transaction_of(task: AnyTask, hooks: list[Callable[[], Any]]) -> Iterator[None]:
    """The transaction that a task is to run in, if it is; gives the hooks of its commit, kept back from Django."""
    transactional = getattr(getattr(task, "options", None), "transactional", None)
    if transactional is not True and not isinstance(transactional, str):
        yield
        return
    connection = connections[DEFAULT_DB_ALIAS if transactional is True else transactional]
    is_outermost = not connection.in_atomic_block
    with transaction.atomic(using=connection.alias):
        yield
        if is_outermost:
            hooks += take_hooks(connection)


def _set(result: JobResult[..., Any], **values: Any) -> None:
    for name, value in values.items():
        object.__setattr__(result, name, value)


__all__ = ["ImmediateBackend"]
