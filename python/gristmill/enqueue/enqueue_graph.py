"""How a graph is enqueued: deadlines passed backwards in memory, then jobs, gates and edges in bulk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from datetime import timezone as dt_timezone
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from gristmill.compat import AnyTask, task_backends, task_enqueued
from gristmill.database.transactions import read_committed
from gristmill.enqueue.bulk import enqueue_moment, someone_listens
from gristmill.enqueue.graphs import GraphResults, Node, ordered
from gristmill.enqueue.new_job import Gate, NewJob
from gristmill.enqueue.preparation import Prepared, prepared_for, with_key
from gristmill.enqueue.verbs import Rule, Waiting, enqueue_gates, enqueue_jobs, enqueue_with_keys, refuse_unknown
from gristmill.results.result import JobResult, fresh_result
from gristmill.tasks.preconditions import ids_on
from gristmill.tasks.task import unchecked_copy
from gristmill.values.bounds import USUAL_DEADLINE, later
from gristmill.values.ids import new_id

if TYPE_CHECKING:
    from gristmill.backend import GristmillBackend


@dataclass
class Kind:
    """What the nodes of one task have in common."""

    # With its date worked out.
    task: AnyTask
    prepared: Prepared
    # Its own, or that of the job that runs here; None for the usual one.
    deadline: datetime | None
    # When it is to be done, by whichever of them.
    wanted_by: datetime


def enqueue_graph(backend: GristmillBackend, nodes: Sequence[Node], order: Sequence[int]) -> GraphResults:
    """Enqueues the nodes of a graph; `order` has each after those that it waits for."""
    connection = connections[backend.database]
    if not connection.in_atomic_block:
        backend.refuse_other_transactions(connection)
    with read_committed(connection.alias):
        others = {one.id: one for node in nodes for one in node.others}
        refuse_unknown(connection, ids_on(connection.alias, list(others.values())))
        results = Enqueue(backend, connection, nodes, order).run()
        if nodes:
            backend.wake(connection)
    if someone_listens():
        for result in results.made():
            task_enqueued.send(type(task_backends[result.backend]), task_result=result)
    return results


class Enqueue:
    """One enqueue of a graph, in a transaction."""

    def __init__(
        self, backend: GristmillBackend, connection: BaseDatabaseWrapper, nodes: Sequence[Node], order: Sequence[int]
    ) -> None:
        self.backend, self.connection, self.nodes, self.order = backend, connection, nodes, order
        self.enqueued_at = enqueue_moment(backend, connection)
        # By the id of the task object; nodes keep their tasks alive.
        self.kinds: dict[int, Kind] = {}
        self.ids = [new_id().hex for _ in nodes]
        self.existing: dict[int, JobResult[..., Any]] = {}

    def run(self) -> GraphResults:
        """Inserts all there is to insert."""
        for node in self.nodes:
            if id(node.task) not in self.kinds:
                self.kinds[id(node.task)] = self._kind(node.task)
        deadlines = self._deadlines()
        awaited = {number for node in self.nodes for number in node.nodes}
        keyed: list[tuple[int, NewJob]] = []
        enqueue_jobs(self.connection, self._rows(deadlines, awaited, keyed), self.enqueued_at)
        if keyed:
            self._enqueue_keyed(keyed)
        enqueue_gates(self.connection, self._waiting(), self.enqueued_at)
        tasks = {key: kind.task for key, kind in self.kinds.items()}
        return GraphResults(list(self.nodes), self.ids, self.enqueued_at, tasks, self.existing)

    def _kind(self, task: AnyTask) -> Kind:
        backend: Any = task_backends[task.backend]
        backend.validate_task(task)
        prepared = prepared_for(backend, task)
        if isinstance(task.run_after, timedelta):
            task = unchecked_copy(task, run_after=later(self.enqueued_at, task.run_after))
        deadline = prepared.deadline_at(self.enqueued_at)
        usual = (task.run_after or self.enqueued_at) + USUAL_DEADLINE
        return Kind(task, prepared, deadline, in_utc(usual if deadline is None else deadline))

    def _deadlines(self) -> dict[int, datetime]:
        """Returns the deadlines of nodes that others want earlier than they do themselves: from the last one back."""
        wanted = [self.kinds[id(node.task)].wanted_by for node in self.nodes]
        earlier: dict[int, datetime] = {}
        for number in reversed(self.order):
            for precondition in self.nodes[number].nodes:
                if wanted[number] < wanted[precondition]:
                    wanted[precondition] = earlier[precondition] = wanted[number]
        return earlier

    def _rows(
        self, deadlines: dict[int, datetime], awaited: set[int], keyed: list[tuple[int, NewJob]]
    ) -> Iterator[NewJob]:
        """Yields the rows of jobs; those that need a key are put aside."""
        limit = self.backend.max_json_bytes
        for number, node in enumerate(self.nodes):
            kind = self.kinds[id(node.task)]
            task, prepared = kind.task, kind.prepared
            prepared.fit.refuse_misfit(node.args, node.kwargs, f"nodes[{number}]: ")
            args, kwargs = prepared.fit.encoded(node.args, node.kwargs, max_bytes=limit, where=f"nodes[{number}].")
            row = NewJob(
                id=self.ids[number],
                backend=task.backend,
                queue_name=task.queue_name,
                task_name=prepared.task_name,
                priority=int(task.priority),
                run_after=task.run_after,
                deadline=deadlines.get(number, kind.deadline),
                args_json=args,
                kwargs_json=kwargs,
                options_json=prepared.options_json,
                retention=prepared.retention,
                waits=bool(node.nodes or node.others),
                held=prepared.held,
                awaited=number in awaited,
            )
            if prepared.key_maker is None:
                yield row
            else:
                key = prepared.key_maker.key(node.args, node.kwargs)
                keyed.append((number, with_key(row, prepared, key)))

    def _enqueue_keyed(self, keyed: list[tuple[int, NewJob]]) -> None:
        """Inserts what has a key of its own: all keys in their order first, then what others hold, in that order."""
        first: dict[str, tuple[int, NewJob]] = {}
        repeats: dict[int, int] = {}
        for number, row in keyed:
            assert row.key is not None
            if row.key in first:
                repeats[number] = first[row.key][0]
            else:
                first[row.key] = (number, row)
        rules: dict[str, Rule] = {}
        for key, (number, _) in first.items():
            rules[key] = self.kinds[id(self.nodes[number].task)].prepared.rule
        met = enqueue_with_keys(self.connection, (row for _, row in first.values()), rules, self.enqueued_at)
        holders = {first[key][0]: job_id for key, job_id in met.items()}
        found = self.backend.existing_results(holders.values())
        for number, job_id in holders.items():
            self.ids[number], self.existing[number] = job_id, found[job_id]
        if repeats:
            # Two that became one job may have closed a circle.
            ordered(self.nodes, {**{number: number for number in holders}, **repeats})
        for number, of in repeats.items():
            self.ids[number] = self.ids[of]
            self.existing[number] = self.existing.get(of) or self._repeated(of)

    def _repeated(self, of: int) -> JobResult[..., Any]:
        node = self.nodes[of]
        task = self.kinds[id(node.task)].task
        stored = list(node.args), dict(node.kwargs)
        return fresh_result(task, task.backend, self.ids[of], self.enqueued_at, *stored, existing=True)

    def _waiting(self) -> Iterator[Waiting]:
        """Yields what the jobs that were made wait for; new jobs need not be resolved."""
        made = {job_id for number, job_id in enumerate(self.ids) if number not in self.existing}
        for number, node in enumerate(self.nodes):
            if number in self.existing or not (node.nodes or node.others):
                continue
            own = self.ids[number]
            asked = [self.ids[each] for each in node.nodes] + [one.id for one in node.others]
            # Two nodes may have become one job, and a node may have become what it waits for.
            after = [job_id for job_id in dict.fromkeys(asked) if job_id != own]
            old = [job_id for job_id in after if job_id not in made]
            prepared = self.kinds[id(node.task)].prepared
            gate = Gate(prepared.needed, prepared.on_precondition_failure)
            yield Waiting([own], gate, old, [job_id for job_id in after if job_id in made])


def in_utc(moment: datetime) -> datetime:
    """Returns a moment in the one form in which any two can be compared."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.get_default_timezone())
    return moment.astimezone(dt_timezone.utc)
