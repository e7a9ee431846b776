"""Percentiles of what was measured."""


def percentile(ordered: list[float], percent: int) -> float:
    """Nearest rank."""
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
