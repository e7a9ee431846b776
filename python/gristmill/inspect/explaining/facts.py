"""What is known about one job beside its own row, in one statement: the moment, its edges, its gate, who did what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.inspect.questions import Question, Said, ask, clock, id_bind, id_of, moment_of
from gristmill.models import GateRow

#: Attempts, edges and propagations are counted to here.
CAP = 1_000
#: Edges that are named each way; of the gate's, of each state. One more than are told.
NAMED = 6
#: Edges of a gate that are read to find those.
EDGES = 10_000
#: Propagations that are looked through, the oldest of each kind.
LOOKED_THROUGH = 10_000
#: What people did, the newest; and attempts whose workers are named.
ACTIONS, ATTEMPTS = 50, 100
#: Paused queues of an alias.
QUEUES = 10_000
PROPAGATIONS = ("notify", "resolve", "evaluate", "raise_deadline")
GATE = ("job_id", "needed", "on_precondition_failure", "epoch", "armed_at", "resolved", "open", "successful", "failed")


class Did(NamedTuple):
    """What somebody did to the job."""

    verb: str
    actor: str
    acted_at: datetime
    # Of a job that was run again: the new one, or the old.
    other: UUID | None


class WorkerKnown(NamedTuple):
    """A worker that has the job, or had one of its last attempts."""

    label: str
    host: str
    pid: int
    heartbeat_at: datetime
    lease_seconds: float
    # It stopped, or was given up.
    is_gone: bool


class LastAttempt(NamedTuple):
    """How the newest attempt ended."""

    token: int
    outcome: str
    reason: str | None
    traceback: str | None


@dataclass(frozen=True)
class Facts:
    """All of it; counts stop at CAP + 1."""

    now: datetime
    gate: GateRow | None
    # The first of the gate's preconditions by their state, "open" or "failed".
    gate_first: dict[str, list[UUID]]
    # The first edges each way, "before" and "behind": who is at the other end, and the edge's state. And their numbers.
    edges: dict[str, list[tuple[UUID, str]]]
    edge_counts: dict[str, int]
    # By their kinds.
    propagations: dict[str, int]
    cancel_asked_at: datetime | None
    # The newest first.
    actions: list[Did]
    attempt_count: int
    last: LastAttempt | None
    workers: dict[UUID, WorkerKnown]
    # Of the job's alias: why, and since when.
    paused: dict[str, tuple[str, datetime]]
    # The keys that it has, and the tick that it is of.
    keys: set[str]
    tick: tuple[str, datetime] | None

    def last_action(self, verb: str) -> Did | None:
        """Returns who did so last."""
        return next((did for did in self.actions if did.verb == verb), None)


def facts_of(job_id: UUID, backend: str, connection: BaseDatabaseWrapper) -> Facts:
    """Asks for all of it, each within its own bound."""
    pk = id_bind(connection, job_id)
    said = ask(
        connection,
        now=clock(connection),
        gate=gate_asked(pk),
        gate_open=gate_edges_asked(pk, "open"),
        gate_failed=gate_edges_asked(pk, "failed"),
        **edges_asked("before", "precondition_id", "dependent_id", pk),
        **edges_asked("behind", "dependent_id", "precondition_id", pk),
        **{kind: propagations_asked(kind, pk) for kind in PROPAGATIONS},
        cancel=Question("asked_at", "select asked_at from gristmill_cancel_request where job_id = %s", [pk]),
        actions=Question(
            "verb, actor, other_id, acted_at, id",
            "select verb, actor, other_id, acted_at, id from gristmill_action where job_id = %s "
            "order by acted_at desc, id desc limit %s",
            [pk, ACTIONS],
        ),
        attempts=counted("gristmill_attempt where job_id = %s", pk),
        last=Question(
            "token, outcome, reason, traceback",
            "select token, outcome, reason, traceback from gristmill_attempt where job_id = %s "
            "order by token desc limit 1",
            [pk],
        ),
        workers=workers_asked(pk),
        paused=Question(
            "queue_name, reason, paused_at",
            "select queue_name, reason, paused_at from gristmill_queue where backend = %s limit %s",
            [backend, QUEUES],
        ),
        keys=Question("key", "select key from gristmill_unique_key where job_id = %s limit %s", [pk, CAP]),
        tick=Question(
            "schedule, nominal", "select schedule, nominal from gristmill_tick where job_id = %s limit 1", [pk]
        ),
    )
    acts = sorted(said["actions"], key=newest_first)
    return Facts(
        now=moment_of(said["now"][0][0]),
        gate=gate_said(said["gate"]),
        gate_first={state: ids_said(said[f"gate_{state}"]) for state in ("open", "failed")},
        edges={way: sorted((id_of(other), state) for other, state in said[way]) for way in ("before", "behind")},
        edge_counts={way: number(said, f"{way}_count") for way in ("before", "behind")},
        propagations={kind: count for kind in PROPAGATIONS if (count := number(said, kind))},
        cancel_asked_at=next((moment_of(asked_at) for (asked_at,) in said["cancel"]), None),
        actions=[
            Did(verb, actor, moment_of(acted_at), None if other is None else id_of(other))
            for verb, actor, other, acted_at, _ in acts
        ],
        attempt_count=number(said, "attempts"),
        last=next((LastAttempt(*row) for row in said["last"]), None),
        workers={
            id_of(worker_id): WorkerKnown(label, host, pid, moment_of(heartbeat_at), lease_seconds, bool(is_gone))
            for worker_id, label, host, pid, heartbeat_at, lease_seconds, is_gone in said["workers"]
        },
        paused={name: (reason, moment_of(paused_at)) for name, reason, paused_at in said["paused"]},
        keys={key for (key,) in said["keys"]},
        tick=next(((schedule, moment_of(nominal)) for schedule, nominal in said["tick"]), None),
    )


def newest_first(row: list[Any]) -> tuple[float, int]:
    """Returns what actions sort by, the newest first."""
    *_, acted_at, action_id = row
    return -moment_of(acted_at).timestamp(), -id_of(action_id).int


def gate_asked(pk: Any) -> Question:
    """Asks for a job's gate."""
    columns = ", ".join(GATE)
    return Question(columns, f"select {columns} from gristmill_gate where job_id = %s", [pk])


