"""What tasks have written down, and the question that every journey asks of it."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path


@dataclass
class Run:
    """One attempt as its task saw it."""

    job: str
    attempt: int
    pid: int
    started: float
    seen: float
    ended: float | None = None


def read(path: Path) -> list[Run]:
    """Every run, in the order of their starts."""
    runs: dict[tuple[str, int, int], Run] = {}
    order: list[Run] = []
    for line in path.read_text().splitlines() if path.exists() else []:
        event = json.loads(line)
        key = event["job"], event["attempt"], event["pid"]
        if event["event"] == "start":
            run = Run(event["job"], event["attempt"], event["pid"], event["at"], event["at"])
            runs[key] = run
            order.append(run)
        else:
            runs[key].seen = event["at"]
            if event["event"] == "end":
                runs[key].ended = event["at"]
    return sorted(order, key=lambda run: run.started)


def by_job(runs: list[Run]) -> dict[str, list[Run]]:
    grouped: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        grouped[run.job].append(run)
    return dict(grouped)


def overlaps(runs: list[Run], tolerance: float = 0.0) -> list[str]:
    """Where a job showed life in one attempt after it had started in the next: in words, none of which should be."""
    found = []
    for job, own in by_job(runs).items():
        for earlier, later in pairwise(own):
            if earlier.seen > later.started + tolerance:
                found.append(
                    f"job {job}: attempt {earlier.attempt} (process {earlier.pid}) lived "
                    f"{earlier.seen - later.started:.3f} s into attempt {later.attempt} (process {later.pid})"
                )
    return found
