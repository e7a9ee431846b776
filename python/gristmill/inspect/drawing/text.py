"""The graph as text: a tree of what the job waits for, and one of what waits for it."""

from __future__ import annotations

from gristmill.inspect.colours import painted
from gristmill.inspect.drawing.graph import STATES, Graph, Node
from gristmill.inspect.tables import duration, printable, shortened, width, wrapped

#: One sign a state, for those who see no colours.
SIGNS = {
    "running": "●",
    "successful": "✓",
    "failed": "✗",
    "poisoned": "☠",
    "cancelled": "⊘",
    "stranded": "!",
    "held": "‖",
    "waiting": "◌",
    "scheduled": "◷",
    "ready": "○",
    "forgotten": "·",
}
#: No wider is a name drawn.
NAME = 40
LEAST = 12

# The branch's lines, the node, and what is said instead of one.
Line = tuple[str, "Node | None", str]


def lines(graph: Graph, sentence: str, room: int | None, *, coloured: bool) -> list[str]:
    """Returns the lines of the drawing; `sentence` says why the job does not run."""
    root = graph.nodes[graph.root]
    said = [f"{printable(root.task_name)}  {painted(root.state, root.state, coloured)}", root.id]
    said += wrapped(sentence, room)
    for side, title, none in (
        ("before", "Before it", "It waits for nothing."),
        ("after", "After it", "Nothing waits for it."),
    ):
        tree = branches(graph, side)
        said += ["", title, *drawn(tree, room, coloured)] if tree else ["", none]
    if graph.critical:
        way = " → ".join(named(graph.nodes[node]) for node in graph.critical)
        said += ["", *wrapped(f"Longest way so far: {way}, {duration(graph.critical_seconds)} in all.", room)]
    if graph.notes:
        said += ["", *(line for sentence in graph.notes for line in wrapped(sentence, room))]
    return said


def named(node: Node) -> str:
    """Names a job on a way, with how long it took."""
    name = printable(node.task_name).rpartition(".")[2] or node.id[:8]
    return name if node.seconds is None else f"{name} ({duration(node.seconds)})"


def branches(graph: Graph, side: str) -> list[Line]:
    """Returns a tree's lines, depth first; a job that is drawn already is only named again."""
    following: dict[str, list[str]] = {node: [] for node in graph.nodes}
    for edge in graph.edges:
        ends = (edge.dependent, edge.precondition) if side == "before" else (edge.precondition, edge.dependent)
        following[ends[0]].append(ends[1])
    for others in following.values():
        others.sort(key=lambda other: (STATES.index(graph.nodes[other].state), other))
    folds: dict[str, list[str]] = {}
    for fold in graph.folds:
        if fold.side == side:
            folds.setdefault(fold.node, []).append(f"… {fold.words}")
    found: list[Line] = []
    shown: set[str] = set()
    # Each: a job or what is said of many, the lines before it, and whether it is the last of its branch.
    waiting: list[tuple[str | None, str, str, bool]] = []

    def add(node: str, lead: str) -> None:
        children: list[tuple[str | None, str]] = [(other, "") for other in following[node]]
        children += [(None, words) for words in folds.get(node, [])]
        last = len(children) - 1
        for place in range(last, -1, -1):
            other, words = children[place]
            waiting.append((other, words, lead, place == last))

    add(graph.root, "")
    while waiting:
        other, words, lead, last = waiting.pop()
        corner = lead + ("└─ " if last else "├─ ")
        if other is None:
            found.append((corner, None, words))
            continue
        if other in shown or other == graph.root:
            again = bool(following[other] or folds.get(other))
            found.append((corner, graph.nodes[other], "see above" if again else ""))
            continue
        shown.add(other)
        if len(following[other]) == 1 and following[other][0] in shown and other not in folds:
            # Many that lead to one: a line of its own below each would say nothing new.
            name = printable(graph.nodes[following[other][0]].task_name).rpartition(".")[2]
            found.append((corner, graph.nodes[other], f"{'after' if side == 'before' else 'before'} {name}, above"))
            continue
        found.append((corner, graph.nodes[other], ""))
        add(other, lead + ("   " if last else "│  "))
    return found


def drawn(tree: list[Line], room: int | None, coloured: bool) -> list[str]:
    """Returns the lines with their columns aligned as far as there is room."""
    names = [(corner, name_of(node)) for corner, node, _ in tree if node is not None]
    column = max((width(corner) + 2 + min(width(name), NAME) for corner, name in names), default=0)
    words = max((width(words_of(node, note)) for _, node, note in tree if node is not None), default=0)
    if room is not None:
        # An id has to be whole, so names and words give way.
        words = max(min(words, room - column - 36), LEAST)
    said = []
    for corner, node, note in tree:
        if node is None:
            said.append(corner + note)
            continue
        space = column - width(corner) - 2
        name = shortened(name_of(node), space, keep_end=True)
        told = shortened(words_of(node, note), words)
        left = f"{corner}{painted(SIGNS[node.state], node.state, coloured)} {name}{' ' * (space - width(name))}"
        middle = painted(told, node.state, coloured) + " " * (words - width(told))
        plain = column + 2 + words + 2 + len(node.id)
        if room is None or plain <= room:
            said.append(f"{left}  {middle}  {node.id}")
        else:
            said += [f"{left}  {painted(told, node.state, coloured)}", f"{under(corner)}  {node.id}"]
    return said


def under(corner: str) -> str:
    """Returns the lines of a branch as they go on below a node."""
    return corner[:-3] + ("│  " if corner.endswith("├─ ") else "   ")


def name_of(node: Node) -> str:
    """Returns a task's name."""
    return printable(node.task_name) or "forgotten"


def words_of(node: Node, note: str) -> str:
    """Returns what is said of a job."""
    return printable(node.words) + (f" ({note})" if note else "")
