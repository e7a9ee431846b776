"""Whole graphs of jobs that wait for each other, enqueued together: thousands of rows a statement, all or none."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias, cast, overload

from asgiref.sync import sync_to_async

from gristmill.compat import AnyTask, InvalidTask, TaskResult, task_backends
from gristmill.exceptions import GraphCycle
from gristmill.results.result import JobResult, fresh_result
from gristmill.tasks.preconditions import Precondition, preconditions
from gristmill.tasks.step import Step
from gristmill.tasks.task import task_name_of

if TYPE_CHECKING:
    from gristmill.backend import GristmillBackend
    from gristmill.tasks.preconditions import OnePrecondition

    AfterInGraph: TypeAlias = "Node | OnePrecondition | Iterable[Node | OnePrecondition]"

#: Tasks that the error of a cycle names; a longer one is shortened.
NAMED = 10


class Node:
    """A job of a graph that is not enqueued yet."""

    __slots__ = ("args", "graph", "kwargs", "nodes", "number", "others", "task")

    def __init__(self, graph: Graph, number: int, task: AnyTask, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.graph, self.number = graph, number
        self.task, self.args, self.kwargs = task, args, kwargs
        # What it waits for: nodes by their numbers, and jobs that are there already.
        self.nodes: tuple[int, ...] = ()
        self.others: tuple[Precondition, ...] = ()

    def after(self, *preconditions: AfterInGraph) -> Node:
        """
        Has it wait for these too: nodes of its graph, or jobs that are there already. Returns itself.

        Raises InvalidTask for anything else, naming the node's task.
        """
        nodes, others = dict.fromkeys(self.nodes), {one.id: one for one in self.others}
        for each in preconditions:
            for one in _each(each):
                if isinstance(one, Node):
                    if one.graph is not self.graph:
                        raise InvalidTask(f"{task_name_of(self.task)}: after names a node of another graph")
                    nodes[one.number] = None
                else:
                    others.update({other.id: other for other in self._jobs(one)})
        self.nodes, self.others = tuple(nodes), tuple(others.values())
        return self

    def _jobs(self, given: Any) -> tuple[Precondition, ...]:
        try:
            return preconditions(given)
        except ValueError as error:
            raise InvalidTask(f"{task_name_of(self.task)}: after {error}, or a node of the graph") from None

    def __repr__(self) -> str:
        return f"<Node {self.number}: {task_name_of(self.task)}>"


class Graph:
    """
    Jobs that wait for each other, to be enqueued together.

        graph = Graph()
        a = graph.add(fetch, 7)
        b = graph.add(resize.using(priority=5), 7, after=a)
        results = graph.enqueue()
        results[b].status

    Tasks, queues and options may differ; all of it goes to one database. What a node waits for is `after`, of its
    task's options too. A deadline is given to all that its job waits for. Of nodes with one unique key the first makes
    the job, unless it is there already; what waits for the others waits for that job.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def add(self, task: AnyTask | Step, *args: Any, after: AfterInGraph | None = None, **kwargs: Any) -> Node:
        """
        Adds a job and returns its node, which others may name in `after`.

        A task that takes an argument called `after` is given as a step: `graph.add(task.with_args(after=3))`.
        """
        if isinstance(task, Step):
            if args or kwargs:
                raise TypeError("graph.add takes arguments with a task, or a step that has its own, not both")
            step = task
            task, args, kwargs = step.task, step.args, dict(step.kwargs)
        node = Node(self, len(self.nodes), task, args, kwargs)
        given = getattr(getattr(task, "options", None), "after", ())
        if isinstance(given, tuple):
            node.others = given
        if after is not None:
            node.after(after)
        self.nodes.append(node)
        return node

    def enqueue(self) -> GraphResults:
        """
        Enqueues all of it or nothing, in the caller's transaction or one of its own; enqueued again it makes new jobs.

        Raises GraphCycle where jobs would wait for each other in a circle, UnknownJob for something to wait for that is
        not there, InvalidTask where tasks go to several databases, and what `Task.enqueue` raises, naming the node:
        `nodes[17].args[0]: set is not JSON`.
        """
        order = ordered(self.nodes)
        return self._backend().enqueue_graph(self.nodes, order)

    async def aenqueue(self) -> GraphResults:
        """See `enqueue`."""
        return await sync_to_async(self.enqueue)()

    def _backend(self) -> GristmillBackend:
        """Returns the backend that takes the graph, which may be of several aliases on one database."""
        backends: dict[str, Any] = {node.task.backend: task_backends[node.task.backend] for node in self.nodes}
        places = {alias: getattr(backend, "database", alias) for alias, backend in backends.items()}
        for alias, backend in backends.items():
            if not hasattr(backend, "enqueue_graph"):
                raise InvalidTask(
                    f"a graph cannot be enqueued through backend '{alias}' of TASKS: it is not Gristmill's"
                )
        if len(set(places.values())) > 1:
            said = ", ".join(f"'{alias}' to '{place}'" for alias, place in places.items())
            raise InvalidTask(f"the jobs of a graph go to one database, and of its backends go {said}")
        return cast("GristmillBackend", next(iter(backends.values()), task_backends["default"]))


