"""Results: what Django calls a TaskResult, read from the `Job` model."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast
from uuid import UUID

from gristmill.compat import AnyTask, ResultBase, TaskError, TaskResultStatus, task_backends
from gristmill.exceptions import Interrupted, RunnerCrashed, WorkerLost
from gristmill.results.waiting import wait_until_ended, wait_until_ended_async
from gristmill.tasks import registry
from gristmill.tasks.remote import placeholder
from gristmill.tasks.task import unchecked_copy

if TYPE_CHECKING:
    from typing_extensions import Self

    from gristmill.results.waiting import Timeout

P = ParamSpec("P")
R = TypeVar("R")

# Exceptions recorded for attempts that ended without one of their own.
ERROR_OF_OUTCOME = {"crashed": RunnerCrashed, "lost": WorkerLost, "interrupted": Interrupted}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult(ResultBase[P, R]):  # type: ignore[misc]
    """
    Django's TaskResult, which knows whether its enqueue met a job that was there already.

    existing: True where a unique task's enqueue made no job, and this is the one that has its key.
    """

    existing: bool = field(default=False, compare=False)

    def wait(self, timeout: Timeout = None) -> Self:
        """
        Waits until the job has ended, one way or another, and returns this result as it is then.

        `timeout` is in seconds or a timedelta: TimeoutError is raised after it. Without one it waits for as long as
        it takes, which is for ever where no worker serves the job, or what it waits for fails. Raises
        WaitInTransaction where a transaction is open on the queue's database, unless the job has ended.
        """
        where = self._waits_on()
        if where is not None:
            wait_until_ended(*where, timeout)
            self.refresh()
        return self

    async def await_(self, timeout: Timeout = None) -> Self:
        """See `wait`."""
        where = self._waits_on()
        if where is not None:
            await wait_until_ended_async(*where, timeout)
            await self.arefresh()
        return self

    def _waits_on(self) -> tuple[str, UUID] | None:
        """Returns the database and id of a job that may not have ended, as far as this result knows."""
        if self.is_finished:
            return None
        database = getattr(task_backends[self.backend], "database", None)
        if database is None:
            raise NotImplementedError(f"backend '{self.backend}' of TASKS keeps no jobs that could be waited for")
        return database, UUID(self.id)

    if not TYPE_CHECKING:

        def __class_getitem__(cls, parameters: Any) -> Any:
            """Gives annotations like `JobResult[[int], str]` a meaning at run time, on every Django."""
            return cls


def new_result(**values: Any) -> JobResult[..., Any]:
    """Builds a result from all of its fields without checking them: they come from JSON, or went there."""
    made = object.__new__(JobResult)
    assign = object.__setattr__
    for name, value in values.items():
        assign(made, name, value)
    return made


def fresh_result(
    task: AnyTask,
    backend: str,
    job_id: str,
    enqueued_at: datetime | None,
    args: list[Any],
    kwargs: dict[str, Any],
    *,
    existing: bool = False,
) -> JobResult[..., Any]:
    """Builds the result of a job that has just been enqueued."""
    return new_result(
        task=task,
        id=job_id,
        status=TaskResultStatus.READY,
        enqueued_at=enqueued_at,
        started_at=None,
        finished_at=None,
        last_attempted_at=None,
        args=args,
        kwargs=kwargs,
        backend=backend,
        errors=[],
        worker_ids=[],
        existing=existing,
        _return_value=None,
    )


def result_of(job: Any, *, existing: bool = False) -> JobResult[..., Any]:
    """Builds a result from a row of the `Job` model; asks for attempts only where there can be any."""
    from gristmill.models import UNCOUNTED_OUTCOMES, UNDONE_OUTCOMES

    attempts: list[Any] = []
    # The first attempt's success is told by the job itself; any other past needs the attempts.
    if job.token > 1 or (job.token == 1 and job.state not in ("running", "successful")):
        attempts = [
            attempt
            for attempt in job.attempts.filter(generation=job.generation)
            if attempt.outcome not in UNCOUNTED_OUTCOMES
            and (attempt.token == job.token or attempt.outcome not in UNDONE_OUTCOMES)
        ]
    worker_ids = [attempt.worker_id.hex for attempt in attempts]
    # Whoever deletes attempts by hand leaves results without one.
    if job.worker_id is not None and (job.state == "running" or (not attempts and job.state == "successful")):
        worker_ids.append(job.worker_id.hex)
    last_attempted_at = job.claimed_at
    if last_attempted_at is None and attempts:
        last_attempted_at = attempts[-1].started_at or attempts[-1].claimed_at
    return new_result(
        task=task_of(job),
        id=job.id.hex,
        status=job.status,
        enqueued_at=job.enqueued_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        last_attempted_at=last_attempted_at,
        # Django's types hold, also where someone has stored what is no JSON.
        args=job.args if isinstance(job.args, list) else [job.args],
        kwargs=job.kwargs if isinstance(job.kwargs, dict) else {},
        backend=job.backend,
        errors=[error_of(attempt) for attempt in attempts if attempt.outcome != "successful"],
        worker_ids=worker_ids,
        existing=existing,
        _return_value=job.result,
    )


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
    options = job.options if isinstance(job.options, dict) else {}
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


class JobError(TaskError):
    """Django's TaskError, which also finds an exception that is defined within a class."""

    __slots__ = ()

    @property
    def exception_class(self) -> type[BaseException]:
        """The class; where there is none of that path, Django's own property says so."""
        module, name = self.exception_class_path.rpartition(".")[0], self.exception_class_path
        while module:
            with suppress(ImportError):
                found: Any = import_module(module)
                for part in name[len(module) + 1 :].split("."):
                    found = getattr(found, part, None)
                if isinstance(found, type) and issubclass(found, BaseException):
                    return found
            module = module.rpartition(".")[0]
        return super().exception_class

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TaskError):
            return NotImplemented
        return (self.exception_class_path, self.traceback) == (other.exception_class_path, other.traceback)

    def __hash__(self) -> int:
        return hash((self.exception_class_path, self.traceback))


def error_of(attempt: Any) -> TaskError:
    """Returns Django's TaskError of an attempt that did not succeed, whatever ended it."""
    path = attempt.exception_class_path
    text = attempt.traceback
    if not path:
        error = ERROR_OF_OUTCOME.get(attempt.outcome, RuntimeError)
        path = f"{error.__module__}.{error.__qualname__}"
        text = text or f"{path}: {attempt.reason or attempt.outcome}\n"
    return JobError(exception_class_path=path, traceback=text or "")


__all__ = ["JobResult", "fresh_result", "new_result", "result_of"]
