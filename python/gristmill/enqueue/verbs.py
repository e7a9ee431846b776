"""
Carries out an enqueue: the engine's own SQL, on Django's connection, in the transaction that is open there.

What another job with the key of a unique one means is decided by `conflict.sql`; here is only how often it is asked
again, and what a `merge` function is called with between two statements.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.database.missing_tables import raise_if_tables_missing
from gristmill.database.statements import Row, ask
from gristmill.database.wake import wake_after_commit
from gristmill.enqueue.new_job import Gate, NewJob, as_json, binds, own_json
from gristmill.exceptions import UniqueContention
from gristmill.tasks.calls import Call
from gristmill.tasks.fitting import Fit
from gristmill.tasks.preconditions import unknown_job
from gristmill.tasks.uniqueness import Unique
from gristmill.values.moments import from_utc, utc_text

#: Jobs of one statement: enough that the round trip is nothing, few enough that its binds stay small.
ROWS_PER_STATEMENT = 1_000
#: Edges of one statement.
EDGES_PER_STATEMENT = 20_000
#: How often an enqueue looks again when the holder of a key moves under its eyes. Each time someone else got further.
TRIES = 5


class Inserted(NamedTuple):
    """What the database says of a new job."""

    enqueued_at: datetime
    run_after: datetime | None
    # Whether a worker has said that it is idle.
    idle: bool


class Rule(NamedTuple):
    """What an enqueue does that meets another job with its key."""

    unique: Unique
    # What merged arguments have to be like.
    fit: Fit | None = None
    max_json_bytes: int = 0


class Waiting(NamedTuple):
    """Jobs that wait alike: for jobs that were there, and for such as are made in the same transaction."""

    jobs: Sequence[str]
    gate: Gate
    after: Sequence[str]
    after_new: Sequence[str] = ()


def enqueue_one(
    connection: BaseDatabaseWrapper,
    job: NewJob,
    now: datetime | None,
    gate: Gate | None = None,
    after: Sequence[str] | None = None,
) -> Inserted | None:
    """
    Inserts a job in one statement, by the clock `now` or the database's; None when its key belongs to another job.

    Raises UnknownJob for a precondition that is not there; nothing is left then.
    """
    waits = [None, None, None] if gate is None else [json.dumps(after), gate.needed, gate.on_precondition_failure]
    moment = None if now is None else utc_text(now)
    ((made, enqueued_at, due_at, idle, unknown),) = _ask(connection, "enqueue_one", [*binds(job, now), *waits, moment])
    if unknown is not None:
        raise unknown_job([hexed(each) for each in json.loads(unknown)], connection.alias)
    if not made:
        return None
    run_after = from_utc(due_at) if isinstance(job.run_after, timedelta) else job.run_after
    return Inserted(from_utc(enqueued_at), run_after, bool(idle))


def enqueue_unique(
    connection: BaseDatabaseWrapper,
    job: NewJob,
    rule: Rule,
    now: datetime | None,
    gate: Gate | None = None,
    after: Sequence[str] | None = None,
) -> Inserted | str:
    """
    Inserts a job with a key, or settles with the one that has it, whose id is returned (32 hex digits).

    Needs an open transaction. A job that is kept or replaced goes on waiting for what it waits for.
    """
    made: list[Inserted] = []

    def put(jobs: Sequence[NewJob]) -> Sequence[NewJob]:
        inserted = enqueue_one(connection, job, now, gate, after)
        if inserted is not None:
            made.append(inserted)
        return () if made else jobs

    assert job.key is not None
    held = _met(connection, put([job]), {job.key: rule}, now, put)
    return made[0] if made else held[job.key]


def enqueue_with_keys(
    connection: BaseDatabaseWrapper,
    jobs: Iterable[NewJob],
    rules: Mapping[str, Rule],
    moment: datetime,
    like: NewJob | None = None,
) -> dict[str, str]:
    """Inserts jobs that have keys of their own; returns, by key, the ids of those that had a key before."""

    def put(jobs: Sequence[NewJob]) -> Sequence[NewJob]:
        left = enqueue_jobs(connection, jobs, moment, like)
        return [job for job in jobs if job.id in left]

    return _met(connection, put(sorted(jobs, key=_key)), rules, moment, put)


def enqueue_jobs(
    connection: BaseDatabaseWrapper, jobs: Iterable[NewJob], moment: datetime, like: NewJob | None = None
) -> set[str]:
    """
    Inserts jobs, all enqueued at one moment; returns the ids of those whose key belongs to another.

    Those with keys come in the order of the keys, which are taken in that order: two bulk enqueues cannot wait for
    each other in a circle. Where they are `like` one job but for id, arguments and key, the rest is said once.
    """
    left: set[str] = set()
    shared = None if like is None else _text(as_json(like))
    say = as_json if like is None else own_json
    for chunk in chunks(jobs, ROWS_PER_STATEMENT):
        rows = _ask(connection, "enqueue", [_text([say(job) for job in chunk]), utc_text(moment), shared])
        left.update(hexed(job_id) for _, job_id, _ in rows if job_id is not None)
    return left


def enqueue_gates(connection: BaseDatabaseWrapper, waiting: Iterable[Waiting], moment: datetime) -> None:
    """Gives jobs of this transaction what they wait for."""
    for chunk in _by_edges(waiting):
        gates = [
            {
                "jobs": one.jobs,
                "needed": one.gate.needed,
                "on_precondition_failure": one.gate.on_precondition_failure,
                "after": one.after,
                "after_new": one.after_new,
            }
            for one in chunk
        ]
        _ask(connection, "enqueue_gates", [_text(gates), utc_text(moment)])


def refuse_unknown(connection: BaseDatabaseWrapper, job_ids: Iterable[str]) -> None:
    """Raises UnknownJob when the database does not know all of these jobs; those it knows stay until the commit."""
    missing: list[str] = []
    for chunk in chunks(job_ids, ROWS_PER_STATEMENT):
        missing += (hexed(job_id) for (job_id,) in _ask(connection, "unknown_jobs", [_text(chunk)]))
    if missing:
        raise unknown_job(missing, connection.alias)


def _key(job: NewJob) -> str:
    assert job.key is not None
    return job.key


def _met(
    connection: BaseDatabaseWrapper,
    jobs: Sequence[NewJob],
    rules: Mapping[str, Rule],
    now: datetime | None,
    put: Callable[[Sequence[NewJob]], Sequence[NewJob]],
) -> dict[str, str]:
    """
    Settles with the jobs that have the keys of these, and returns their ids by key.

    `put` asks for jobs again and returns those that are still in the way of another: a key may have become free. Needs
    an open transaction. Raises UniqueContention when a key went from hand to hand all the while.
    """
    held: dict[str, str] = {}
    for attempt in range(TRIES):
        if attempt:
            jobs = put(jobs)
        for chunk in chunks(jobs, ROWS_PER_STATEMENT):
            held |= _settle(connection, chunk, rules, now)
        jobs = [job for job in jobs if job.key not in held]
        if not jobs:
            return held
    raise UniqueContention(
        f"{jobs[0].task_name}: in {TRIES} tries its unique key belonged to another job each time, which had moved on "
        "before it could be kept; enqueue again"
    )


def _settle(
    connection: BaseDatabaseWrapper, jobs: Sequence[NewJob], rules: Mapping[str, Rule], now: datetime | None
) -> dict[str, str]:
    merging = [job.key for job in jobs if job.key and rules[job.key].unique.on_conflict == "merge"]
    holders = {row[0]: row[2:] for row in _ask(connection, "holders", [_text(merging)])} if merging else {}
    conflicts: list[dict[str, Any]] = []
    for job in jobs:
        assert job.key is not None
        rule = rules[job.key]
        on_conflict: str = rule.unique.on_conflict
        if on_conflict == "merge":
            replaces, *stored = holders.get(job.key, (False,))
            on_conflict = "replace" if replaces else "keep"
            if replaces:
                job = _merged(job, rule, *stored)
        conflicts.append(as_json(job) | {"on_conflict": on_conflict})
    rows = _ask(connection, "conflict", [_text(conflicts), None if now is None else utc_text(now)])
    if any(has_moved for _, _, has_moved in rows):
        wake_after_commit(connection)
    return {key: hexed(job_id) for key, job_id, _ in rows if job_id is not None}


def _merged(job: NewJob, rule: Rule, args: str, kwargs: str) -> NewJob:
    from gristmill.models.fields import read_json

    assert rule.unique.merge is not None and rule.fit is not None
    stored = read_json(args), read_json(kwargs)
    if not isinstance(stored[0], list) or not isinstance(stored[1], dict):
        # There is nothing to merge with.
        return job
    merged = rule.unique.merge(*stored, json.loads(job.args_json), json.loads(job.kwargs_json))
    if not isinstance(merged, Call):
        raise TypeError(f"{job.task_name}: merge must return gristmill.call(…), not {type(merged).__name__}")
    rule.fit.refuse_misfit(*merged, "merge: ")
    args_json, kwargs_json = rule.fit.encoded(*merged, max_bytes=rule.max_json_bytes, where="merge.")
    return job._replace(args_json=args_json, kwargs_json=kwargs_json)


def _by_edges(waiting: Iterable[Waiting]) -> Iterator[list[Waiting]]:
    """Yields what one statement takes: so many jobs or edges, or one job with however many it waits for."""
    chunk: list[Waiting] = []
    jobs = edges = 0
    for one in waiting:
        chunk.append(one)
        jobs += len(one.jobs)
        edges += len(one.jobs) * (len(one.after) + len(one.after_new))
        if jobs >= ROWS_PER_STATEMENT or edges >= EDGES_PER_STATEMENT:
            yield chunk
            chunk, jobs, edges = [], 0, 0
    if chunk:
        yield chunk


def _ask(connection: BaseDatabaseWrapper, verb: str, given: Sequence[Any]) -> list[Row]:
    try:
        return ask(connection, verb, given)
    except DatabaseError as error:
        raise_if_tables_missing(error, connection)
        raise


def chunks(rows: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Yields rows in lists of so many."""
    rest = iter(rows)
    while chunk := list(islice(rest, size)):
        yield chunk


def hexed(job_id: str) -> str:
    """Returns an id in 32 hex digits, however the database writes it."""
    return job_id.replace("-", "")


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
