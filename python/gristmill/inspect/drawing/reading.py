"""Collects the graph around a job, breadth first: a bounded number of jobs, and of each its first neighbours."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from gristmill.inspect.drawing.critical import find_critical_path
from gristmill.inspect.drawing.graph import STATES, Edge, Fold, Graph, Node
from gristmill.inspect.drawing.layout import closing_edges
from gristmill.inspect.explaining.gates import brief, done, wanted
from gristmill.inspect.explaining.look import Look
from gristmill.inspect.questions import Question, Said, ask, id_bind, id_of
from gristmill.inspect.tables import counted, duration
from gristmill.models import Attempt, GateRow

if TYPE_CHECKING:
    from gristmill.models import Job

#: Neighbours of one job that are drawn; one more is drawn rather than told.
FAN = 8
#: Neighbours that are looked at and counted.
LOOKED_AT = 1_000
#: Attempts that are read for how long jobs took.
ATTEMPTS = 10_000
#: Edges between the jobs that are drawn.
EDGES = 10_000
#: Ids, and questions, in one statement.
IDS, QUESTIONS = 500, 50
SIDES = ("before", "after")


def read_graph(look: Look, *, depth: int, max_jobs: int) -> Graph:
    """Reads the graph around a look's job: so many steps before and after it, and at most so many jobs."""
    return Reader(look, depth, max(max_jobs, 1)).read()


