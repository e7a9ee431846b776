"""
Gives the boxes of a directed graph places in layers, from left to right, and its edges ways between them.

As Sugiyama and others do it: edges that close a cycle are turned round, every box goes one layer beyond the last that
leads to it, long edges get a place in each layer that they pass, layers are put in order by the mean place of their
neighbours, and heights follow the neighbours as far as the order allows. Nothing here knows what is drawn.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

#: Sweeps over all layers; each goes there and back.
ORDERINGS = 12
HEIGHTS = 16
#: How strongly a place on a long edge wants to lie straight, a box being 1.
STRAIGHT = 4.0


@dataclass
class Sizes:
    """Lengths in the drawing's units."""

    box: float = 236.0
    across: float = 84.0
    between: float = 16.0
    # A long edge's place in a layer.
    way: float = 6.0


@dataclass
class Layout:
    """Where everything is."""

    # Left edge and middle of each box.
    places: dict[str, tuple[float, float]] = field(default_factory=dict)
    # Left edges and middles of the layers that each edge passes, from its first box to its last.
    ways: dict[tuple[str, str], list[tuple[float, float]]] = field(default_factory=dict)
    width: float = 0.0
    height: float = 0.0


def lay_out(heights: dict[str, float], edges: Iterable[tuple[str, str]], sizes: Sizes) -> Layout:
    """Lays a graph out: the height of each box, in the order in which they are met, and who leads to whom."""
    given = [edge for edge in dict.fromkeys(edges) if edge[0] != edge[1]]
    turned = set(closing_edges(list(heights), given))
    forward = list(dict.fromkeys((b, a) if (a, b) in turned else (a, b) for a, b in given))
    layer = layers_of(list(heights), forward)
    columns, following, chains = with_ways(list(heights), forward, layer)
    tall = {vertex: heights.get(vertex, sizes.way) for column in columns for vertex in column}
    columns = in_order(columns, following)
    middles = middles_of(columns, following, tall, sizes.between, set(heights))
    return placed(columns, middles, tall, chains, turned, given, sizes)


