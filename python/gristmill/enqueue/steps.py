"""Small graphs in one line: `chain(a, group(b, c), d)`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from asgiref.sync import sync_to_async

from gristmill.compat import AnyTask, InvalidTask, Task
from gristmill.enqueue.graphs import Graph, GraphResults, Node
from gristmill.tasks.step import Step

if TYPE_CHECKING:
    Part: TypeAlias = "AnyTask | Step | Chain | Group"


class _Several:
    """What chains and groups share."""

    __slots__ = ("parts",)

    def __init__(self, parts: Iterable[Part]) -> None:
        self.parts: tuple[Step | Chain | Group, ...] = tuple(map(part_of, parts))

    def enqueue(self) -> GraphResults:
        """Enqueues all of it or nothing, and returns the results in the order of the steps."""
        graph = Graph()
        self.add_to(graph, [])
        return graph.enqueue()

    async def aenqueue(self) -> GraphResults:
        """See `enqueue`."""
        return await sync_to_async(self.enqueue)()

    def add_to(self, graph: Graph, after: list[Node]) -> list[Node]:
        """Adds it to a graph, and returns what waits for it has to wait for."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__.lower()}({', '.join(map(repr, self.parts))})"


class Chain(_Several):
    """Steps one after the other, made by `chain`."""

    __slots__ = ()

    def add_to(self, graph: Graph, after: list[Node]) -> list[Node]:
        """Each part waits for the one before it."""
        for part in self.parts:
            after = part.add_to(graph, after)
        return after

    def proceeding(self) -> Chain:
        """Returns it as it begins whatever becomes of what it waits for."""
        return Chain([self.parts[0].proceeding(), *self.parts[1:]])


class Group(_Several):
    """Steps side by side, made by `group`."""

    __slots__ = ()

    def add_to(self, graph: Graph, after: list[Node]) -> list[Node]:
        """All parts wait for the same; where there are none, what comes next does."""
        return [node for part in self.parts for node in part.add_to(graph, after)] or after

    def then(self, callback: Part) -> Chain:
        """
        Adds what runs after all of them, whether they succeeded or not; it sees how they ended.

        Of a chain, that is its first step. Where success matters, say `chain(group(…), step)`.
        """
        return Chain([self, part_of(callback).proceeding()])

    def proceeding(self) -> Group:
        """Returns it as all of it begins whatever becomes of what it waits for."""
        return Group(part.proceeding() for part in self.parts)


def chain(*parts: Part) -> Chain:
    """
    Returns steps that run one after the other: each once the one before it, or all of a group, has succeeded.

    A part is a step (`task.with_args(…)`), a task without arguments, a chain or a group. Where one fails, the rest is
    stranded until it is retried, unless a step's task says otherwise (`on_precondition_failure`).
    """
    if not parts:
        raise TypeError("chain needs at least one step")
    flat: list[Part] = []
    for part in parts:
        flat += part.parts if isinstance(part, Chain) else (part,)
    return Chain(flat)


def group(*parts: Part | Iterable[Part]) -> Group:
    """Returns steps that run side by side; parts as for `chain`, or one iterable of them. It may be empty."""
    if len(parts) == 1 and not isinstance(parts[0], (Step, _Several, Task)):
        (several,) = parts
        if not isinstance(several, Iterable):
            raise InvalidTask(wrong(several))
        return Group(several)
    return Group(parts)  # type: ignore[arg-type]


def part_of(given: Any) -> Step | Chain | Group:
    """Returns a part of a chain or group; raises InvalidTask for what is none."""
    if isinstance(given, (Step, Chain, Group)):
        return given
    if isinstance(given, Task):
        return Step(given, (), {})
    raise InvalidTask(wrong(given))


def wrong(given: object) -> str:
    """Says what a part must be."""
    return f"a step is task.with_args(…), a task, chain(…) or group(…); not {given!r:.200}"


__all__ = ["Chain", "Group", "Step", "chain", "group"]
