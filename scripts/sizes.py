"""How much the tests with made-up histories make up: enough to find what they are for, or all of it.

Each is a variable of the environment that the test itself reads, so one size can be set alone: `SIM_SECONDS=600 make
sim`. `make test` takes the first number, `make test-long` the second.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path

import steps
from steps import ROOT

SIZES: Mapping[str, tuple[int, int]] = {
    # Sequences of 60 verbs against a plain model.
    "GRISTMILL_MODEL_CASES_SQLITE": (100, 2_000),
    "GRISTMILL_MODEL_CASES_POSTGRES": (25, 300),
    # Random graphs against a plain model.
    "GRISTMILL_GOALS_CASES_SQLITE": (60, 400),
    "GRISTMILL_GOALS_CASES_POSTGRES": (15, 100),
    # Ticks with workers that stall and die.
    "GRISTMILL_TICKS": (2_000, 10_000),
    # Every how manieth call of a worker is broken, in each scenario and way: the smaller, the more.
    "SWEEP_EVERY": (6, 1),
    # The simulated fleet.
    "SIM_SECONDS": (8, 120),
    # Real workers that are killed, frozen and cut off: the servers', the goals', and in the middle of a drain.
    "CHAOS_SECONDS": (24, 120),
    "GOALS_SECONDS": (6, 30),
    "DRAIN_JOBS": (600, 5_000),
    # Locks that somebody's transactions hold, and random graphs that drains must not end before.
    "LOCKS_SECONDS": (12, 120),
    "GRAPHS": (4, 500),
    # Web processes and workers on one database.
    "CROWD_SECONDS": (4, 60),
    # Cron expressions against croniter's answers.
    "CRON_CASES": (1_500, 75_000),
    # Every how manieth hostile text has pages of its own looked at in a browser: the smaller, the more.
    "HOSTILE_EVERY": (9, 1),
}

# What CI adds to `make test`, one of them a run: the sizes that are full then, by the tests that read them.
SLICES: Mapping[str, tuple[str, ...]] = {
    "model": ("GRISTMILL_MODEL_CASES_SQLITE", "GRISTMILL_MODEL_CASES_POSTGRES"),
    "graphs and ticks": ("GRISTMILL_GOALS_CASES_SQLITE", "GRISTMILL_GOALS_CASES_POSTGRES", "GRISTMILL_TICKS"),
    "sweep": ("SWEEP_EVERY",),
    "simulation": ("SIM_SECONDS",),
    "chaos": ("CHAOS_SECONDS", "GOALS_SECONDS"),
    "drain": ("DRAIN_JOBS",),
    "locks": ("LOCKS_SECONDS",),
    "joins": ("GRAPHS",),
    "crowd and cron": ("CROWD_SECONDS", "CRON_CASES"),
    "hostile texts": ("HOSTILE_EVERY",),
}

LONG_AGO = 10


def env(full: Collection[str] = ()) -> dict[str, str]:
    """All of them, those named at their full size; what the caller's environment says comes first."""
    return {name: os.environ.get(name) or str(sizes[name in full]) for name, sizes in SIZES.items()}


def said(sizes: Mapping[str, str]) -> str:
    """As they are typed."""
    return " ".join(f"{name}={size}" for name, size in sizes.items())


def slice_of_this_commit(record: Path) -> str:
    """Whose turn it is to run at full size, by the number of commits; says which have waited for ten of them."""
    command = ["git", "rev-list", "--count", "HEAD"]
    counted = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()
    commits = int(counted or 0)
    chosen = list(SLICES)[commits % len(SLICES)]
    ran: dict[str, int] = json.loads(record.read_text()) if record.exists() else {}
    ran[chosen] = commits
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps(ran))
    steps.say(f"  At full size this time: {chosen} ({said({name: str(SIZES[name][1]) for name in SLICES[chosen]})})")
    waiting = [name for name in SLICES if commits - ran.get(name, -LONG_AGO) >= LONG_AGO]
    if waiting:
        steps.say(f"  Not at full size for ten commits or more, here: {', '.join(waiting)}; `make test-long` runs all.")
    return chosen
