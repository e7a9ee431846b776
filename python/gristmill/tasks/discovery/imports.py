"""What a module imports, read from its source: nothing is run."""

from __future__ import annotations

import ast
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

from gristmill.tasks.discovery.modules import spec_of

#: Source files that are read in search of an import.
MOST_FILES = 2_000


def reaches(beginnings: Iterable[str], wanted: str) -> bool:
    """Tells whether importing these modules imports another one, directly or by way of others."""
    top = wanted.partition(".")[0]
    waiting = deque(dict.fromkeys(beginnings))
    seen = set(waiting)
    for _ in range(MOST_FILES):
        if not waiting:
            return False
        name = waiting.popleft()
        for imported in imports_of(name):
            if imported == wanted:
                return True
            # What is installed beside the project does not import the project.
            if imported not in seen and is_of_the_project(imported, top):
                seen.add(imported)
                waiting.append(imported)
    # Too much to say no.
    return True


def is_of_the_project(name: str, top: str) -> bool:
    """Tells whether a module may import one of the package `top`: it is in there, or no library's."""
    first = name.partition(".")[0]
    if first == top:
        return True
    if first in sys.stdlib_module_names or first in ("django", "gristmill"):
        return False
    spec = spec_of(first)
    return spec is not None and "site-packages" not in Path(spec.origin or "").parts


def imports_of(name: str) -> Iterator[str]:
    """Yields every module that a module's source names in an import statement, packages of them included."""
    spec = spec_of(name)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return
    try:
        tree = ast.parse(Path(spec.origin).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from with_packages(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = resolved(node, package)
            if base:
                yield from with_packages(base)
                yield from (f"{base}.{alias.name}" for alias in node.names)


def resolved(node: ast.ImportFrom, package: str) -> str:
    """Returns the module that `from … import` names, from within a package."""
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    parts = parts[: len(parts) - node.level + 1]
    return ".".join([*parts, *([node.module] if node.module else [])])


def with_packages(name: str) -> Iterator[str]:
    """Yields a module and the packages that it is in, which are imported with it."""
    parts = name.split(".")
    return (".".join(parts[: count + 1]) for count in range(len(parts)))