def gate_said(rows: list[list[Any]]) -> GateRow | None:
    """Returns the gate that was asked for."""
    for row in rows:
        values = dict(zip(GATE, row, strict=True))
        values |= {"job_id": id_of(values["job_id"]), "armed_at": moment_of(values["armed_at"])}
        return GateRow(**{**values, "resolved": bool(values["resolved"])})
    return None


def gate_edges_asked(pk: Any, state: str, limit: int = NAMED) -> Question:
    """
    Asks for the first preconditions of a job's gate that are in a state, among its first edges.

    Until a gate is resolved, nobody has said which edges count; then only those of its epoch do.
    """
    return Question(
        "precondition_id",
        "select precondition_id from (select precondition_id, state, epoch from gristmill_edge where dependent_id = %s "
        "order by precondition_id limit %s) as first where state = %s and epoch = coalesce("
        "(select gate.epoch from gristmill_gate gate where gate.job_id = %s and gate.resolved), epoch) "
        "order by precondition_id limit %s",
        [pk, EDGES, state, pk, limit],
    )


def ids_said(rows: list[list[Any]]) -> list[UUID]:
    """Returns ids, sorted."""
    return sorted(id_of(job_id) for (job_id,) in rows)


def edges_asked(way: str, other: str, own: str, pk: Any) -> dict[str, Question]:
    """Asks for a job's first edges in one direction, and how many there are."""
    return {
        way: Question(
            f"{other}, state",
            f"select {other}, state from gristmill_edge where {own} = %s order by {other} limit %s",
            [pk, NAMED],
        ),
        f"{way}_count": counted(f"gristmill_edge where {own} = %s", pk),
    }


def counted(what: str, pk: Any) -> Question:
    """Asks for a number of rows, to just beyond CAP."""
    return Question(
        "number", f"select count(*) as number from (select 1 from {what} limit %s) as counted", [pk, CAP + 1]
    )


def propagations_asked(kind: str, pk: Any) -> Question:
    """Asks for a job's propagations, along the index of what is due: nothing leads from a job to them."""
    return Question(
        "number",
        "select count(*) as number from (select job_id, other_id from gristmill_propagation where kind = %s "
        "order by kind, due_at, id limit %s) as looked_through where job_id = %s or other_id = %s",
        [kind, LOOKED_THROUGH, pk, pk],
    )


def workers_asked(pk: Any) -> Question:
    """Asks who has the job, and who had it in its last attempts."""
    return Question(
        "id, label, host, pid, heartbeat_at, lease_seconds, is_gone",
        "select id, label, host, pid, heartbeat_at, lease_seconds, "
        "stopped_at is not null or lost_at is not null as is_gone from gristmill_worker where id in ("
        "select worker_id from (select worker_id from gristmill_attempt where job_id = %s "
        "order by token desc limit %s) as tried union select worker_id from gristmill_running where id = %s)",
        [pk, ATTEMPTS, pk],
    )


def number(said: Said, name: str) -> int:
    """Returns a number that was asked for."""
    ((found,),) = said[name]
    return int(found)
