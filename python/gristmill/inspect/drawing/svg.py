"""The graph as one SVG file: no scripts, nothing loaded, every text escaped, by day and by night."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from xml.sax.saxutils import escape, quoteattr

from gristmill.inspect.drawing.graph import STATES, Fold, Graph, Node
from gristmill.inspect.drawing.layout import Layout, Sizes, lay_out
from gristmill.inspect.drawing.style import sheet
from gristmill.inspect.drawing.text import SIGNS
from gristmill.inspect.tables import duration, printable, shortened, width

SIZES = Sizes()
BOX_HEIGHT, FOLD_HEIGHT = 64.0, 46.0
MARGIN = 28.0
#: Room for the title and its sentence, a line of it, and one of the legend.
TITLE, LINE, LEGEND = 64.0, 17.0, 24.0
#: Not narrower, so that title and legend have room.
LEAST_WIDTH = 560.0
#: Mean widths of a character at 13, 11 and 10 px; no font is asked.
NAME_CHARACTER, WORD_CHARACTER, MONO_CHARACTER = 8.2, 6.2, 6.1
#: How far from each other edges meet a box.
PORT = 9.0
TIP = 7.0


def picture(graph: Graph, sentence: str) -> str:
    """Returns the picture; `sentence` says why the job does not run."""
    layout = laid_out(graph)
    total_width = max(layout.width + 2 * MARGIN, LEAST_WIDTH)
    room = total_width - 2 * MARGIN
    told = list(folded(sentence, room / WORD_CHARACTER))
    top = MARGIN + TITLE + LINE * (len(told) - 1)
    left = (total_width - layout.width) / 2
    below = top + layout.height + 28
    legend, end = legend_of(graph, room, below)
    height = end + MARGIN - 8
    root = graph.nodes[graph.root]
    title = f"{name_of(root)}, {root.state}, and the jobs around it"
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{total_width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {total_width:.0f} {height:.0f}" role="img" aria-labelledby="t d">',
        f'<title id="t">{escape(title)}</title><desc id="d">{text(sentence)}</desc>',
        f"<style>{sheet()}</style>",
        '<rect class="ground" width="100%" height="100%"/>',
        f'<g transform="translate({MARGIN:.0f} {MARGIN + 14:.0f})">',
        f'<text class="title">{text(name_of(root))}</text>',
        *(
            f'<text class="quiet" y="{20 + LINE * number:.0f}">{text(line)}</text>'
            for number, line in enumerate([*told, f"{root.id}  {printable(root.task_name)}"])
        ),
        "</g>",
        f'<g transform="translate({left:.1f} {top:.1f})">',
        *edges_of(graph, layout),
        *(box(graph, node, *layout.places[node.id]) for node in graph.nodes.values()),
        *(fold_box(fold, *layout.places[f"fold {number}"]) for number, fold in enumerate(graph.folds)),
        "</g>",
        f'<g transform="translate({MARGIN:.0f} 0)">',
        *legend,
        "</g>",
        "</svg>",
    ]
    return "\n".join(body) + "\n"


def laid_out(graph: Graph) -> Layout:
    """Lays out jobs and folds; what is done and drawn first comes first."""
    heights = dict.fromkeys(graph.nodes, BOX_HEIGHT)
    edges = [(edge.precondition, edge.dependent) for edge in graph.edges]
    for number, fold in enumerate(graph.folds):
        heights[f"fold {number}"] = FOLD_HEIGHT
        edge = (f"fold {number}", fold.node)
        edges.append(edge if fold.side == "before" else edge[::-1])
    return lay_out(heights, edges, SIZES)


def text(words: str, limit: int = 500) -> str:
    """Returns words as they may stand in the picture."""
    return escape(printable(words, limit))


def name_of(node: Node) -> str:
    """Returns a task's own name."""
    return printable(node.task_name.rpartition(".")[2]) or "forgotten"


