"""The checks, one subject a module, in the order in which they are told."""

from __future__ import annotations

from gristmill.doctor.check import Question, RowCheck
from gristmill.doctor.checks import (
    attempts,
    cycles,
    edges,
    gates,
    health,
    marks,
    places,
    progress,
    schedules,
    shape,
    waiting,
)

CHECKS: tuple[RowCheck | Question, ...] = (
    *places.CHECKS,
    *attempts.CHECKS,
    *marks.CHECKS,
    *gates.CHECKS,
    *waiting.CHECKS,
    *edges.CHECKS,
    *cycles.CHECKS,
    *progress.CHECKS,
    *schedules.CHECKS,
    *shape.CHECKS,
    *health.CHECKS,
)
