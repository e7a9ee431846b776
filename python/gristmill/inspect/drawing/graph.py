"""What is drawn: jobs, who waits for whom, and how many are left out where."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from gristmill.inspect.tables import counted

#: The order in which states are told and drawn, what asks for attention first.
STATES = (
    *("running", "stranded", "failed", "poisoned", "cancelled", "held", "waiting", "scheduled", "ready"),
    *("successful", "forgotten"),
)


@dataclass
class Node:
    """A job."""

    id: str
    task_name: str
    # "forgotten" where the job has been pruned.
    state: str
    # A few words: for how long, why, of how many.
    words: str
    # How long its attempts of this generation took, the open one included; None where it never ran.
    seconds: float | None = None
    # Its gate's numbers; None where it waits for nothing.
    gate: dict[str, Any] | None = None


@dataclass
class Edge:
    """One job waits for another."""

    precondition: str
    dependent: str
    # "open", "successful" or "failed".
    state: str


@dataclass
class Fold:
    """Jobs beside one that is drawn, told by number only."""

    # "before": preconditions of the node; "after": jobs that wait for it.
    side: str
    node: str
    # How many are in each state.
    states: dict[str, int]
    # They were counted to a bound, and there are more.
    at_least: bool = False
    # Others are drawn beside it.
    others: bool = True

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(self.states.values())

    @property
    def words(self) -> str:
        """Says how many, and of which states."""
        number = counted(self.count, self.at_least).split(" ", 1)[0]
        said = ", ".join(f"{self.states[state]:,} {state}" for state in STATES if self.states.get(state))
        return f"{'and ' * self.others}{number} more ({said})"


@dataclass
class Graph:
    """The jobs around one of them."""

    root: str
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    folds: list[Fold] = field(default_factory=list)
    # The jobs of the longest way through the root, by what their attempts took; and how long that is.
    critical: list[str] = field(default_factory=list)
    critical_seconds: float = 0.0
    # What the drawing does not show, in sentences: what is left out and why, and that jobs wait in a circle.
    notes: list[str] = field(default_factory=list)

    def before(self, node: str) -> list[Edge]:
        """What a job waits for, as far as it is drawn."""
        return [edge for edge in self.edges if edge.dependent == node]

    def after(self, node: str) -> list[Edge]:
        """What waits for a job, as far as it is drawn."""
        return [edge for edge in self.edges if edge.precondition == node]

    def as_dict(self) -> dict[str, Any]:
        """Returns it in JSON's types."""
        return {
            "root": self.root,
            "jobs": [asdict(node) for node in self.nodes.values()],
            "edges": [asdict(edge) for edge in self.edges],
            "folds": [
                {"side": fold.side, "job": fold.node, "states": fold.states, "at_least": fold.at_least}
                for fold in self.folds
            ],
            "critical_path": {"jobs": self.critical, "seconds": round(self.critical_seconds, 3)},
            "notes": self.notes,
        }