def folded(sentence: str, room: float) -> Iterator[str]:
    """Yields the lines of a sentence."""
    line = ""
    for word in printable(sentence, 500).split(" "):
        if line and width(line) + 1 + width(word) > room:
            yield line
            line = word
        else:
            line = f"{line} {word}".strip()
    yield line


def box(graph: Graph, node: Node, x: float, middle: float) -> str:
    """Draws a job."""
    y = middle - BOX_HEIGHT / 2
    inner = SIZES.box - 44
    module = printable(node.task_name.rpartition(".")[0])
    place = shortened(module, int((inner - 62) / MONO_CHARACTER), keep_end=True) if module else ""
    root = " root" * (node.id == graph.root)
    state = node.state if node.state in STATES else "forgotten"
    return (
        f'<g transform="translate({x:.1f} {y:.1f})"><title>{text(f"{node.task_name} {node.id}: {node.words}")}</title>'
        f'<rect class="card{root}" width="{SIZES.box:.0f}" height="{BOX_HEIGHT:.0f}" rx="9"/>'
        f'<rect class={quoteattr(state)} x="7" y="10" width="4" height="{BOX_HEIGHT - 20:.0f}" rx="2"/>'
        f'<text class={quoteattr(state)} x="23" y="25" text-anchor="middle" font-size="13">{SIGNS[state]}</text>'
        f'<text class="name" x="35" y="24">{cut(name_of(node), inner / NAME_CHARACTER)}</text>'
        f'<text class={quoteattr(state)} x="35" y="40">{cut(node.words, inner / WORD_CHARACTER)}</text>'
        f'<text class="quiet mono" x="35" y="55">{text(place)}</text>'
        f'<text class="quiet mono" x="{SIZES.box - 9:.0f}" y="55" text-anchor="end">{node.id[-8:]}</text></g>'
    )


def cut(words: str, characters: float) -> str:
    """Returns words cut to a width, as they may stand in the picture."""
    return escape(shortened(printable(words), int(characters)))


def fold_box(fold: Fold, x: float, middle: float) -> str:
    """Draws jobs that are only counted, as a stack of cards: how many of each colour."""
    y = middle - FOLD_HEIGHT / 2
    wide, tall = SIZES.box - 8, FOLD_HEIGHT - 8
    cards = "".join(
        f'<rect class="fold" x="{shift}" y="{shift}" width="{wide:.0f}" height="{tall:.0f}" rx="8"/>'
        for shift in (8, 4, 0)
    )
    counts, at = [], 0.0
    for state in STATES:
        number = f"{fold.states[state]:,}" if fold.states.get(state) else ""
        if number and at + 18 + len(number) * WORD_CHARACTER < wide - 30:
            counts.append(
                f'<circle class={quoteattr(state)} cx="{at + 18:.0f}" cy="27" r="4"/>'
                f'<text class="quiet" x="{at + 26:.0f}" y="31">{number}</text>'
            )
            at += 24 + len(number) * WORD_CHARACTER
    head = fold.words.partition(" (")[0]
    return (
        f'<g transform="translate({x:.1f} {y:.1f})"><title>{text(fold.words)}</title>{cards}'
        f'<text class="name" x="14" y="17">{text(head)}</text>{"".join(counts)}</g>'
    )


def edges_of(graph: Graph, layout: Layout) -> Iterator[str]:
    """Draws who waits for whom; the longest way last, so that it lies on top."""
    kinds = {(edge.precondition, edge.dependent): edge.state for edge in graph.edges}
    critical = set(pairwise(graph.critical))
    ports = ports_of(layout)
    for way in sorted(layout.ways, key=lambda way: (way in critical, kinds.get(way) == "failed")):
        points = list(layout.ways[way])
        points[0] = (points[0][0], points[0][1] + ports[way, 0])
        points[-1] = (points[-1][0], points[-1][1] + ports[way, -1])
        state = kinds.get(way, "")
        kind = " critical" * (way in critical) + " bad" * (state == "failed" and way not in critical)
        kind += " open" * (state == "open")
        yield edge_path(points, kind)


