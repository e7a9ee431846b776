"""One look at a job: what every question about it needs, asked for once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from uuid import UUID

from django.db import connections
from django.utils import timezone

from gristmill.inspect.explaining.facts import Facts, facts_of
from gristmill.inspect.tables import age, printable
from gristmill.inspect.workers import WorkerSeen, live_workers
from gristmill.models import Job
from gristmill.tasks.aliases import gristmill_backends
from gristmill.values.moments import from_utc, seconds_between
from gristmill.verbs.batched import now_bind

#: What no reason reads: it may be large.
HEAVY = ("args", "kwargs", "options", "result")


class Look:
    """A job, the moment, and the database that keeps it."""

    def __init__(self, job: Job, using: str, facts: Facts | None = None) -> None:
        self.job = job
        self.using = using
        self.connection = connections[using]
        self.known: dict[UUID, Job] = {}
        if facts is not None:
            self.facts = facts

    @cached_property
    def facts(self) -> Facts:
        """What is known about it."""
        return facts_of(self.job.id, self.job.backend, self.connection)

    @cached_property
    def now(self) -> datetime:
        """The moment by the clock that decides on this database: its own, or Django's where that counts."""
        text = now_bind(self.using)
        return from_utc(text) if text is not None else self.facts.now

    @cached_property
    def workers(self) -> list[WorkerSeen]:
        """The workers that neither stopped nor were given up, whatever they serve."""
        return live_workers(self.connection, {*gristmill_backends(), self.job.backend}, self.facts.now)

    def jobs(self, ids: Iterable[UUID]) -> dict[UUID, Job]:
        """Returns jobs without what may be large; each is read once."""
        wanted = list(ids)
        self.known |= jobs_by_id([job_id for job_id in wanted if job_id not in self.known], self.using)
        return {job_id: self.known[job_id] for job_id in wanted if job_id in self.known}

    def ago(self, moment: datetime) -> str:
        """Says how long ago it was."""
        return f"{age(seconds_between(moment, self.now))} ago"

    def length(self, moment: datetime) -> str:
        """Says for how long it has been so."""
        return age(seconds_between(moment, self.now))

    def until(self, moment: datetime) -> str:
        """Says in how long it will be."""
        return f"in {age(seconds_between(self.now, moment))}"


def jobs_by_id(ids: Iterable[UUID], using: str) -> dict[UUID, Job]:
    """Returns jobs without what may be large."""
    wanted = list(ids)
    if not wanted:
        return {}
    return {job.id: job for job in Job.objects.using(using).filter(pk__in=wanted).defer(*HEAVY)}


def clock(moment: datetime) -> str:
    """Says a moment in Django's time zone."""
    local = timezone.localtime(moment) if timezone.is_aware(moment) else moment
    return local.strftime("%Y-%m-%d %H:%M:%S") + (f" {local.tzname()}" if local.tzinfo else "")


def ended(text: str) -> str:
    """Returns someone's words as a sentence's end: printable, with one full stop."""
    said = printable(text.strip(), 300)
    return said if said.endswith((".", "!", "?", "…")) else f"{said}."
