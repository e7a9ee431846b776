"""One attempt as a runner knows it: made from the frame that asks for it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container
from dataclasses import fields
from datetime import datetime, timezone
from functools import lru_cache
from inspect import Signature, iscoroutinefunction
from json import JSONDecoder
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from uuid import UUID

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.utils import timezone as django_timezone

from gristmill.compat import Task, TaskError, TaskResult, TaskResultStatus, task_backends
from gristmill.results.result import JobResult
from gristmill.results.result import result_of as result_of_job
from gristmill.runner.frame import JOB, MAX_LENGTH
from gristmill.tasks import callback_timeout, registry
from gristmill.tasks.fitting import MAX_SHAPES, signature_of
from gristmill.values.json_rule import MAX_BYTES

if TYPE_CHECKING:
    from gristmill.runner.capture import Record
    from gristmill.runner.progress import Reporter
    from gristmill.runner.work import Work

logger = logging.getLogger("gristmill")
# json.loads() without its questions about encodings and hooks.
decode = JSONDecoder().decode

KEY = JOB.size
RUNNING = TaskResultStatus.RUNNING


class Call(NamedTuple):
    """What calling a task takes; made once for each way in which it is enqueued."""

    task: Task[..., Any]
    function: Callable[..., Any]
    sender: type
    max_bytes: int
    # Where the queue's tables are.
    database: str
    # Seconds for what is called besides the handler.
    callback_timeout: float
    is_async: bool
    # What the project has put around every run: around a call, and around an await. None where nothing is.
    around: Callable[..., Any] | None
    around_async: Callable[..., Any] | None
    # Of the function itself, not of one that it wraps; None where there is none to be known.
    signature: Signature | None
    # How it has been called: the number of positional arguments, and the names of the others.
    shapes: set[Any]

    def misfit(self, shape: Any, args: list[Any], kwargs: dict[str, Any]) -> str | None:
        """Says why stored arguments of a new shape do not fit the function; None when they do."""
        if self.signature is None:
            return None
        try:
            if self.task.takes_context:
                self.signature.bind(None, *args, **kwargs)
            else:
                self.signature.bind(*args, **kwargs)
        except TypeError as error:
            return f"{self.task.module_path}: {error}"
        if len(self.shapes) < MAX_SHAPES:
            self.shapes.add(shape)
        return None


class Attempt:
    """A job that is being run: what was asked, and what there is to say of it so far."""

    # What most jobs do not have is said once, here.
    is_known = False
    is_async = False
    # The handler's writes and the job's end are to be one commit.
    is_transactional = False
    options: dict[str, Any] | None = None
    # Seconds, and MiB.
    limits: tuple[float | None, float | None] | None = None
    reporter: Reporter | None = None
    # Something comes before its handler that may take time.
    prepares = False
    waited_for: list[JobResult[..., Any]] | None = None
    # Of a schedule's job: the schedule, and the instant that it stands for; none where it was run by hand.
    schedule_name: str | None = None
    nominal: datetime | None = None
    # Why it cannot be run: what was stored makes no sense.
    problem: Exception | None = None
    # Of an async job: what it prints, what it has under way, what is to end it, whether its handler runs, and whether
    # its end has been said.
    record: Record
    work: Work
    ending: BaseException | None = None
    calling = False
    is_said = False
    # What its handler has returned, as it will be read back.
    value: Any = None

    call: Call
    request: dict[str, Any]
    result: TaskResult[..., Any]

    def __init__(self, payload: bytes) -> None:
        self.key = key = payload[:KEY]
        self.job, self.token = JOB.unpack(key)
        self.request = {}
        try:
            self.request = request = decode(payload[KEY:].decode())
            call = call_of(request["backend"], request["task"], request["queue_name"], request["priority"])
            if call is not None:
                self.call = call
                self.is_known = True
                self.result = result_of(request, call.task)
                options = request["options"]
                if options:
                    self._read(options)
                # A transaction is no place to wait in.
                if call.is_async:
                    self.is_async = not self.is_transactional
        except Exception as error:
            self.problem = error

    def _read(self, options: Any) -> None:
        if type(options) is not dict:
            raise TypeError("stored options are not a JSON object")
        self.options = options
        self.is_transactional = options.get("transactional") is True
        timeout, megabytes = positive(options, "timeout"), positive(options, "max_memory_mb")
        if timeout or megabytes:
            self.limits = (timeout, megabytes)
        if schedule := options.get("schedule"):
            self._read_schedule(schedule)

    def _read_schedule(self, schedule: dict[str, Any]) -> None:
        """Gives the handler the instant that its job stands for."""
        self.schedule_name = schedule["name"]
        if schedule.get("nominal"):
            # A date of the schedule's day, and not of the day before in Greenwich.
            found = moment(schedule["nominal"])
            self.nominal = django_timezone.localtime(found) if settings.USE_TZ else found
        if schedule.get("datetime_kwarg"):
            # The same dictionary as the request's, against which the function's signature is held.
            self.result.kwargs[schedule["datetime_kwarg"]] = self.nominal

    @property
    def deadline(self) -> datetime | None:
        """The deadline that jobs of its handler inherit; None where the worker did not tell."""
        text = self.request.get("deadline")
        return moment(text) if text else None

    @property
    def asks_for_its_past(self) -> bool:
        """Tells whether there have been attempts before: what was only claimed and given back has no past."""
        request = self.request
        return request["started_at"] is not None or request["attempt"] > 1

    def learn_its_past(self) -> None:
        """Asks the backend for the errors so far and for who worked on the job; needs the database."""
        if not self.is_known or self.problem is not None:
            return
        # Should it take too long.
        assign(self.result, "worker_ids", worker_ids_known(self.request))
        errors, worker_ids = earlier_attempts(self.request, self.call.task)
        assign(self.result, "errors", errors)
        assign(self.result, "worker_ids", worker_ids)

    def preconditions(self) -> list[JobResult[..., Any]]:
        """Returns the results of the jobs that this one waited for, asked for once; needs the database."""
        if self.waited_for is None:
            # Here, as a runner whose handlers do not ask has no use for models.
            from gristmill.models import Job

            job = Job(id=UUID(bytes=self.job))
            job._state.db = self.call.database
            self.waited_for = [result_of_job(one) for one in job.preconditions]
        return self.waited_for

    def may_be_retried(self, classes: Container[str]) -> bool:
        """Tells whether the engine will try again after an exception of these classes."""
        return any(each in classes for each in self.request["retried_classes"])

    def may_be_done_over(self) -> bool:
        """Tells whether the engine will try again after the database has undone it all."""
        return bool(self.request["retries_conflict"])


def positive(options: dict[str, Any], name: str) -> float | None:
    """Returns an option that can be a limit, or None where there is none; raises for what is no number of anything."""
    number = options.get(name)
    if number is None:
        return None
    if not isinstance(number, (int, float)) or not isfinite(number):
        raise ValueError(f"the stored option {name} is {number!r}")
    return number if number > 0 else None


@lru_cache(maxsize=4096)
def call_of(backend: str, name: str, queue_name: str, priority: int) -> Call | None:
    """Returns how to call a task that was enqueued like this; None when it is not registered here."""
    registered = registry.get(backend, name)
    if registered is None:
        return None
    task = copy(registered, backend=backend, queue_name=queue_name, priority=priority, run_after=None)
    its_backend = task_backends[backend]
    max_bytes = min(getattr(its_backend, "max_json_bytes", MAX_BYTES), MAX_LENGTH - 64)
    database = getattr(its_backend, "database", DEFAULT_DB_ALIAS)
    is_async = iscoroutinefunction(task.func)
    through = getattr(its_backend, "run_through", None)
    around = None if through is None else through(is_async=False)
    around_async = through(is_async=True) if around is not None and is_async and through is not None else None
    return Call(
        *(task, task.func, type(its_backend), max_bytes, database),
        getattr(its_backend, "callback_timeout", callback_timeout.DEFAULT),
        *(is_async, around, around_async),
        *(signature_of(task.func), set()),
    )


def result_of(request: dict[str, Any], task: Task[..., Any]) -> TaskResult[..., Any]:
    """Builds the TaskResult that signals and contexts show: running, on its newest attempt."""
    args, kwargs = request["args"], request["kwargs"]
    if type(args) is not list or type(kwargs) is not dict:
        raise TypeError("stored arguments are not a JSON array and a JSON object")
    if request["run_after"] is not None:
        task = copy(task, run_after=moment(request["run_after"]))
    now = django_timezone.now()
    return new(
        TaskResult,
        task=task,
        id=request["id"],
        status=RUNNING,
        enqueued_at=moment(request["enqueued_at"]),
        started_at=moment(request["started_at"]) if request["started_at"] else now,
        finished_at=None,
        last_attempted_at=now,
        args=args,
        kwargs=kwargs,
        backend=request["backend"],
        errors=[],
        worker_ids=[request["worker_id"]],
        _return_value=None,
    )


def earlier_attempts(request: dict[str, Any], task: Task[..., Any]) -> tuple[list[TaskError], list[str]]:
    """Asks the backend for the errors so far and for who worked on the job, this attempt included."""
    try:
        stored = task_backends[task.backend].get_result(request["id"])
    except Exception:
        logger.warning("job %s: its earlier attempts cannot be read", request["id"], exc_info=True)
        return [], worker_ids_known(request)
    worker_ids = list(stored.worker_ids)
    if stored.status != RUNNING:
        # It is not this worker's any more, which the end of the attempt will show.
        worker_ids.append(request["worker_id"])
    return list(stored.errors), worker_ids


def worker_ids_known(request: dict[str, Any]) -> list[str]:
    """Returns who worked on the job as far as its worker knows: what crashed before a later end is missing."""
    return [request["worker_id"]] * request["attempt"]


def moment(text: str) -> datetime:
    """Reads a moment of the database's clock as Django shows it: aware under USE_TZ, else in TIME_ZONE."""
    read = datetime.fromisoformat(text).replace(tzinfo=timezone.utc)
    if settings.USE_TZ:
        return read
    return django_timezone.make_naive(read, django_timezone.get_default_timezone())


Made = TypeVar("Made")
assign = object.__setattr__


def new(kind: type[Made], **values: Any) -> Made:
    """
    Builds a frozen dataclass of Django's from all of its fields, without its `__init__`.

    Only for values that need no checking: moments and lists made here, and arguments that come from JSON.
    """
    made = object.__new__(kind)
    for name, value in values.items():
        assign(made, name, value)
    return made


def copy(task: Task[..., Any], **changes: Any) -> Task[..., Any]:
    """Returns a copy of a task that is neither validated nor registered: the job was valid when it was enqueued."""
    values = {field.name: getattr(task, field.name) for field in fields(task)}
    return new(type(task), **{**values, **changes})
