"""
The modules that OPTIONS["TASK_MODULES"] names, found without running any code of theirs.

A name without a dot is looked for in every installed app; one with a dot is that module itself, whether its app is
installed or not. A package brings all that is in it, tests left out. Every part but the first of a name with dots may
be a glob: "shop.jobs_*". Jobs may be enqueued under any alias, so the names of all aliases count together.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pkgutil import iter_modules
from typing import Any

from gristmill.tasks import notify
from gristmill.tasks.aliases import gristmill_backends

NAME = "TASK_MODULES"
DEFAULT = ("tasks",)
#: What every worker knows besides, whatever is named: the task of queued messages.
OWN = ("gristmill.mail.tasks",)
#: And those of notices of failures, where somebody is told.
OF_NOTICES = "gristmill.inspect.notices.tasks"
GLOBS = frozenset("*?[")


def task_modules() -> list[str]:
    """Returns the modules that exist, each once, in the order in which workers import them."""
    return list(dict.fromkeys(name for pattern in patterns() for name in matching(pattern)))


def import_task_modules() -> None:
    """Imports them, and our own; raises ImproperlyConfigured for one that is named and not there."""
    if (sentence := missing()) is not None:
        from django.core.exceptions import ImproperlyConfigured

        raise ImproperlyConfigured(sentence)
    # Ours first: what a project does as it is imported is nothing to them.
    for name in [*own_modules(), *task_modules()]:
        import_module(name)


def own_modules() -> list[str]:
    """Returns our own modules that have tasks: those of notices where some alias has somebody told of failures."""
    tells = any(notify.is_set(backend.options) for backend in gristmill_backends().values())
    return [*OWN, *[OF_NOTICES] * tells]


def import_benchmark() -> None:
    """Imports what a worker of the benchmark has instead of them: a module with a task, by its name as any other."""
    import_module("gristmill.bench.tasks")


def task_files() -> list[str]:
    """Returns the source files of those modules, as they are found now."""
    specs = [spec_of(name) for name in task_modules()]
    return [spec.origin for spec in specs if spec is not None and spec.origin is not None]


def patterns() -> list[str]:
    """Returns what the aliases that use Gristmill name, each name once."""
    backends = gristmill_backends().values()
    named = [pattern for backend in backends for pattern in named_by(backend.options)]
    return list(dict.fromkeys(named)) or list(DEFAULT)


def named_by(options: Mapping[str, Any]) -> list[str]:
    """Returns what one alias names; of a value that is wrong, nothing: its check has the word."""
    value = options.get(NAME, DEFAULT)
    return [] if any(True for _ in pattern_errors(value)) else list(value)


def missing() -> str | None:
    """Says which module is named and not there; what is looked for in every app may be in none."""
    for pattern in patterns():
        if "." in pattern and not is_glob(pattern) and spec_of(pattern) is None:
            near = get_close_matches(pattern, children(pattern.rpartition(".")[0]), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            return f"OPTIONS['{NAME}'] of TASKS names {pattern!r}, and there is no such module{hint}"
    return None


def matching(pattern: str) -> list[str]:
    """Returns the existing modules that a name or glob stands for, with what is in those that are packages."""
    found = [name for top in tops(pattern) for name in with_submodules(top)]
    if not found and "." not in pattern and pattern not in DEFAULT and not is_glob(pattern):
        # In no app, so a module of the project's top level. Not `tasks`: there that is often another tool's.
        found = list(with_submodules(pattern))
    return found


def tops(pattern: str) -> list[str]:
    """Returns what a pattern matches itself."""
    from django.apps import apps

    first, *parts = pattern.split(".")
    if parts:
        packages = [first]
    else:
        # This package's own module of that name has no tasks; those that have some are no matter of patterns.
        packages = [config.name for config in apps.get_app_configs() if config.name != "gristmill"]
        parts = [first]
    for part in parts:
        if is_glob(part):
            packages = [name for package in packages for name in children(package) if fnmatchcase(last(name), part)]
        else:
            packages = [f"{package}.{part}" for package in packages if spec_of(f"{package}.{part}") is not None]
    return packages


def with_submodules(name: str) -> Iterator[str]:
    """Yields a module and, where it is a package, all in it."""
    if spec_of(name) is None:
        return
    yield name
    for child in children(name):
        if not is_left_out(last(child)):
            yield from with_submodules(child)


def children(package: str) -> list[str]:
    """Returns the modules of a package, by name."""
    spec = spec_of(package)
    folders = spec.submodule_search_locations if spec is not None else None
    return sorted(f"{package}.{each.name}" for each in iter_modules(list(folders))) if folders else []


def spec_of(name: str) -> ModuleSpec | None:
    """Returns where a module is, importing nothing; None where there is none."""
    spec: ModuleSpec | None = None
    path = ""
    for part in name.split("."):
        path = f"{path}.{part}" if path else part
        if (loaded := sys.modules.get(path)) is not None and getattr(loaded, "__spec__", None) is not None:
            spec = loaded.__spec__
        elif spec is None:
            spec = top_level(part)
        else:
            spec = PathFinder.find_spec(path, spec.submodule_search_locations or [])
        if spec is None:
            return None
    return spec


def top_level(name: str) -> ModuleSpec | None:
    """Returns where a module without a package is."""
    try:
        return find_spec(name)
    except (ImportError, ValueError):
        return None


def pattern_errors(value: Any) -> Iterable[str]:
    """Yields one sentence for each thing that is wrong with the option."""
    if not isinstance(value, (list, tuple)) or not value:
        yield f"must be a list of module names, such as ['tasks', 'shop.mails'], not {value!r}"
        return
    for each in value:
        if not isinstance(each, str) or not all(is_part(part) for part in each.split(".")):
            yield f"must be names of modules, not {each!r}"
        elif "." in each and is_glob(each.split(".")[0]):
            yield f"cannot begin with a glob where there is a dot, as in {each!r}: name the package"


def is_part(part: str) -> bool:
    """Tells whether a text may stand between two dots."""
    return bool(part) and all(letter.isalnum() or letter in "_*?[]!-" for letter in part)


def is_glob(text: str) -> bool:
    """Tells whether a name stands for several."""
    return not GLOBS.isdisjoint(text)


def is_left_out(name: str) -> bool:
    """Tells whether a module within a package is none that workers import: a program, or tests."""
    return name in ("__main__", "conftest", "test", "tests") or name.startswith("test_")


def last(name: str) -> str:
    """Returns the last part of a module's name."""
    return name.rpartition(".")[2]
