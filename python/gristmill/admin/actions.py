"""
What may be done to many jobs at once: to those that were ticked, or to all that a search finds.

A search is carried out over the jobs that were there when it was confirmed, batch by batch, so that no list of ids
travels and no statement is long. What is done is one entry in the admin's log, and one action beside each job.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db import connections
from django.http import HttpRequest

from gristmill import operations
from gristmill.admin.log import actor, write_down
from gristmill.inspect.listing.choices import MOST as MOST_QUEUES
from gristmill.inspect.listing.choices import choices
from gristmill.inspect.listing.pages import MOST, page_of
from gristmill.inspect.listing.search import Search
from gristmill.inspect.tables import counted
from gristmill.models import Job, JobRow
from gristmill.tasks.aliases import gristmill_backends
from gristmill.values.ids import parse_id
from gristmill.verbs.changing import Change

#: Jobs of one request, and seconds of looking for them: a web server lets one run for half a minute. What is left is
#: asked for again.
MOST_JOBS, MOST_SECONDS = 20_000, 10.0
#: Jobs that a confirmation shows.
EXAMPLES = 5


@dataclass(frozen=True)
class Action:
    """A verb, in words and with what a user needs for it."""

    verb: str
    title: str
    permission: str
    # What a confirmation says that it does.
    effect: str
    # The branches in whose lists it is offered.
    branches: tuple[str, ...]

    @property
    def asks(self) -> bool:
        """Whether it needs to be told more, which a form of its own asks."""
        return self.verb in ("hold", "change")


NOT_ENDED = ("all", "ready", "scheduled", "waiting", "stranded", "held", "running")
ACTIONS: Mapping[str, Action] = {
    action.verb: action
    for action in (
        Action(
            "retry", "Retry", "retry_job", "They run again, whatever their attempts.",
            ("all", "failed", "cancelled", "poisoned"),
        ),
        Action(
            "cancel", "Cancel", "cancel_job",
            "Those that do not run end at once; those that do are asked to, and killed if they do not.", NOT_ENDED,
        ),
        Action(
            "hold", "Hold", "hold_job", "They are kept back until somebody releases them.",
            ("all", "ready", "scheduled", "waiting", "stranded"),
        ),
        Action("release", "Release", "hold_job", "They go on as if nobody had held them.", ("all", "held")),
        Action(
            "run_now", "Run now", "run_job", "They are due now, whatever their date or the wait for their next try.",
            ("all", "scheduled"),
        ),
        Action(
            "change", "Change", "move_job",
            "They get the priority and the queue that are given here; what is left out stays.",
            ("all", "ready", "scheduled", "waiting", "stranded", "held"),
        ),
    )
}  # fmt: skip


def actions_of(branch: str) -> list[str]:
    """Returns the actions that make sense for the jobs of a branch."""
    return [name for name, action in ACTIONS.items() if branch in action.branches]


@dataclass(frozen=True)
class Chosen:
    """The jobs that an action is about."""

    # The database that has them.
    using: str
    search: Search
    # None: all that the search finds.
    ids: tuple[UUID, ...] | None
    # No job that came later is touched.
    ceiling: UUID | None

    @classmethod
    def of(cls, posted: Any, using: str, search: Search) -> Chosen:
        """Reads what was posted."""
        if posted.get("everything") == "1":
            ceiling = parse_id(posted.get("ceiling", "")) if "confirmed" in posted else newest(using)
            return cls(using, search, None, ceiling)
        ids = [job_id for text in posted.getlist("job")[:MOST] if (job_id := parse_id(text)) is not None]
        return cls(using, search, tuple(ids), None)

    def __bool__(self) -> bool:
        return bool(self.ids) if self.ids is not None else self.ceiling is not None

    def ids_within(self, most: int) -> tuple[list[UUID], bool]:
        """Returns the first of them, at most so many, and whether there may be more: time has an end too."""
        if self.ids is not None:
            return list(self.ids[:most]), len(self.ids) > most
        found: list[UUID] = []
        cursor: str | None = None
        until = time.monotonic() + MOST_SECONDS
        while True:
            page = page_of(connections[self.using], self.search, cursor=cursor, size=MOST)
            ids = (UUID(row.id) for row in page.rows)
            found += [job_id for job_id in ids if self.ceiling is None or job_id <= self.ceiling]
            if len(found) > most or page.next is None:
                return found[:most], len(found) > most
            if time.monotonic() >= until:
                return found, True
            cursor = page.next

    @cached_property
    def first(self) -> tuple[list[UUID], bool]:
        """The first of them, as many as a page has."""
        return self.ids_within(MOST)

    @property
    def number(self) -> str:
        """How many, in words."""
        ids, more = self.first
        return counted(len(ids), more)

    def examples(self) -> list[Job]:
        """Returns some of them."""
        some = Job.objects.using(self.using).filter(pk__in=self.first[0][:EXAMPLES])
        return list(some.only("id", "task_name", "queue_name", "state"))


def newest(using: str) -> UUID | None:
    """Returns the id of the job that came last."""
    return JobRow.objects.using(using).order_by("-pk").values_list("pk", flat=True).first()


@dataclass(frozen=True)
class Said:
    """What became of it, in a sentence."""

    did: bool
    sentence: str


def carry_out(request: HttpRequest, action: Action, chosen: Chosen, text: str) -> Said:
    """Does it, and writes it down; what did not fit into one request is told."""
    answer = operations.Answer()
    try:
        reason, change, what = asked_of(request.POST, action)
    except ValueError as error:
        return Said(False, f"Nothing was done: {error}.")
    taken, more = chosen.ids_within(MOST_JOBS)
    who = actor(request)
    for outcomes in operations.operate_on_ids(taken, action.verb, who, reason, change, using=chosen.using):
        answer.add(outcomes)
    done = ", ".join(f"{word} {counted(number)}" for word, number in answer.done.items()) or "nothing was done"
    skipped = "; ".join(f"{counted(number)} left alone, as {why}" for why, number in answer.refused.items())
    sentence = f"{done[0].upper()}{done[1:]}." + (f" {skipped[0].upper()}{skipped[1:]}." if skipped else "")
    if more:
        sentence += " There may be more than one request can take: ask again for the rest."
    if answer:
        one = taken[0].hex if len(taken) == 1 else ", ".join(each.hex for each in taken[:EXAMPLES])
        subject = f"all that {text!r} finds" if chosen.ids is None else one
        write_down(request, Job, subject, f"{action.title}{what}: {sentence}")
    return Said(bool(answer), sentence)


def asked_of(posted: Any, action: Action) -> tuple[str | None, Change | None, str]:
    """Returns what an action was told beside the jobs: a reason; a change, and that in words. Raises ValueError."""
    if action.verb == "hold":
        return posted.get("reason", "").strip() or None, None, ""
    if action.verb != "change":
        return None, None, ""
    priority, queue_name = posted.get("priority", "").strip(), posted.get("queue", "").strip() or None
    if not re.fullmatch(r"([+-]?[0-9]{1,9})?", priority):
        raise ValueError(f"{priority!r:.50} is no priority")
    change = Change(int(priority) if priority else None, queue_name)
    named = [f"priority {priority}"] if priority else []
    return None, change, f" to {', '.join([*named, *([f'queue {queue_name}'] if queue_name else [])])}"


def queues_of(using: str, backend: str | None = None) -> tuple[str, ...]:
    """
    Returns the queues that jobs of a database, or of one backend there, can go to.

    Where any name will do, those that are known; see `gristmill.inspect.listing.choices`.
    """
    backends = [each for each in gristmill_backends().values() if each.database == using]
    backends = [each for each in backends if backend in (None, each.alias)]
    if any(not each.queues for each in backends):
        return choices(connections[using]).queues
    return tuple(sorted({name for each in backends for name in each.queues})[:MOST_QUEUES])
