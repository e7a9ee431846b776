"""
Whether this code can run the jobs that have not started: tasks that it does not know, arguments that do not fit now.

A lane is a (backend, queue, task). Ready jobs are read lane by lane along the claim's index, so that a rare task is
found among millions of others; what is scheduled, waits or is held has no such index, and is looked through from its
beginning. Of each lane so many jobs have their arguments looked at; what was not looked at is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.inspect.lanes import MOST, lane_names
from gristmill.models import JobRow, ReadyRow, ScheduledRow, WaitingRow
from gristmill.models.fields import read_json
from gristmill.tasks import registry
from gristmill.tasks.discovery.causes import why_unknown
from gristmill.tasks.fitting import signature_of

#: Jobs of a lane whose arguments are looked at, unless more are wanted.
SAMPLE = 1_000
#: Rows of a table without lanes that are read to find some of each.
READ = 100_000
#: Rows that are read at once.
BATCH = 1_000
#: Jobs that are named of each lane and kind.
SHOWN = 5

Lane = tuple[str, str, str]


class Misfit(NamedTuple):
    """A job that cannot run here, and why."""

    id: str
    kind: str
    why: str


@dataclass
class LaneChecked:
    """Jobs of one (backend, queue, task) that have not started, and what is wrong with them."""

    backend: str
    queue_name: str
    task_name: str
    # "ready", "scheduled", or "waiting" for all that is kept back.
    place: str
    looked_at: int = 0
    # There are, or may be, more that were not looked at.
    more: bool = False
    # "unknown task", "arguments" or "unreadable".
    kinds: dict[str, int] = field(default_factory=dict)
    first: list[Misfit] = field(default_factory=list)

    def add(self, misfit: Misfit) -> None:
        """Counts a job that cannot run, and names the first few."""
        self.kinds[misfit.kind] = self.kinds.get(misfit.kind, 0) + 1
        if len(self.first) < SHOWN:
            self.first.append(misfit)

    @property
    def misfits(self) -> int:
        """How many of those looked at cannot run."""
        return sum(self.kinds.values())

    def as_json(self) -> dict[str, Any]:
        """Returns it in JSON's types."""
        return {**vars(self), "first": [misfit._asdict() for misfit in self.first], "misfits": self.misfits}


@dataclass
class Checked:
    """What was looked at on a database."""

    lanes: list[LaneChecked] = field(default_factory=list)
    # Tables, or lanes, of which the rest was not looked at.
    unread: list[str] = field(default_factory=list)

    @property
    def bad(self) -> list[LaneChecked]:
        """Lanes with jobs that cannot run."""
        return [lane for lane in self.lanes if lane.misfits]


def check_pending(connection: BaseDatabaseWrapper, backends: set[str], sample: int = SAMPLE) -> Checked:
    """Looks at the jobs of these TASKS aliases that have not started, so many of each lane."""
    registry.load()
    found = Checked()
    lanes = lane_names(connection, backends)
    for backend, queue_name, task_name in lanes:
        lane = LaneChecked(backend, queue_name, task_name, "ready")
        rows = ReadyRow.objects.using(connection.alias).filter(
            backend=backend, queue_name=queue_name, task_name=task_name
        )
        ids = list(rows.order_by("priority", "deadline", "id").values_list("id", flat=True)[: sample + 1])
        look_at(connection.alias, lane, ids[:sample])
        lane.more = len(ids) > sample
        found.lanes.append(lane)
    if len(lanes) >= MOST:
        found.unread.append(f"ready jobs of more than {MOST:,} pairs of queue and task")
    for place in ("scheduled", "waiting"):
        by_lane: dict[Lane, LaneChecked] = {}
        read = 0
        for batch in batches(connection, place):
            read += len(batch)
            for lane_key, ids in by_lane_of(batch, backends).items():
                lane = by_lane.setdefault(lane_key, LaneChecked(*lane_key, place))
                room = max(sample - lane.looked_at, 0)
                look_at(connection.alias, lane, ids[:room])
                lane.more = lane.more or len(ids) > room
        if read >= READ:
            found.unread.append(f"{place} jobs beyond the first {READ:,}")
            for lane in by_lane.values():
                lane.more = True
        found.lanes += [by_lane[key] for key in sorted(by_lane)]
    return found


def batches(connection: BaseDatabaseWrapper, place: str) -> Iterator[list[tuple[Any, ...]]]:
    """Yields the first rows of a table, by its primary key: id, backend, queue and task."""
    model = ScheduledRow if place == "scheduled" else WaitingRow
    rows = model.objects.using(connection.alias).order_by("id")
    names = ("id", "backend", "queue_name", "task_name")
    last = None
    for _ in range(READ // BATCH):
        after = rows if last is None else rows.filter(id__gt=last)
        batch = list(after.values_list(*names)[:BATCH])
        if batch:
            yield batch
        if len(batch) < BATCH:
            return
        last = batch[-1][0]


def by_lane_of(batch: list[tuple[Any, ...]], backends: set[str]) -> dict[Lane, list[Any]]:
    """Returns the ids of a batch by their lanes."""
    found: dict[Lane, list[Any]] = {}
    for job_id, *lane in batch:
        if lane[0] in backends:
            found.setdefault((lane[0], lane[1], lane[2]), []).append(job_id)
    return found


def look_at(using: str, lane: LaneChecked, ids: list[Any]) -> None:
    """Holds jobs of a lane against the task that this code has."""
    task = registry.get(lane.backend, lane.task_name)
    signature = None if task is None else signature_of(task.func)
    for start in range(0, len(ids), BATCH):
        some = ids[start : start + BATCH]
        lane.looked_at += len(some)
        if task is None:
            why = why_unknown(lane.task_name) or "no code here has it"
            for job_id in some:
                lane.add(Misfit(job_id.hex, "unknown task", why))
            continue
        rows = JobRow.objects.using(using).filter(pk__in=some).order_by("pk")
        for job_id, args_json, kwargs_json in rows.values_list("id", "args", "kwargs").iterator():
            args, kwargs = read_json(args_json), read_json(kwargs_json)
            if not isinstance(args, list) or not isinstance(kwargs, dict):
                lane.add(Misfit(job_id.hex, "unreadable", "its arguments are no JSON, or no list and object"))
            elif signature is not None:
                try:
                    signature.bind(*([None] if task.takes_context else []), *args, **kwargs)
                except TypeError as error:
                    lane.add(Misfit(job_id.hex, "arguments", str(error)))
