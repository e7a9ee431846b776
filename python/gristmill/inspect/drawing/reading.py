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
from gristmill.inspect.explaining.look import Look, jobs_by_id
from gristmill.inspect.tables import counted, duration
from gristmill.models import Attempt, EdgeRow, GateRow

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
#: Ids in one statement.
IDS = 500


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
        self.spread("before")
        self.spread("after")
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

    def spread(self, side: str) -> None:
        """Goes in one direction, step by step."""
        frontier = [self.look.job.id]
        for step in range(self.depth + 1):
            found: list[UUID] = []
            for job_id in frontier:
                # Beyond the last step there is only counted.
                found += self.expand(job_id, side, FAN if step < self.depth else 0)
            frontier = found
            if not frontier:
                return

    def expand(self, job_id: UUID, side: str, fan: int) -> list[UUID]:
        """Takes in the neighbours of one job; gives those that are new."""
        edges, at_least = self.neighbours(job_id, side)
        new = [other for other in edges if other not in self.jobs]
        jobs: dict[UUID, Job] = {}
        for start in range(0, len(new), IDS):
            jobs |= jobs_by_id(new[start : start + IDS], self.look.using)
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

    def neighbours(self, job_id: UUID, side: str) -> tuple[dict[UUID, str], bool]:
        """Returns the first neighbours of a job with what their edges say, and whether there are more."""
        own, other = ("dependent_id", "precondition_id") if side == "before" else ("precondition_id", "dependent_id")
        rows = EdgeRow.objects.using(self.look.using).filter(**{own: job_id}).order_by(other)
        found = list(rows.values_list(other, "state")[: LOOKED_AT + 1])
        return dict(found[:LOOKED_AT]), len(found) > LOOKED_AT

    def close(self) -> None:
        """Takes in the edges between jobs that are drawn."""
        ids = list(self.jobs)
        for start in range(0, len(ids), IDS):
            some = EdgeRow.objects.using(self.look.using).filter(dependent_id__in=ids[start : start + IDS])
            for first in range(0, len(ids), IDS):
                rows = some.filter(precondition_id__in=ids[first : first + IDS])
                for one, other, state in rows.values_list("precondition_id", "dependent_id", "state")[:EDGES]:
                    self.edges[one, other] = state

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


def precise(earlier: datetime, later: datetime) -> float:
    """Returns how long it was, never less than nothing."""
    return max((later - earlier).total_seconds(), 0.0)


def state_of(job: Job | None, edge: str) -> str:
    """Returns the state of a job; of one that is forgotten, what its edge says became of it."""
    if job is not None:
        return job.state
    return edge if edge in ("successful", "failed") else "forgotten"
