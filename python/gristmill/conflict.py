"""
What an enqueue does when another job has its unique key.

The key is taken by the database's constraint, never after a look. Where it is taken, the holder's place row is locked
until the caller's transaction ends, so a job that is kept starts only after that commit, and sees its data. The key's
own row is never locked: a worker that claims the holder would wait for the caller. Bulk enqueues take keys, and then
place rows, in the order of the keys.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.exceptions import UniqueContention
from gristmill.insert import Inserted, NewJob, bound, insert
from gristmill.json_rule import encode
from gristmill.moments import database_now, from_utc
from gristmill.schema import dialect_of
from gristmill.uniqueness import Unique

if TYPE_CHECKING:
    from typing import TypeAlias

    from gristmill.backend import GristmillBackend

    Put: TypeAlias = Callable[[BaseDatabaseWrapper, NewJob, datetime | None], Inserted | None]

#: How often an enqueue looks again when the holder moves under its eyes. Each time someone else got further.
TRIES = 5
#: How much later than it is due a job's deadline is, unless it has one of its own; as the trigger has it.
USUAL_DEADLINE = timedelta(hours=168)

_PLACES = ("ready", "scheduled", "waiting")
_COPIED = (
    "id, backend, queue_name, task_name, {priority}, {run_after}, {deadline}, token, generation, "
    "failures, crashes, losses, postpones, interruptions, started_at, awaited"
)


class Holder(NamedTuple):
    """The job that has the key."""

    id: str
    # "ready", "scheduled", "waiting"; or "running" or "result", which are not locked.
    place: str
    run_after: datetime | None
    started: bool


def insert_unique(
    backend: GristmillBackend,
    connection: BaseDatabaseWrapper,
    job: NewJob,
    unique: Unique,
    now: datetime | None,
    *,
    taken: bool = False,
    put: Put = insert,
) -> Inserted | str:
    """
    Inserts a job with a key, or settles with the one that has it, whose id is returned (32 hex digits).

    Needs an open transaction. `taken` says that the key has just been asked for in vain; `put` is how a job is
    inserted. A job that is kept or replaced goes on waiting for what it waits for. Raises UniqueContention when
    the key went from hand to hand all the while.
    """
    for attempt in range(TRIES):
        if attempt or not taken:
            inserted = put(connection, job, now)
            if inserted is not None:
                return inserted
        # Asked only now: it decides whether a key has run out and whether a job is due.
        moment = now or database_now(connection)
        holder = _holder(connection, job, moment)
        if holder is None:
            continue
        if holder.place in _PLACES and not holder.started:
            _settle(backend, connection, holder, job, unique, moment)
        return holder.id
    raise UniqueContention(
        f"{job.task_name}: in {TRIES} tries its unique key belonged to another job each time, which had moved on "
        "before it could be kept; enqueue again"
    )


def _holder(connection: BaseDatabaseWrapper, job: NewJob, moment: datetime) -> Holder | None:
    """Finds the job that has the key and locks its place; None when it has moved on, or its key has run out."""
    dialect = dialect_of(connection)
    with connection.cursor() as cursor:
        cursor.execute(
            "select job_id, until, expires_at <= %s from gristmill_unique_key where key = %s",
            [bound(dialect, moment), job.key],
        )
        found = cursor.fetchone()
        if found is None:
            return None
        job_id, until, over = found
        if over:
            cursor.execute("delete from gristmill_unique_key where key = %s and job_id = %s", [job.key, job_id])
            return None
        cursor.execute(_lock_statement(dialect), [job_id] * len(_PLACES))
        place = cursor.fetchone()
        hex_id = job_id if isinstance(job_id, str) else job_id.hex
        if place is not None:
            return Holder(hex_id, place[0], _read(dialect, place[1]), place[2] is not None)
        if until == "started":
            return None
        cursor.execute("select 'running' from gristmill_running where id = %s", [job_id])
        place = cursor.fetchone()
        if place is None and until == "pruned":
            # Kept from being pruned under the caller's eyes, and from nothing else.
            lock = " for share" if dialect == "postgres" else ""
            cursor.execute(f"select 'result' from gristmill_result where id = %s{lock}", [job_id])
            place = cursor.fetchone()
    return None if place is None else Holder(hex_id, place[0], None, True)


def _read(dialect: str, stored: Any) -> datetime | None:
    return from_utc(stored) if dialect == "sqlite" and stored is not None else stored


def _lock_statement(dialect: str) -> str:
    """Returns the statement that locks a job's place row, wherever it is."""
    lock = " for update" if dialect == "postgres" else ""
    parts = [f"{name} as (select run_after, started_at from gristmill_{name} where id = %s{lock})" for name in _PLACES]
    looks = [f"select '{name}', run_after, started_at from {name}" for name in _PLACES]
    return f"with {', '.join(parts)} {' union all '.join(looks)}"


