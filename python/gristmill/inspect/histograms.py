"""Durations by their buckets, as workers count them: what most of them were below."""

from __future__ import annotations

import json
from collections.abc import Sequence

#: Upper bounds of the buckets, in seconds; what is longer than the last is in one more. crates/core/src/pulse.rs counts
#: by the same.
BOUNDS = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0),
    *(60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0, 7200.0, 14400.0, 28800.0, 43200.0, 86400.0),
)


class Histogram:
    """How many durations fell into which bucket."""

    def __init__(self) -> None:
        """Begins with none."""
        self.buckets = [0] * (len(BOUNDS) + 1)

    def add(self, stored: str | None) -> None:
        """Takes in what a row holds: a JSON list; of what is none, nothing."""
        try:
            counts = json.loads(stored or "[]")
        except ValueError:
            return
        if not isinstance(counts, list):
            return
        for bucket, count in enumerate(counts[: len(self.buckets)]):
            if isinstance(count, int) and count > 0:
                self.buckets[bucket] += count

    def merge(self, other: Histogram) -> None:
        """Takes in what another has."""
        self.buckets = [mine + theirs for mine, theirs in zip(self.buckets, other.buckets, strict=True)]

    def percentile(self, part: float) -> float | None:
        """Returns the seconds that this part of them stayed below, about; None where there are none."""
        return percentile(self.buckets, part)

    def __len__(self) -> int:
        return sum(self.buckets)


def percentile(buckets: Sequence[int], part: float) -> float | None:
    """Returns the seconds that a part of what is in the buckets stayed below: evenly spread within each."""
    total = sum(buckets)
    if not total:
        return None
    wanted, before = part * total, 0
    for bucket, count in enumerate(buckets):
        if count and before + count >= wanted:
            if bucket >= len(BOUNDS):
                return BOUNDS[-1]
            lower = BOUNDS[bucket - 1] if bucket else 0.0
            return lower + (BOUNDS[bucket] - lower) * (wanted - before) / count
        before += count
    return BOUNDS[-1]