def closing_edges(vertices: Sequence[str], edges: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Returns edges without which there is no cycle: those that lead back on a walk in depth."""
    following: dict[str, list[str]] = {vertex: [] for vertex in vertices}
    for one, other in edges:
        following[one].append(other)
    closing, done, on_path = [], set[str](), set[str]()
    for start in vertices:
        if start in done:
            continue
        on_path.add(start)
        walk = [(start, iter(following[start]))]
        while walk:
            vertex, rest = walk[-1]
            other = next(rest, "")
            if not other:
                walk.pop()
                on_path.discard(vertex)
                done.add(vertex)
            elif other in on_path:
                closing.append((vertex, other))
            elif other not in done:
                on_path.add(other)
                walk.append((other, iter(following[other])))
    return closing


def layers_of(vertices: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Returns each vertex's layer: one beyond the last that leads to it; where none does, just before its first."""
    following: dict[str, list[str]] = {vertex: [] for vertex in vertices}
    missing = dict.fromkeys(vertices, 0)
    for one, other in edges:
        following[one].append(other)
        missing[other] += 1
    sources = [vertex for vertex, count in missing.items() if not count]
    layer = dict.fromkeys(vertices, 0)
    ready = deque(sources)
    while ready:
        vertex = ready.popleft()
        for other in following[vertex]:
            layer[other] = max(layer[other], layer[vertex] + 1)
            missing[other] -= 1
            if not missing[other]:
                ready.append(other)
    for vertex in sources:
        if following[vertex]:
            layer[vertex] = min(layer[other] for other in following[vertex]) - 1
    return layer


def with_ways(
    vertices: Sequence[str], edges: Sequence[tuple[str, str]], layer: dict[str, int]
) -> tuple[list[list[str]], list[tuple[str, str]], dict[tuple[str, str], list[str]]]:
    """Returns the layers with a place for each long edge, the short edges between them, and each edge's places."""
    columns: list[list[str]] = [[] for _ in range(max(layer.values(), default=0) + 1)]
    for vertex in vertices:
        columns[layer[vertex]].append(vertex)
    short: list[tuple[str, str]] = []
    chains: dict[tuple[str, str], list[str]] = {}
    for number, (one, other) in enumerate(edges):
        chain = [one]
        for between in range(layer[one] + 1, layer[other]):
            chain.append(f"\0{number}:{between}")
            columns[between].append(chain[-1])
        chain.append(other)
        chains[one, other] = chain
        short += pairwise(chain)
    return columns, short, chains


def in_order(columns: list[list[str]], edges: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Returns the layers in the order with the fewest crossings that was met."""
    before: dict[str, list[str]] = {vertex: [] for column in columns for vertex in column}
    after: dict[str, list[str]] = {vertex: [] for vertex in before}
    for one, other in edges:
        after[one].append(other)
        before[other].append(one)
    current, best = [list(column) for column in columns], [list(column) for column in columns]
    fewest = crossings(best, after)
    for sweep in range(ORDERINGS):
        there = sweep % 2 == 0
        neighbours = before if there else after
        places = range(1, len(current)) if there else range(len(current) - 2, -1, -1)
        for number in places:
            fixed = {vertex: place for place, vertex in enumerate(current[number - 1 if there else number + 1])}
            own = {vertex: place for place, vertex in enumerate(current[number])}
            scale = max(len(fixed), 1) / max(len(own), 1)

            def mean(vertex: str, fixed: dict[str, int] = fixed, own: dict[str, int] = own, scale: float = scale,
                     neighbours: dict[str, list[str]] = neighbours) -> tuple[float, int]:  # fmt: skip
                beside = [fixed[other] for other in neighbours[vertex] if other in fixed]
                return (sum(beside) / len(beside) if beside else own[vertex] * scale, own[vertex])

            current[number].sort(key=mean)
        if (count := crossings(current, after)) < fewest:
            fewest, best = count, [list(column) for column in current]
    return best


def crossings(columns: list[list[str]], after: dict[str, list[str]]) -> int:
    """Counts how often edges cross."""
    count = 0
    for column, following in pairwise(columns):
        place = {vertex: number for number, vertex in enumerate(following)}
        ends: list[int] = []
        for vertex in column:
            mine = sorted(place[other] for other in after[vertex] if other in place)
            count += sum(len(ends) - bisect_right(ends, end) for end in mine)
            for end in mine:
                insort(ends, end)
    return count


def middles_of(
    columns: list[list[str]],
    edges: Sequence[tuple[str, str]],
    tall: dict[str, float],
    between: float,
    boxes: set[str],
) -> dict[str, float]:
    """Returns the height of each vertex's middle: near its neighbours', in order, without touching."""
    before: dict[str, list[str]] = {vertex: [] for vertex in tall}
    after: dict[str, list[str]] = {vertex: [] for vertex in tall}
    for one, other in edges:
        after[one].append(other)
        before[other].append(one)
    middles: dict[str, float] = {}
    for column in columns:
        wishes = [0.0] * len(column)
        middles |= dict(zip(column, apart(column, wishes, [1.0] * len(column), tall, between), strict=True))
    for sweep in range(HEIGHTS):
        for column in columns if sweep % 2 == 0 else reversed(columns):
            wishes, weights = [], []
            for vertex in column:
                # At last both sides count, so that nothing hangs to one.
                beside = before[vertex] if sweep % 2 == 0 else after[vertex]
                if sweep >= HEIGHTS - 4 or not beside:
                    beside = before[vertex] + after[vertex]
                known = [middles[other] for other in beside]
                wishes.append(sum(known) / len(known) if known else middles[vertex])
                weights.append(1.0 if vertex in boxes else STRAIGHT)
            middles |= dict(zip(column, apart(column, wishes, weights, tall, between), strict=True))
    for column in columns:
        # What hangs to one side only follows where that has come to rest, so that a chain's end is straight.
        hung = {vertex: before[vertex] or after[vertex] for vertex in column if not (before[vertex] and after[vertex])}
        wishes = [
            sum(middles[other] for other in hung[vertex]) / len(hung[vertex]) if hung.get(vertex) else middles[vertex]
            for vertex in column
        ]
        middles |= dict(zip(column, apart(column, wishes, [1.0] * len(column), tall, between), strict=True))
    return middles


def apart(
    column: Sequence[str], wishes: Sequence[float], weights: Sequence[float], tall: dict[str, float], between: float
) -> list[float]:
    """Returns heights nearest to the wishes, by least squares, that keep the order and the distances."""
    offsets, offset = [], 0.0
    for number, vertex in enumerate(column):
        if number:
            offset += (tall[column[number - 1]] + tall[vertex]) / 2 + between
        offsets.append(offset)
    # Neighbours that would change places are drawn together, at the mean of what they want.
    blocks: list[tuple[float, float, int]] = []
    for wish, weight, away in zip(wishes, weights, offsets, strict=True):
        total, mass, size = (wish - away) * weight, weight, 1
        while blocks and blocks[-1][0] / blocks[-1][1] > total / mass:
            earlier = blocks.pop()
            total, mass, size = total + earlier[0], mass + earlier[1], size + earlier[2]
        blocks.append((total, mass, size))
    means = [total / mass for total, mass, size in blocks for _ in range(size)]
    return [mean + away for mean, away in zip(means, offsets, strict=True)]


def placed(
    columns: list[list[str]],
    middles: dict[str, float],
    tall: dict[str, float],
    chains: dict[tuple[str, str], list[str]],
    turned: set[tuple[str, str]],
    given: Sequence[tuple[str, str]],
    sizes: Sizes,
) -> Layout:
    """Returns the places in one drawing whose corner is zero."""
    layer = {vertex: number for number, column in enumerate(columns) for vertex in column}
    top = min((middles[vertex] - tall[vertex] / 2 for vertex in tall), default=0.0)

    def point(vertex: str) -> tuple[float, float]:
        return layer[vertex] * (sizes.box + sizes.across), middles[vertex] - top

    layout = Layout()
    layout.places = {vertex: point(vertex) for vertex in tall if not vertex.startswith("\0")}
    for one, other in given:
        chain = chains[other, one][::-1] if (one, other) in turned else chains[one, other]
        layout.ways[one, other] = [point(vertex) for vertex in chain]
    layout.width = len(columns) * (sizes.box + sizes.across) - sizes.across
    layout.height = max((middles[vertex] - top + tall[vertex] / 2 for vertex in tall), default=0.0)
    return layout
