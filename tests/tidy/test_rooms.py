"""The rooms of `python/gristmill`: what leans on what, and which imports wait until they are needed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from test_tree import ROOT, text_of, tree

PACKAGE = ROOT / "python" / "gristmill"

#: The package's own face: the names that a project imports.
FACE = "gristmill"
# A room is a folder, or a module that lies flat. From top to bottom: each leans only on what stands below it.
ROOMS = (
    *("apps", "management", "admin", "commands"),
    *("bench", "doctor", "explain", "templatetags", "inspect"),
    *("pytest_plugin", "testing", "inprocess", "backends", "mail"),
    *("backend", "checks", "worker", "operations", FACE),
    *("runner", "verbs", "schedules", "enqueue", "results"),
    *("migrations", "models", "tasks", "database", "values"),
    *("compat", "middleware", "signals", "exceptions"),
)
# Where these stand, Django says.
DJANGOS = {"admin", "apps", "management", "migrations", "models", "templatetags"}
MOST_ROOMS = 26

DOOR = "gristmill.models.doors"
BENCHMARK = "gristmill.tasks.discovery.modules", "gristmill.bench.tasks"
BEFORE_APPS = "is imported with a project's tasks, before apps are ready; there are no models then"
OF_ONE_COMMAND = "one subcommand's; the parser loads the module of each, to know its options"
# The modules that import something of ours only when they need it, and why.
LATE = {
    "gristmill.backend": BEFORE_APPS,
    "gristmill.enqueue.verbs": BEFORE_APPS,
    "gristmill.explain": BEFORE_APPS,
    "gristmill.mail.recipients": BEFORE_APPS,
    "gristmill.operations": BEFORE_APPS,
    "gristmill.results.reading": BEFORE_APPS,
    "gristmill.results.result": BEFORE_APPS,
    "gristmill.runner.attempt": BEFORE_APPS,
    "gristmill.testing": BEFORE_APPS,
    "gristmill.verbs.again": BEFORE_APPS,
    "gristmill.verbs.batched": BEFORE_APPS,
    "gristmill.verbs.schedules": BEFORE_APPS,
    "gristmill.verbs.workers": BEFORE_APPS,
    "gristmill.commands.bench": OF_ONE_COMMAND,
    "gristmill.commands.doctor": OF_ONE_COMMAND,
    "gristmill.commands.graph": OF_ONE_COMMAND,
    "gristmill.pytest_plugin": "pytest loads it in every run, also where there is no Django project",
    "gristmill.tasks.registry": "needs no Django; names from the database are looked up in it, and nothing is imported",
    DOOR: "a model's methods call what is built on models",
    BENCHMARK[0]: "a worker of the benchmark finds its one module with tasks by name, as it finds a project's",
}
# What signatures name of the rooms above them, for a type checker alone.
NAMED_FROM_BELOW = {
    *("gristmill.backend", "gristmill.models", "gristmill.operations"),
    *("gristmill.enqueue.bulk", "gristmill.enqueue.graphs", "gristmill.results.result", "gristmill.results.waiting"),
    *("gristmill.inspect.explaining.answer", "gristmill.inspect.workers"),
}


@dataclass(frozen=True, order=True)
class Arrow:
    """An import of one module of ours in another; `is_late` within a function, `is_typing` for a type checker only."""

    source: str
    target: str
    line: int
    is_late: bool
    is_typing: bool

    @property
    def rooms(self) -> tuple[str, str]:
        return room_of(self.source), room_of(self.target)

    def __str__(self) -> str:
        return f"{self.source}:{self.line} imports {self.target}"


def room_of(module: str) -> str:
    return f"{module}.".split(".")[1] or module


def modules() -> dict[str, Path]:
    """The package's modules by their names."""
    found = {}
    for path in tree(".py"):
        if path.is_relative_to(PACKAGE):
            parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def arrows() -> list[Arrow]:
    known = modules()
    return [arrow for name, path in known.items() for arrow in arrows_of(name, path, known)]


def arrows_of(name: str, path: Path, known: dict[str, Path]) -> Iterator[Arrow]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]

    def walk(node: ast.AST, late: bool, typing: bool) -> Iterator[Arrow]:
        for child in ast.iter_child_nodes(node):
            for target in targets(child, package, known):
                yield Arrow(name, target, child.lineno, late, typing)
            yield from walk(
                child,
                late or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)),
                typing or (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"),
            )

    return walk(ast.parse(text_of(path)), False, False)


def targets(node: ast.AST, package: str, known: dict[str, Path]) -> list[str]:
    """The modules of ours that a node imports, by a statement or by a name that is written out."""
    named: list[str] = []
    if isinstance(node, ast.Import):
        named = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        whole = ".".join([*above, *filter(None, [node.module])])
        named = [each if (each := f"{whole}.{alias.name}") in known else whole for alias in node.names]
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
        named = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
    return [each for each in dict.fromkeys(named) if each in known]


ARROWS = arrows()
AT_RUN_TIME = [arrow for arrow in ARROWS if not arrow.is_typing]


def goes_up(arrow: Arrow) -> bool:
    source, target = map(ROOMS.index, arrow.rooms)
    return target < source


def test_every_room_has_its_place_and_there_are_few() -> None:
    rooms = {room_of(module) for module in modules()}
    assert rooms == set(ROOMS), "a room is named here, between what leans on it and what it leans on"
    assert len(rooms - {FACE} - DJANGOS) <= MOST_ROOMS


def test_an_arrow_between_rooms_goes_down() -> None:
    upward = [
        str(arrow)
        for arrow in AT_RUN_TIME
        if goes_up(arrow) and arrow.source != DOOR and (arrow.source, arrow.target) != BENCHMARK
    ]
    assert upward == [], "move down what is needed, or up what needs it"


def test_what_signatures_name_from_below_is_little() -> None:
    assert {arrow.target for arrow in ARROWS if arrow.is_typing and goes_up(arrow)} == NAMED_FROM_BELOW


def test_an_import_waits_only_where_it_is_said_why() -> None:
    late = [arrow for arrow in AT_RUN_TIME if arrow.is_late]
    assert [str(arrow) for arrow in late if arrow.source not in LATE] == []
    assert {arrow.source for arrow in late} == set(LATE), "nothing waits there any more"


def test_what_waits_for_apps_are_models_and_what_explains_by_them() -> None:
    waiting = {module for module, reason in LATE.items() if reason == BEFORE_APPS}
    assert {arrow.rooms[1] for arrow in AT_RUN_TIME if arrow.is_late and arrow.source in waiting} == {
        "models",
        "inspect",
    }


def test_models_open_one_door_to_what_is_built_on_them() -> None:
    opened = {arrow.rooms[1] for arrow in AT_RUN_TIME if arrow.source == DOOR}
    assert opened == {"explain", "operations", "results", "verbs"}
