"""Looks for every kind of problem."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.inspect.problems import database, jobs, queues, schedules, workers
from gristmill.inspect.problems.problem import LEVELS, Look, Problem
from gristmill.inspect.survey import Survey
from gristmill.values.moments import database_now

#: Each kind of trouble is looked for by itself; those of one level are told in this order.
KINDS: tuple[Callable[[Look], Iterator[Problem]], ...] = (
    workers.none,
    queues.unroutable,
    workers.silent,
    jobs.poisoned,
    jobs.failing,
    schedules.schedules,
    jobs.not_promoted,
    jobs.not_carried_on,
    database.journal,
    database.schema,
    queues.old,
    queues.backlog,
    jobs.stranded,
    jobs.retrying,
    jobs.does_not_end,
    workers.ended_badly,
    workers.other_version,
    database.long_transactions,
    workers.quiet,
    database.clock,
    queues.paused,
    jobs.held,
)


def problems(connection: BaseDatabaseWrapper, backends: dict[str, set[str]], seen: Survey) -> list[Problem]:
    """Returns what is wrong with these TASKS aliases, the worst first; `seen` is a survey of them."""
    look = Look(connection, backends, seen.now or database_now(connection), seen)
    found = [problem for kind in KINDS for problem in kind(look)]
    return sorted(found, key=lambda problem: LEVELS.index(problem.level))