class GraphResults(Sequence["JobResult[..., Any]"]):
    """
    The results of a graph, in the order in which its nodes were added; each is built when it is first looked at.

    `results[node]` is a node's own. The result of a node that met a job with its unique key is that job's, with
    `existing` true.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        ids: list[str],
        enqueued_at: datetime | None,
        tasks: dict[int, AnyTask],
        known: dict[int, JobResult[..., Any]],
    ) -> None:
        self._nodes, self._enqueued_at, self._tasks = nodes, enqueued_at, tasks
        #: The ids of the jobs.
        self.ids = ids
        # Results of jobs that were there already, by the node's number; and those that somebody has looked at, who may
        # have refreshed them.
        self._known = known
        self._seen: dict[int, JobResult[..., Any]] = {}

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int | Node) -> JobResult[..., Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[JobResult[..., Any]]: ...
    def __getitem__(self, index: int | Node | slice) -> JobResult[..., Any] | list[JobResult[..., Any]]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        if isinstance(index, Node):
            if index.number >= len(self) or self._nodes[index.number] is not index:
                raise KeyError(f"{index!r} is of another graph, or was added later")
            index = index.number
        index = range(len(self))[index]
        known = self._known.get(index) or self._seen.get(index)
        if known is None:
            known = self._seen[index] = self._new(index)
        return known

    def _new(self, number: int) -> JobResult[..., Any]:
        node = self._nodes[number]
        task = self._tasks.get(id(node.task), node.task)
        stored = list(node.args), dict(node.kwargs)
        return fresh_result(task, task.backend, self.ids[number], self._enqueued_at, *stored)

    @property
    def last(self) -> JobResult[..., Any]:
        """The result of the node that was added last: of a chain, its last step."""
        return self[-1]

    def made(self) -> Iterator[JobResult[..., Any]]:
        """Yields the results of the jobs that were made here."""
        return (self._new(number) for number in range(len(self)) if number not in self._known)


def graph_one_by_one(nodes: Sequence[Node], order: Sequence[int]) -> GraphResults:
    """Enqueues each node by itself, through whichever backend, after those that it waits for."""
    results: dict[int, JobResult[..., Any]] = {}
    for number in order:
        node = nodes[number]
        task: Any = node.task
        if node.nodes or node.others:
            task = task.using(after=[*(results[each] for each in node.nodes), *node.others])
        backend: Any = task_backends[task.backend]
        results[number] = backend.enqueue(task, list(node.args), dict(node.kwargs))
    return GraphResults(list(nodes), [results[number].id for number in range(len(nodes))], None, {}, results)


def ordered(nodes: Sequence[Node], same: Mapping[int, int] = MappingProxyType({})) -> list[int]:
    """
    Returns the numbers of nodes, each after all that it waits for; raises GraphCycle, naming the tasks of one.

    `same` has the nodes that became another's job: they wait for nothing, and what waits for them waits for that one.
    """
    above: list[Collection[int]] = [node.nodes for node in nodes]
    if same:
        above = [
            () if number in same else {same.get(each, each) for each in edges} - {number}
            for number, edges in enumerate(above)
        ]
    dependents: list[list[int]] = [[] for _ in nodes]
    open_edges = [len(edges) for edges in above]
    for dependent, edges in enumerate(above):
        for number in edges:
            dependents[number].append(dependent)
    order = [number for number, count in enumerate(open_edges) if not count]
    for number in order:
        for dependent in dependents[number]:
            open_edges[dependent] -= 1
            if not open_edges[dependent]:
                order.append(dependent)
    if len(order) < len(nodes):
        raise GraphCycle(_told(nodes, _cycle(above, open_edges)))
    return order


def _cycle(above: Sequence[Collection[int]], open_edges: list[int]) -> list[int]:
    """Returns a cycle among the nodes that could not be ordered: each waits for the next, the last for the first."""
    place: dict[int, int] = {}
    walk: list[int] = []
    here = next(number for number, count in enumerate(open_edges) if count)
    while here not in place:
        place[here] = len(walk)
        walk.append(here)
        # One that could not be ordered waits for another such.
        here = next(number for number in above[here] if open_edges[number])
    return walk[place[here] :]


def _told(nodes: Sequence[Node], cycle: list[int]) -> str:
    names = [f"{task_name_of(nodes[number].task)} (nodes[{number}])" for number in cycle]
    if len(names) == 1:
        return f"{names[0]} waits for itself"
    if len(names) > NAMED:
        names[NAMED - 1 : -1] = [f"… {len(names) - NAMED:,} more …"]
    return f"these jobs wait for each other in a circle: {' waits for '.join([*names, names[0]])}"


def _each(given: Any) -> Iterable[Any]:
    """Yields what is given one by one, where it is several."""
    if isinstance(given, (Node, TaskResult, str, bytes)) or not isinstance(given, Iterable):
        return (given,)
    return given


__all__ = ["Graph", "GraphResults", "Node"]
