"""The steps of `make test` by the names that plants use: the one place that says which command each of them is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import postgres

# Made anew where Rust has changed, as the tests of Python call the binary.
ENVIRONMENT = "sh scripts/run environments.py new"


@dataclass(frozen=True)
class Step:
    """One step: a line for the shell, run in the root of a copy."""

    command: str
    env: Mapping[str, str] = field(default_factory=dict)


def gate(titles: str, **env: str) -> Step:
    """The steps of `make test` whose titles begin so, as that runs them."""
    return Step(f"sh scripts/run suite.py step '{titles}'", env)


def steps(url: str) -> dict[str, Step]:
    """All of them, in the order in which they are run; `url` is of a PostgreSQL server."""
    return {
        "tidy": gate("house rules"),
        "rust core": gate("rust: core"),
        "rust store sqlite": gate("rust: store, sqlite"),
        "rust store postgres": gate("rust: store, postgres"),
        "rust store plans": gate("rust: store, plans"),
        "rust store model": gate("rust: store, model"),
        "rust store goals": gate("rust: store, goals"),
        "rust store ticks": gate("rust: store, ticks"),
        "rust engine unit": gate("rust: engine, unit"),
        "rust engine sqlite": gate("rust: engine, sqlite"),
        "rust engine postgres": gate("rust: engine, postgres"),
        "rust pool": gate("rust: pool"),
        "python": gate("python: new, SQLite"),
        "python postgres": gate("python: new, PostgreSQL"),
        "journeys": gate("journeys"),
    }


def environment(url: str, target: str) -> dict[str, str]:
    """What all of them are run with: crates are compiled where everybody's are, and there is one server for all."""
    return {**os.environ, postgres.VARIABLE: url, "CARGO_TARGET_DIR": target}
