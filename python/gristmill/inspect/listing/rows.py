"""What a line of a list shows of a job; one that cannot be read, or is half there, is a line all the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connections
from django.db.models import Case, TextField, Value, When
from django.db.models.functions import Length

from gristmill.inspect.arguments import HIDDEN, arguments_of
from gristmill.inspect.listing.cursors import Key
from gristmill.inspect.listing.walking import Found
from gristmill.inspect.questions import Question, ask, id_bind, id_of
from gristmill.inspect.survey import last_line_in
from gristmill.inspect.tables import printable
from gristmill.models import Job, JobRow, ResultRow, Worker

#: Longer arguments are not read for a list; a page of them would be megabytes.
MOST_CHARACTERS = 4_096
#: What a line says where a job has no place, or no row of its own.
NOWHERE = "nowhere"
# Of the attempt of a job and its token: a probe of the index for each, whatever statistics say.
_OF_THE_ATTEMPT = (
    "(select attempt.{0} from gristmill_attempt attempt where attempt.job_id = column1 and attempt.token = column2 "
    "and attempt.outcome <> 'successful') as {0}"
)
LAST = ", ".join(_OF_THE_ATTEMPT.format(name) for name in ("traceback", "reason"))


@dataclass(frozen=True)
class Row:
    """
    A job in a list.

    `arguments` is one line, with secrets hidden. `state` is "nowhere" where the tables contradict each other, which is
    for the doctor.
    """

    id: str
    backend: str
    queue_name: str
    task_name: str
    state: str
    reason: str | None
    arguments: str
    enqueued_at: datetime | None
    due_at: datetime | None
    claimed_at: datetime | None
    finished_at: datetime | None
    # How often it was claimed, ever.
    token: int | None
    # The label of the worker that has it, or had it last; digits of its id where that one was forgotten.
    worker: str | None
    # The last line of what its last attempt failed with.
    error: str

    def at(self, what: str) -> datetime | None:
        """Returns the moment at which it was "enqueued", "started" or "ended", or is "due"."""
        of = {"due": self.due_at, "started": self.claimed_at, "ended": self.finished_at}
        return of.get(what, self.enqueued_at)

    def as_json(self) -> dict[str, Any]:
        """Returns it in JSON's types; moments are ISO 8601."""
        return {name: each.isoformat() if isinstance(each, datetime) else each for name, each in vars(self).items()}


def rows_of(using: str, found: Sequence[Found]) -> list[Row]:
    """Returns the lines of these jobs, in this order, in four statements however many there are."""
    ids = [each.key.id for each in found]
    if not ids:
        return []
    light = Job.objects.using(using).filter(pk__in=ids).defer("args", "kwargs", "options", "result")
    jobs: dict[UUID, Job] = {job.id: job for job in light}
    asked = arguments_by_id(using, ids)
    errors = errors_by_id(using, list(jobs.values()))
    labels = labels_by_id(using, {job.worker_id for job in jobs.values() if job.worker_id is not None})
    return [row_of(each, jobs.get(each.key.id), asked, errors, labels) for each in found]


def rows_by_id(using: str, ids: Sequence[UUID]) -> list[Row]:
    """Returns the lines of jobs that have ended, those of them that are still there."""
    ended = ResultRow.objects.using(using).filter(pk__in=ids)
    names = ended.values_list("id", "backend", "queue_name", "task_name")
    return rows_of(using, [Found(Key(None, job_id), *of_job) for job_id, *of_job in names])


def row_of(
    found: Found,
    job: Job | None,
    asked: dict[UUID, tuple[Any, ...]],
    errors: dict[UUID, str],
    labels: dict[UUID, str],
) -> Row:
    """Returns the line of one job; where it has moved since it was found, as it is now."""
    job_id = found.key.id
    known = job_id in asked
    return Row(
        id=job_id.hex,
        backend=found.backend,
        queue_name=found.queue_name,
        task_name=found.task_name,
        state=NOWHERE if job is None else job.state,
        reason=None if job is None else job.reason,
        arguments=in_a_line(found.backend, found.task_name, *asked[job_id][:4]) if known else "",
        enqueued_at=asked[job_id][4] if known else None,
        due_at=None if job is None else job.due_at,
        claimed_at=None if job is None else job.claimed_at,
        finished_at=None if job is None else job.finished_at,
        token=None if job is None else job.token,
        worker=None if job is None or job.worker_id is None else labels.get(job.worker_id, job.worker_id.hex[:12]),
        error=errors.get(job_id, ""),
    )


def arguments_by_id(using: str, ids: Sequence[UUID]) -> dict[UUID, tuple[Any, ...]]:
    """Returns arguments and options as text, None where they are long, their length, and when jobs were enqueued."""
    rows = JobRow.objects.using(using).filter(pk__in=ids).annotate(length=Length("args") + Length("kwargs"))

    def unless_long(name: str) -> Case:
        return Case(When(length__lte=MOST_CHARACTERS, then=name), default=Value(None), output_field=TextField())

    short = rows.annotate(short_args=unless_long("args"), short_kwargs=unless_long("kwargs"))
    found = short.values_list("id", "short_args", "short_kwargs", "options", "length", "enqueued_at")
    return {job_id: tuple(rest) for job_id, *rest in found}


def errors_by_id(using: str, jobs: Sequence[Job]) -> dict[UUID, str]:
    """Returns what the last attempts of jobs failed with, as far as they did and are there."""
    # A job that runs is at its next attempt.
    last = [(job.id, job.token) for job in jobs if job.token and job.state not in ("running", "successful")]
    if not last:
        return {}
    connection = connections[using]
    wanted = ", ".join(["(%s, %s)"] * len(last))
    binds = [bind for job_id, token in last for bind in (id_bind(connection, job_id), token)]
    asked = Question("column1, traceback, reason", f"select column1, {LAST} from (values {wanted}) as wanted", binds)
    said = ask(connection, errors=asked)["errors"]
    lines = {id_of(job_id): last_line_in(traceback, reason) for job_id, traceback, reason in said}
    return {job_id: line for job_id, line in lines.items() if line}


def labels_by_id(using: str, ids: set[UUID]) -> dict[UUID, str]:
    """Returns the labels of workers."""
    workers = Worker.objects.using(using).filter(pk__in=ids) if ids else Worker.objects.none()
    return dict(workers.values_list("id", "label"))


def in_a_line(backend: str, task_name: str, args: str | None, kwargs: str | None, options: Any, length: int) -> str:
    """Returns a call's arguments in one line, secrets hidden; what is long is told by its length."""
    if args is None or kwargs is None:
        return f"{length:,} characters"
    shown = arguments_of(backend, task_name, args, kwargs, options)
    if shown is None:
        return "not JSON"
    parts = [said(value) for value in shown.args] + [f"{name}={said(value)}" for name, value in shown.kwargs.items()]
    return printable(", ".join(parts), MOST_CHARACTERS)


def said(value: Any) -> str:
    """Returns a value as JSON; what is hidden without quotes."""
    return HIDDEN if value == HIDDEN else json.dumps(value, ensure_ascii=False)
