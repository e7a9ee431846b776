"""The layout of a graph: layers, order, and heights, whatever the graph."""

from __future__ import annotations

import itertools
import random
import time

import pytest

from gristmill.inspect.drawing.layout import Sizes, closing_edges, crossings, in_order, lay_out, layers_of

SIZES = Sizes()


def graph_of(seed, vertices=60, edges=120):
    """A graph without circles, made up."""
    made = random.Random(seed)
    names = [f"v{number:03}" for number in range(vertices)]
    pairs = {tuple(sorted(made.sample(names, 2))) for _ in range(edges)}
    return dict.fromkeys(names, 60.0), sorted(pairs)


def test_every_box_is_one_layer_beyond_the_last_that_leads_to_it():
    edges = [("a", "b"), ("b", "c"), ("a", "c"), ("late", "c")]

    assert layers_of(["a", "b", "c", "late"], edges) == {"a": 0, "b": 1, "c": 2, "late": 1}


@pytest.mark.parametrize("seed", range(8))
def test_boxes_never_touch_and_edges_lead_to_the_right(seed):
    heights, edges = graph_of(seed)

    layout = lay_out(heights, edges, SIZES)

    columns = {}
    for name, (x, middle) in layout.places.items():
        columns.setdefault(x, []).append((middle - heights[name] / 2, middle + heights[name] / 2))
    for boxes in columns.values():
        boxes.sort()
        assert all(below[0] - above[1] >= SIZES.between - 0.01 for above, below in itertools.pairwise(boxes))
    assert all(layout.places[one][0] < layout.places[other][0] for one, other in edges)
    assert min(top for boxes in columns.values() for top, _ in boxes) >= -0.01
    assert max(bottom for boxes in columns.values() for _, bottom in boxes) <= layout.height + 0.01


def test_the_order_has_no_more_crossings_than_before():
    columns = [["a", "b", "c"], ["x", "y", "z"]]
    edges = [("a", "z"), ("b", "y"), ("c", "x")]
    after = {"a": ["z"], "b": ["y"], "c": ["x"], "x": [], "y": [], "z": []}

    ordered = in_order(columns, edges)

    assert crossings(columns, after) == 3
    assert crossings(ordered, after) == 0


def test_a_circle_is_opened_at_one_edge():
    ring = [(str(number), str((number + 1) % 3_000)) for number in range(3_000)]

    assert len(closing_edges([str(number) for number in range(3_000)], ring)) == 1
    layout = lay_out({"a": 10.0, "b": 10.0}, [("a", "b"), ("b", "a"), ("a", "a")], SIZES)
    assert layout.ways["a", "b"] == layout.ways["b", "a"][::-1]


def test_one_box_and_none_are_drawings_too():
    assert lay_out({"a": 10.0}, [], SIZES).places == {"a": (0.0, 5.0)}
    assert lay_out({}, [], SIZES).places == {}


def test_a_parent_stands_in_the_middle_of_its_children():
    children = [f"c{number}" for number in range(5)]

    layout = lay_out(dict.fromkeys(["p", *children], 40.0), [("p", child) for child in children], SIZES)

    assert layout.places["p"][1] == pytest.approx(layout.places["c2"][1])


def test_the_end_of_a_chain_stands_level_with_what_leads_to_it():
    made = {"first": ("a", "b", "c"), "second": ("d", "e", "f"), "third": ("g", "h")}
    edges = [(one, other) for one, others in made.items() for other in others]
    edges += [(one, "sheet") for others in made.values() for one in others] + [("rest", "sheet"), ("sheet", "mail")]
    heights = {**dict.fromkeys([*made, *"abcdefgh", "sheet", "mail"], 60.0), "rest": 40.0}

    layout = lay_out(heights, edges, SIZES)

    assert layout.places["mail"][1] == pytest.approx(layout.places["sheet"][1])


def test_a_large_graph_is_laid_out_in_seconds():
    heights, edges = graph_of(1, vertices=1_000, edges=1_500)
    started = time.monotonic()

    lay_out(heights, edges, SIZES)

    assert time.monotonic() - started < 60
