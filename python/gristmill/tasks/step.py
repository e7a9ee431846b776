"""A task with its arguments: what chains, groups and graphs are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from gristmill.compat import AnyTask

if TYPE_CHECKING:
    from gristmill.enqueue.graphs import Graph, Node
    from gristmill.results.result import JobResult


class Step:
    """A task with its arguments, made by `task.with_args(…)`; nothing is enqueued yet."""

    __slots__ = ("args", "kwargs", "task")

    def __init__(self, task: AnyTask, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self.task, self.args, self.kwargs = task, args, kwargs

    def enqueue(self) -> JobResult[..., Any]:
        """Enqueues it alone."""
        task: Any = self.task
        result: JobResult[..., Any] = task.enqueue(*self.args, **self.kwargs)
        return result

    async def aenqueue(self) -> JobResult[..., Any]:
        """See `enqueue`."""
        return await sync_to_async(self.enqueue)()

    def add_to(self, graph: Graph, after: list[Node]) -> list[Node]:
        """Adds it to a graph, and returns what waits for it has to wait for."""
        return [graph.add(self, after=after)]

    def proceeding(self) -> Step:
        """Returns it as it runs whatever becomes of what it waits for."""
        task: Any = self.task
        return Step(task.using(on_precondition_failure="proceed"), self.args, self.kwargs)

    def __repr__(self) -> str:
        return f"<Step {self.task.name}>"