def _settle(
    backend: GristmillBackend,
    connection: BaseDatabaseWrapper,
    holder: Holder,
    job: NewJob,
    unique: Unique,
    moment: datetime,
) -> None:
    """Does what the task asks for with a job that has not started, and that is locked."""
    run_after = moment + job.run_after if isinstance(job.run_after, timedelta) else job.run_after
    if unique.on_conflict == "keep":
        if holder.run_after is not None and holder.run_after > moment and (run_after or moment) < holder.run_after:
            with connection.cursor() as cursor:
                cursor.execute("select deadline from gristmill_job where id = %s", [holder.id])
                ((deadline,),) = cursor.fetchall()
            deadline = _read(dialect_of(connection), deadline)
            _place_again(connection, holder, moment, run_after, deadline, None)
            backend.wake(connection)
        return
    if unique.on_conflict == "merge":
        job = _merged(backend, connection, holder, job, unique.merge)
    dialect = dialect_of(connection)
    deadline = moment + job.deadline if isinstance(job.deadline, timedelta) else job.deadline
    with connection.cursor() as cursor:
        cursor.execute(
            "update gristmill_job set args = %s, kwargs = %s, options = %s, priority = %s, run_after = %s, "
            "deadline = %s, enqueued_at = %s where id = %s",
            [
                *(job.args_json, job.kwargs_json, job.options_json, job.priority, bound(dialect, run_after)),
                *(bound(dialect, deadline), bound(dialect, moment), holder.id),
            ],
        )
    _place_again(connection, holder, moment, run_after, deadline, job.priority)
    backend.wake(connection)


def _merged(
    backend: GristmillBackend,
    connection: BaseDatabaseWrapper,
    holder: Holder,
    job: NewJob,
    merge: Callable[..., Any] | None,
) -> NewJob:
    from gristmill.bulk import Call

    assert merge is not None
    with connection.cursor() as cursor:
        cursor.execute("select args, kwargs from gristmill_job where id = %s", [holder.id])
        ((args, kwargs),) = cursor.fetchall()
    merged = merge(json.loads(args), json.loads(kwargs), json.loads(job.args_json), json.loads(job.kwargs_json))
    if not isinstance(merged, Call):
        raise TypeError(f"{job.task_name}: merge must return gristmill.call(…), not {type(merged).__name__}")
    limit = backend.max_json_bytes
    return job._replace(
        args_json=encode(merged.args, where="merge.args", max_bytes=limit),
        kwargs_json=encode(merged.kwargs, where="merge.kwargs", max_bytes=limit),
    )


def _place_again(
    connection: BaseDatabaseWrapper,
    holder: Holder,
    moment: datetime,
    run_after: datetime | None,
    deadline: datetime | None,
    priority: int | None,
) -> None:
    """Puts a locked job where its new date belongs; one that is held stays held."""
    dialect = dialect_of(connection)
    later = run_after is not None and run_after > moment
    place = "waiting" if holder.place == "waiting" else "scheduled" if later else "ready"
    if deadline is None:
        deadline = (run_after or moment) + USUAL_DEADLINE
    stamp = "%s::timestamptz" if dialect == "postgres" else "%s"
    values = {"run_after": stamp, "deadline": stamp, "priority": "priority" if priority is None else "%s"}
    binds = ([] if priority is None else [priority]) + [bound(dialect, run_after), bound(dialect, deadline)]
    with connection.cursor() as cursor:
        if place == holder.place:
            changes = ", ".join(f"{name} = {values[name]}" for name in ("priority", "run_after", "deadline"))
            cursor.execute(f"update gristmill_{place} set {changes} where id = %s", [*binds, holder.id])
            return
        columns = _COPIED.format(priority="priority", run_after="run_after", deadline="deadline")
        if dialect == "postgres" and priority is not None:
            values["priority"] = "%s::smallint"
        cursor.execute(
            f"insert into gristmill_{place} ({columns}) "
            f"select {_COPIED.format(**values)} from gristmill_{holder.place} where id = %s",
            [*binds, holder.id],
        )
        cursor.execute(f"delete from gristmill_{holder.place} where id = %s", [holder.id])
