"""Reads all that is to be seen of one job: bounded, in a number of statements that does not depend on the job."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connections

from gristmill.compat import TaskResultDoesNotExist
from gristmill.inspect.arguments import HIDDEN, arguments_of, is_all_secret, words_of
from gristmill.inspect.details.neighbours import Neighbours, neighbour_ids, neighbours_of
from gristmill.inspect.details.timeline import Act, Event, Run, asked_for, timeline
from gristmill.inspect.explaining.answer import Explanation, Reason
from gristmill.inspect.explaining.facts import facts_of
from gristmill.inspect.explaining.look import Look, jobs_by_id
from gristmill.inspect.explaining.reasons import explained
from gristmill.inspect.listing.rows import NOWHERE
from gristmill.inspect.redacting import Shown, hidden_in
from gristmill.models import Attempt, Job, JobRow
from gristmill.models.fields import Unreadable, read_json

#: Attempts that are read unless more are wanted, the newest; and the most.
USUAL_ATTEMPTS, MOST_ATTEMPTS = 3, 100


@dataclass(frozen=True)
class Details:
    """
    A job, and what there is to know of it.

    `explanation` says where it is and why, `arguments` are None where they cannot be read, `attempts` are the newest,
    oldest of those first.
    """

    row: JobRow
    # None where it has no place in the tables.
    job: Job | None
    explanation: Explanation
    arguments: Shown | None
    # The task's return value, secrets in it hidden; text where it cannot be read.
    result: Any
    attempts: list[Attempt]
    attempt_count: int
    labels: dict[UUID, str]
    events: list[Event]
    actions: list[Act]
    preconditions: Neighbours
    dependents: Neighbours
    options: dict[str, Any] | None
    has_key: bool
    schedule: str | None
    nominal: datetime | None
    now: datetime


def details_of(job_id: UUID, using: str, *, reveal: bool = False, attempts: int = USUAL_ATTEMPTS) -> Details:
    """Returns all of one job; raises TaskResultDoesNotExist for one that is not there."""
    row = JobRow.objects.using(using).filter(pk=job_id).first()
    if row is None:
        raise TaskResultDoesNotExist(job_id.hex)
    job = Job.objects.using(using).filter(pk=job_id).defer("args", "kwargs", "options").first()
    newest = Attempt.objects.using(using).filter(job_id=job_id).order_by("-token")
    shown = list(newest[: min(max(attempts, 1), MOST_ATTEMPTS)])[::-1]
    facts = facts_of(job_id, row.backend, connections[using])
    labels = {worker_id: worker.label for worker_id, worker in facts.workers.items()}
    look = None if job is None else Look(job, using, facts)
    ids = neighbour_ids(facts)
    beside = jobs_by_id(ids, using) if look is None else look.jobs(ids)
    preconditions = neighbours_of(facts, "before", beside)
    acts = [
        Act(did.verb, did.actor, did.acted_at, None if did.other is None else did.other.hex)
        for did in facts.actions[::-1]
    ]
    runs = [run_of(attempt, labels) for attempt in shown]
    if job is not None and job.state == "running" and job.claimed_at is not None:
        label = labels.get(job.worker_id) if job.worker_id else None
        runs.append(Run(job.token, label, job.claimed_at))
    end = None
    if job is not None and job.finished_at is not None:
        end = Event(job.finished_at, "finished", job.state + (f": {job.reason}" if job.reason else ""))
    options = None if row.options is None else read_json(row.options)
    return Details(
        row=row,
        job=job,
        explanation=nowhere(row) if look is None else explained(look),
        arguments=arguments_of(row.backend, row.task_name, row.args, row.kwargs, row.options, reveal=reveal),
        result=None if job is None else result_of(row, job, reveal=reveal),
        attempts=shown,
        attempt_count=facts.attempt_count,
        labels=labels,
        events=timeline(
            asked_for(row.enqueued_at, row.run_after), runs, acts, end, has_preconditions=bool(preconditions.count)
        ),
        actions=acts,
        preconditions=preconditions,
        dependents=neighbours_of(facts, "behind", beside),
        options=options if isinstance(options, dict) else None,
        has_key=row.unique_key in facts.keys,
        schedule=None if facts.tick is None else facts.tick[0],
        nominal=None if facts.tick is None else facts.tick[1],
        now=facts.now if look is None else look.now,
    )


def run_of(attempt: Attempt, labels: dict[UUID, str]) -> Run:
    """Returns what a time line wants of an attempt."""
    return Run(
        attempt.token,
        labels.get(attempt.worker_id),
        attempt.claimed_at,
        attempt.started_at,
        attempt.ended_at,
        attempt.outcome,
        attempt.reason,
    )


def nowhere(row: JobRow) -> Explanation:
    """Says that a job has no place."""
    sentence = "It has no place in the queue's tables, so it will not run; manage.py gristmill doctor looks into that."
    named = (row.id.hex, row.task_name, row.backend, row.queue_name)
    return Explanation(*named, NOWHERE, sentence, [Reason(NOWHERE, sentence)])


def result_of(row: JobRow, job: Job, *, reveal: bool) -> Any:
    """Returns what the task returned, with secrets hidden."""
    value = job.result
    if reveal or value is None:
        return value
    if isinstance(value, Unreadable) or is_all_secret(row.backend, row.task_name, row.options):
        return HIDDEN
    return hidden_in(value, words_of(row.backend))
