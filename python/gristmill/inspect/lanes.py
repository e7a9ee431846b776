"""The lanes of ready jobs: how many each has, and which job is first in its line. One question a database."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.inspect.questions import Question, ask, id_of, moment_of

#: Lanes that are looked at; beyond so many the rest is left out.
MOST = 500

# From lane to lane along the claim's index: a few probes for the next one, and as many rows as are counted. Neither
# statistics nor the size of the table have a say in it, as each subquery wants the first of a range of that index. Not
# by one comparison of pairs: SQLite would look at every job of a queue on the way to its next task.
NEXT_TASK = """(
    select ready.task_name from gristmill_ready ready
    where ready.backend = lane.backend and ready.queue_name = lane.queue_name and ready.task_name > lane.task_name
    order by ready.task_name limit 1
)"""
NEXT_QUEUE = """(
    select ready.queue_name from gristmill_ready ready
    where ready.backend = lane.backend and ready.queue_name > lane.queue_name
    order by ready.queue_name limit 1
)"""
FIRST_TASK = f"""(
    select first.task_name from gristmill_ready first
    where first.backend = lane.backend and first.queue_name = {NEXT_QUEUE}
    order by first.task_name limit 1
)"""
OF_THE_LANE = "{0}.backend = lane.backend and {0}.queue_name = lane.queue_name and {0}.task_name = lane.task_name"
FIRST_IN_LINE = f"""(
    select ready.id from gristmill_ready ready
    where {OF_THE_LANE.format("ready")} and ready.priority = (
        select above.priority from gristmill_ready above
        where {OF_THE_LANE.format("above")}
        order by above.priority desc limit 1
    )
    order by ready.deadline, ready.id limit 1
)"""
# Probes of one job each. What was to run at a date has been due since then.
FIRST_JOB = "(select job.{0} from gristmill_job job where job.id = first.first_id)"
LANES = f"""
with recursive lane (hop, backend, queue_name, task_name) as (
    select 0, asked.backend, cast('' as text), cast('' as text) from ({{backends}}) as asked
    union all
    select
        lane.hop + 1, lane.backend,
        case when {NEXT_TASK} is null then {NEXT_QUEUE} else lane.queue_name end,
        coalesce({NEXT_TASK}, {FIRST_TASK})
    from lane
    where lane.hop < %s and lane.queue_name is not null
)
select backend, queue_name, task_name, {FIRST_IN_LINE} as first_id, (
    select count(*) from (
        select 1 from gristmill_ready ready where {OF_THE_LANE.format("ready")} limit %s
    ) as counted
) as ready
from lane
where hop > 0 and queue_name is not null
order by backend, queue_name, task_name
limit %s
"""
STATEMENT = f"""
select
    first.*, {FIRST_JOB.format("enqueued_at")} as enqueued_at, {FIRST_JOB.format("run_after")} as run_after
from ({LANES}) as first
"""
COLUMNS = "backend, queue_name, task_name, first_id, ready, enqueued_at, run_after"


@dataclass(frozen=True)
class Lane:
    """The ready jobs of one (backend, queue, task)."""

    backend: str
    queue_name: str
    task_name: str
    # The job that is claimed next: the first of the highest priority.
    first_id: UUID
    # Counted to just beyond the cap that was asked for.
    ready: int
    # Since when the first one has been due; None where it has just gone.
    first_due_at: datetime | None


def lanes_asked(backends: Collection[str], cap: int) -> Question:
    """Asks for the lanes of these TASKS aliases, one at least, that have ready jobs, counting each to `cap` + 1."""
    asked = " union all ".join(["select cast(%s as text) as backend"] * len(backends))
    return Question(COLUMNS, STATEMENT.format(backends=asked), [*backends, MOST, cap + 1, MOST])


def lanes_said(rows: Iterable[list[Any]]) -> list[Lane]:
    """Returns the lanes that were asked for, sorted."""
    lanes = [
        Lane(backend, queue_name, task_name, id_of(first_id), count, due_at(enqueued_at, run_after))
        for backend, queue_name, task_name, first_id, count, enqueued_at, run_after in rows
    ]
    return sorted(lanes, key=lambda lane: (lane.backend, lane.queue_name, lane.task_name))


def due_at(enqueued_at: str | None, run_after: str | None) -> datetime | None:
    """Returns since when a job has been due: since it was asked for, or since its date."""
    return max((moment_of(text) for text in (enqueued_at, run_after) if text is not None), default=None)


def lanes_of(connection: BaseDatabaseWrapper, backends: Collection[str], cap: int) -> list[Lane]:
    """Returns the lanes of these TASKS aliases that have ready jobs, counting each to `cap` + 1."""
    return lanes_said(ask(connection, lanes=lanes_asked(backends, cap))["lanes"]) if backends else []


def lane_names(connection: BaseDatabaseWrapper, backends: Collection[str]) -> list[tuple[str, str, str]]:
    """Returns the (backend, queue, task) that have ready jobs, sorted, MOST at most."""
    return [(lane.backend, lane.queue_name, lane.task_name) for lane in lanes_of(connection, backends, cap=0)]
