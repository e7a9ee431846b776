"""The longest way through a job: what it has cost in time to come so far, by what was recorded."""

from __future__ import annotations

from collections import deque

from gristmill.inspect.drawing.graph import Graph


def find_critical_path(graph: Graph) -> None:
    """Notes the way through the root whose attempts took longest; none where nothing has run."""
    seconds = {node.id: node.seconds or 0.0 for node in graph.nodes.values()}
    before = longest(graph, seconds, graph.root, backwards=True)
    after = longest(graph, seconds, graph.root, backwards=False)
    path = [*reversed(before), *after[1:]]
    total = sum(seconds[node] for node in path)
    if total > 0 and len(path) > 1:
        graph.critical, graph.critical_seconds = path, total


def longest(graph: Graph, seconds: dict[str, float], start: str, *, backwards: bool) -> list[str]:
    """Returns the longest way from a job in one direction; what lies on a cycle is left out."""
    following: dict[str, list[str]] = {node: [] for node in graph.nodes}
    for edge in graph.edges:
        one, other = (edge.dependent, edge.precondition) if backwards else (edge.precondition, edge.dependent)
        following[one].append(other)
    best: dict[str, tuple[float, int, str | None]] = {}
    # From the ends: a job is looked at when all that follow it have been.
    missing = {node: len(others) for node, others in following.items()}
    leading: dict[str, list[str]] = {node: [] for node in graph.nodes}
    for node, others in following.items():
        for other in others:
            leading[other].append(node)
    ready = deque(node for node, count in missing.items() if not count)
    while ready:
        node = ready.popleft()
        ways = [(best[other][0], best[other][1], other) for other in following[node]]
        length, steps, to = max(ways, default=(0.0, 0, ""))
        best[node] = (seconds[node] + length, steps + 1, to or None)
        for other in leading[node]:
            missing[other] -= 1
            if not missing[other]:
                ready.append(other)
    path, node_or_none = [start], best.get(start, (0.0, 0, None))[2]
    while node_or_none is not None:
        path.append(node_or_none)
        node_or_none = best[node_or_none][2]
    # Its end may be jobs that have not run: they have cost nothing.
    while len(path) > 1 and not seconds[path[-1]]:
        path.pop()
    return path