def ports_of(layout: Layout) -> dict[tuple[tuple[str, str], int], float]:
    """Returns how far from the middle of a box each edge leaves its first (0) and meets its last (-1)."""
    sides: dict[tuple[str, bool], list[tuple[float, tuple[str, str], int]]] = {}
    for way, points in layout.ways.items():
        back = points[0][0] > points[-1][0]
        sides.setdefault((way[0], not back), []).append((points[1][1], way, 0))
        sides.setdefault((way[1], back), []).append((points[-2][1], way, -1))
    ports = {}
    for ends in sides.values():
        # In the order of where they come from, so that they do not cross at the box.
        step = min(PORT, (FOLD_HEIGHT - 16) / len(ends))
        for number, (_, way, end) in enumerate(sorted(ends)):
            ports[way, end] = (number - (len(ends) - 1) / 2) * step
    return ports


def edge_path(points: list[tuple[float, float]], kind: str) -> str:
    """Draws one edge: level where it passes a layer, a curve between two."""
    back = points[0][0] > points[-1][0]
    start = points[0][0] + (0 if back else SIZES.box)
    drawn = [f"M{start:.1f} {points[0][1]:.1f}"]
    tip = 1.0 if not back else -1.0
    for number, ((x, y), (to_x, to_y)) in enumerate(pairwise(points)):
        last = number == len(points) - 2
        from_x = x + (0 if back else SIZES.box)
        end = to_x + (SIZES.box if back else 0) - (tip * TIP if last else 0)
        bend = (end - from_x) / 2
        drawn.append(f"C{from_x + bend:.1f} {y:.1f} {end - bend:.1f} {to_y:.1f} {end:.1f} {to_y:.1f}")
        if not last:
            drawn.append(f"H{to_x + (0 if back else SIZES.box):.1f}")
    end_x, end_y = points[-1][0] + (SIZES.box if back else 0), points[-1][1]
    wide = 5.5 if "critical" in kind else 3.5
    head = f"M{end_x:.1f} {end_y:.1f}l{-tip * (TIP + 2):.1f} {-wide}v{2 * wide}z"
    return f'<path class="edge{kind}" d="{"".join(drawn)}"/><path class="tip{kind}" d="{head}"/>'


def legend_of(graph: Graph, room: float, top: float) -> tuple[list[str], float]:
    """Draws what the colours mean, the longest way, and what is left out; gives where it ends."""
    states = {node.state for node in graph.nodes.values()} | {state for fold in graph.folds for state in fold.states}
    items = [(f'<circle class={quoteattr(state)} cx="5" cy="-4" r="5"/>', state) for state in STATES if state in states]
    kinds = {edge.state for edge in graph.edges}
    for state, kind, words in (
        ("open", "open", "not ended yet"),
        ("successful", "", "ended well"),
        ("failed", "bad", "failed"),
    ):
        if state in kinds:
            items.append((f'<path class="edge {kind}" d="M-4 -4H14"/>', words))
    if graph.critical:
        way = f"longest way so far: {duration(graph.critical_seconds)}"
        items.append(('<path class="edge critical" d="M-4 -4H14"/>', way))
    drawn, x, y = [], 0.0, top + LEGEND / 2
    for sign, words in items:
        wide = 34 + width(words) * WORD_CHARACTER
        if x and x + wide > room:
            x, y = 0.0, y + LEGEND
        drawn.append(
            f'<g transform="translate({x + 4:.1f} {y:.1f})">{sign}<text class="quiet" x="20">{words}</text></g>'
        )
        x += wide
    for sentence in graph.notes:
        for line in folded(sentence, room / WORD_CHARACTER):
            y += LINE + 2
            drawn.append(f'<text class="quiet" y="{y:.1f}">{text(line)}</text>')
    return drawn, y