class Reader:
    """One reading."""

    def __init__(self, look: Look, depth: int, max_jobs: int) -> None:
        self.look, self.depth, self.max_jobs = look, depth, max_jobs
        self.jobs: dict[UUID, Job | None] = {look.job.id: look.job}
        self.edges: dict[tuple[UUID, UUID], str] = {}
        self.folds: list[Fold] = []
        self.full = False

    def read(self) -> Graph:
        """Reads it all."""
        self.spread()
        self.close()
        root = self.look.job.id.hex
        graph = Graph(root, folds=self.folds)
        gates, seconds = self.gates(), self.seconds()
        for job_id, job in self.jobs.items():
            graph.nodes[job_id.hex] = self.node(job_id, job, gates.get(job_id), seconds.get(job_id))
        graph.edges = [Edge(one.hex, other.hex, state) for (one, other), state in sorted(self.edges.items())]
        find_critical_path(graph)
        if self.full:
            graph.notes.append(f"{self.max_jobs:,} jobs are drawn; --max-jobs draws more.")
        if any(not fold.others for fold in self.folds) and not self.full:
            steps = counted(self.depth, what="step")
            graph.notes.append(
                f"{steps} before and after the job {'is' if self.depth == 1 else 'are'} drawn; --depth draws more."
            )
        if closing_edges(list(graph.nodes), [(edge.precondition, edge.dependent) for edge in graph.edges]):
            graph.notes.append("Some of these jobs wait for each other in a circle: none of those will ever run.")
        return graph

    def spread(self) -> None:
        """Goes in both directions at once, step by step."""
        frontiers = {side: [self.look.job.id] for side in SIDES}
        for step in range(self.depth + 1):
            around = self.neighbours(frontiers)
            others = [other for edges, _ in around.values() for other in edges if other not in self.jobs]
            for start in range(0, len(others), IDS):
                self.look.jobs(others[start : start + IDS])
            # Beyond the last step there is only counted.
            fan = FAN if step < self.depth else 0
            frontiers = {
                side: [new for job_id in frontier for new in self.expand(job_id, side, fan, *around[side, job_id])]
                for side, frontier in frontiers.items()
            }
            if not any(frontiers.values()):
                return

    def expand(self, job_id: UUID, side: str, fan: int, edges: dict[UUID, str], at_least: bool) -> list[UUID]:
        """Takes in the neighbours of one job; gives those that are new."""
        new = [other for other in edges if other not in self.jobs]
        jobs = self.look.known
        new.sort(key=lambda other: (STATES.index(state_of(jobs.get(other), edges[other])), other))
        room = self.max_jobs - len(self.jobs)
        shown = len(new) if len(new) <= fan + 1 and fan and not at_least else fan
        if shown > room and len(new) > room:
            self.full = self.full or fan > 0
            shown = room
        drawn, folded = new[:shown], new[shown:]
        self.jobs |= {other: jobs.get(other) for other in drawn}
        for other, state in edges.items():
            if other in self.jobs:
                self.edges[(other, job_id) if side == "before" else (job_id, other)] = state
        if folded:
            states = Counter(state_of(jobs.get(other), edges[other]) for other in folded)
            self.folds.append(Fold(side, job_id.hex, dict(states), at_least, others=len(folded) < len(edges)))
        return drawn

    def neighbours(self, frontiers: dict[str, list[UUID]]) -> dict[tuple[str, UUID], tuple[dict[UUID, str], bool]]:
        """Returns the first neighbours of jobs with what their edges say, and whether there are more."""
        asked = {
            f"{side}_{job_id.hex}": edges_of(side, id_bind(self.look.connection, job_id))
            for side, frontier in frontiers.items()
            for job_id in frontier
        }
        said = self.ask(asked)
        found = {}
        for side, frontier in frontiers.items():
            for job_id in frontier:
                edges = sorted((id_of(other), state) for other, state in said[f"{side}_{job_id.hex}"])
                found[side, job_id] = dict(edges[:LOOKED_AT]), len(edges) > LOOKED_AT
        return found

    def close(self) -> None:
        """Takes in the edges between jobs that are drawn: probes by both their ends, whatever else either has."""
        binds = [id_bind(self.look.connection, job_id) for job_id in self.jobs]
        marks = ", ".join(["%s"] * len(binds))
        asked = {
            job_id.hex: Question(
                "dependent_id, state",
                "select dependent_id, state from gristmill_edge "
                f"where precondition_id = %s and dependent_id in ({marks}) limit %s",
                [pk, *binds, EDGES],
            )
            for job_id, pk in zip(self.jobs, binds, strict=True)
        }
        for precondition, rows in self.ask(asked).items():
            for dependent, state in rows:
                self.edges[UUID(precondition), id_of(dependent)] = state

    def ask(self, asked: dict[str, Question]) -> Said:
        """Asks so many at once as a statement takes."""
        said: Said = {}
        names = list(asked)
        for start in range(0, len(names), QUESTIONS):
            said |= ask(self.look.connection, **{name: asked[name] for name in names[start : start + QUESTIONS]})
        return said

    def gates(self) -> dict[UUID, GateRow]:
        """Returns the gates of the jobs that are drawn."""
        ids, found = list(self.jobs), {}
        for start in range(0, len(ids), IDS):
            for gate in GateRow.objects.using(self.look.using).filter(pk__in=ids[start : start + IDS]):
                found[gate.job_id] = gate
        return found

    def seconds(self) -> dict[UUID, float]:
        """Returns how long the attempts of each job took, in its newest generation."""
        ids, took = list(self.jobs), dict[UUID, float]()
        for start in range(0, len(ids), IDS):
            rows = Attempt.objects.using(self.look.using).filter(job_id__in=ids[start : start + IDS])
            columns = ("job_id", "generation", "claimed_at", "started_at", "ended_at")
            for job_id, generation, claimed_at, started_at, ended_at in rows.values_list(*columns)[:ATTEMPTS]:
                job = self.jobs[job_id]
                if job is not None and job.generation == generation:
                    took[job_id] = took.get(job_id, 0.0) + precise(started_at or claimed_at, ended_at)
        for job_id, job in self.jobs.items():
            if job is not None and job.state == "running" and job.claimed_at is not None:
                took[job_id] = took.get(job_id, 0.0) + precise(job.claimed_at, self.look.now)
        return took

    def node(self, job_id: UUID, job: Job | None, gate: GateRow | None, seconds: float | None) -> Node:
        """Makes what is drawn of a job."""
        if job is None:
            return Node(job_id.hex, "", "forgotten", "ended and forgotten")
        numbers: dict[str, Any] | None = None
        words = brief(self.look, job)
        if gate is not None:
            names = ("needed", "on_precondition_failure", "open", "successful", "failed")
            numbers = {name: getattr(gate, name) for name in names}
            total = gate.open + gate.successful + gate.failed
            if job.state == "waiting":
                words = f"waiting, {done(gate):,} of {wanted(gate):,} done"
            elif job.state == "stranded":
                words = f"stranded, {gate.failed:,} of {total:,} failed"
        if job.finished_at is not None:
            words = f"{job.state}: {job.reason}" if job.reason else job.state
            if seconds is not None:
                words += f", took {duration(seconds)}"
        return Node(job_id.hex, job.task_name, job.state, words, seconds, numbers)


def edges_of(side: str, pk: Any) -> Question:
    """Asks for the first edges of a job on one side of it, and for one more than is looked at."""
    own, other = ("dependent_id", "precondition_id") if side == "before" else ("precondition_id", "dependent_id")
    sql = f"select {other}, state from gristmill_edge where {own} = %s order by {other} limit %s"
    return Question(f"{other}, state", sql, [pk, LOOKED_AT + 1])


def precise(earlier: datetime, later: datetime) -> float:
    """Returns how long it was, never less than nothing."""
    return max((later - earlier).total_seconds(), 0.0)


def state_of(job: Job | None, edge: str) -> str:
    """Returns the state of a job; of one that is forgotten, what its edge says became of it."""
    if job is not None:
        return job.state
    return edge if edge in ("successful", "failed") else "forgotten"
