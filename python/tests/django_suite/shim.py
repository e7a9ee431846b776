"""
What stands in for Django's two built-in backends while Django's own tests run.

Enqueue and get_result are Gristmill's, on a real database. `SuiteBackend` adds the two helpers that Django's dummy
backend has for tests, read from the tables. `AtOnceBackend` runs each job as soon as it is enqueued: the job goes to
the real runner, as a frame through a socket, and the frame that comes back is written where the engine writes it.
"""

from __future__ import annotations

import contextvars
import functools
import json
import socket
import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime
from inspect import iscoroutinefunction
from typing import Any
from unittest import mock

from django.db import connections
from django.test import TransactionTestCase
from django.utils import timezone

from gristmill.backend import GristmillBackend
from gristmill.models import Attempt, Job, JobRow, ReadyRow, ResultRow, RunningRow, ScheduledRow
from gristmill.runner import loop
from gristmill.runner.attempt import call_of
from gristmill.runner.frame import JOB, Parser, pack
from gristmill.values.moments import utc_text

WORKER_ID = uuid.UUID(int=7)


class SuiteTestCase(TransactionTestCase):
    """Takes the place of SimpleTestCase: these tests use a database now, some of them from an event loop's thread."""

    available_apps = ("gristmill",)

    def __init__(self, method_name: str = "runTest") -> None:
        super().__init__(method_name)
        method = getattr(self, method_name)
        if iscoroutinefunction(method):
            setattr(self, method_name, closing_connections(method))

    def _fixture_teardown(self) -> None:
        # Emptying the few tables is quicker than flushing them, and these tests use no other.
        clear()


class SuiteBackend(GristmillBackend):
    """Gristmill's backend with the helpers of Django's dummy backend."""

    @property
    def results(self) -> list[Any]:
        """Every job, oldest first, as `get_result` gives it."""
        ids = Job.objects.order_by("enqueued_at", "id").values_list("id", flat=True)
        return [self.get_result(job_id.hex) for job_id in ids]

    def clear(self) -> None:
        """Forgets every job."""
        clear()


class AtOnceBackend(SuiteBackend):
    """Gristmill's backend with a worker that has always just finished."""

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Enqueues, runs, and reads the result back."""
        result = super().enqueue(task, args, kwargs)
        run(Job.objects.get(pk=result.id))
        return self.get_result(result.id)


def clear() -> None:
    """Empties the tables of jobs."""
    for model in (Attempt, ResultRow, RunningRow, ScheduledRow, ReadyRow, JobRow):
        model.objects.all().delete()


def run(job: Job) -> None:
    """Claims a job, hands it to a runner, and writes its end down."""
    claimed_at = timezone.now()
    ReadyRow.objects.filter(pk=job.id).delete()
    place = {
        "id": job.id,
        "backend": job.backend,
        "queue_name": job.queue_name,
        "task_name": job.task_name,
        "priority": job.priority,
        "run_after": job.run_after,
        "deadline": job.deadline,
        "token": 1,
        "generation": 1,
    }
    RunningRow.objects.create(**place, worker_id=WORKER_ID, claimed_at=claimed_at)
    kind, payload = outcome_of(job, claimed_at)
    succeeded = kind == "D"
    attempt = Attempt(
        job_id=job.id,
        token=1,
        generation=1,
        worker_id=WORKER_ID,
        claimed_at=claimed_at,
        started_at=claimed_at,
        ended_at=timezone.now(),
        outcome="successful" if succeeded else "failed",
    )
    if succeeded:
        attempt.return_value = payload
    else:
        failure = json.loads(payload)
        attempt.reason = failure["reason"]
        attempt.exception_class_path = failure["exception_class_path"]
        attempt.traceback = failure["traceback"]
    attempt.save(force_insert=True)
    RunningRow.objects.filter(pk=job.id).delete()
    ResultRow.objects.create(
        **place,
        counts=None if succeeded else '{"failures":1}',
        started_at=claimed_at,
        finished_at=timezone.now(),
        state=attempt.outcome,
        reason=attempt.reason,
    )


def outcome_of(job: Job, claimed_at: datetime) -> tuple[str, str]:
    """Returns the kind and the text of the frame with which the runner ends a job."""
    ours, theirs = socket.socketpair()
    key = JOB.pack(job.id.bytes, 1)
    request = {
        "id": job.id.hex,
        "token": 1,
        "task": job.task_name,
        "args": job.args,
        "kwargs": job.kwargs,
        "backend": job.backend,
        "queue_name": job.queue_name,
        "priority": job.priority,
        "run_after": None if job.run_after is None else utc_text(job.run_after),
        "enqueued_at": utc_text(job.enqueued_at),
        "claimed_at": utc_text(claimed_at),
        "started_at": None,
        "attempt": 1,
        "retried_classes": [],
        "retries_conflict": True,
        "worker_id": WORKER_ID.hex,
        "options": job.options,
    }
    call_of.cache_clear()
    with ours, theirs, mock.patch.object(loop, "tidy_connections"):
        ours.sendall(pack(ord("R"), key + json.dumps(request).encode()) + pack(ord("Q")))
        # A runner is a process: it does not know of the async test that may be around it here.
        contextvars.Context().run(lambda: loop.Runner(theirs).run())
        theirs.close()
        parser = Parser()
        frames = [frame for data in iter(lambda: ours.recv(1 << 20), b"") for frame in parser.feed(data)]
    ends = [(chr(kind), payload[len(key) :].decode()) for kind, payload in frames if chr(kind) in "DFB"]
    assert len(ends) == 1, frames
    return ends[0]


def closing_connections(method: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """Wraps a coroutine so that its thread's connections, which nobody else can reach, are closed at its end."""

    @functools.wraps(method)
    async def wrapped() -> None:
        try:
            await method()
        finally:
            connections.close_all()

    return wrapped
