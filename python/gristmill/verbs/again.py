"""
A job enqueued again with other arguments: a new one by the ordinary way, each of the two written down beside the other.

What an enqueue goes by is asked anew: whether the arguments fit the task, whether its queue is still known, its unique
key, middleware. The options are those that the job was enqueued with, so that it is run as it would have been.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from gristmill.database.statements import carry_out
from gristmill.database.transactions import read_committed
from gristmill.tasks import registry
from gristmill.tasks.backoff import KINDS
from gristmill.tasks.options import NOT_GIVEN, OPTIONS
from gristmill.tasks.preconditions import unknown_job
from gristmill.tasks.remote import remote
from gristmill.tasks.task import Task
from gristmill.verbs.batched import now_bind

if TYPE_CHECKING:
    from gristmill.models import JobRow
    from gristmill.results.result import JobResult

#: What is of one enqueue and not of another: what it waits for, and what its task says about its code.
LEFT_OUT = frozenset({"after_mode", "on_precondition_failure", "transactional"})


def enqueued_again(
    job_id: UUID, database: str, args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None, actor: str
) -> JobResult[..., Any]:
    """See `gristmill.operations.enqueue_again`."""
    from gristmill.models import JobRow
    from gristmill.models.fields import read_json

    with read_committed(database) as connection:
        row = JobRow.objects.using(database).filter(pk=job_id).first()
        if row is None:
            raise unknown_job([job_id.hex], database)
        args = read_json(row.args) if args is None else args
        kwargs = read_json(row.kwargs) if kwargs is None else kwargs
        if not isinstance(args, (list, tuple)) or not isinstance(kwargs, Mapping):
            raise ValueError("args must be a list and kwargs an object, and its own cannot be read")
        options = {} if row.options is None else read_json(row.options)
        if not isinstance(options, dict):
            raise ValueError("the options that it was enqueued with cannot be read")
        result: JobResult[..., Any] = task_of(row, options).enqueue(*args, **kwargs)
        if not result.existing:
            carry_out(connection, "enqueue_again", [job_id.hex, result.id, actor, now_bind(database)])
    return result


def task_of(row: JobRow, options: Mapping[str, Any]) -> Task[..., Any]:
    """Returns a job's task with the options of the job; one of its name alone where no code of it is here."""
    registry.load()
    known = registry.get(row.backend, row.task_name)
    if not isinstance(known, Task):
        return remote(
            row.task_name,
            backend=row.backend,
            queue_name=row.queue_name,
            priority=row.priority,
            **given(options),
        )
    return known.using(backend=row.backend, queue_name=row.queue_name, priority=row.priority, **given(options))


def given(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Returns options as they are given, of those that were stored with a job; what was not said is what is usual."""
    found: dict[str, Any] = {}
    for name, about in OPTIONS.items():
        if about.given_to != "any" or about.usual is NOT_GIVEN or name in LEFT_OUT:
            continue
        value = stored.get(about.stored_as or name, about.usual)
        if name == "backoff" and isinstance(value, dict):
            value = shape_of(value)
        elif name == "expires" and isinstance(value, str):
            # A date by which that one was to start.
            value = NOT_GIVEN
        elif name == "redact" and not value:
            value = NOT_GIVEN
        found[name] = value
    return found


def shape_of(stored: Mapping[str, Any]) -> Any:
    """Returns a stored backoff; of a function, which is the task's own, that none is given."""
    numbers = {name: value for name, value in stored.items() if name != "kind"}
    made = next((shape for shape, kind in KINDS.items() if kind == stored.get("kind")), None)
    return NOT_GIVEN if made is None else made(**numbers)
