"""All of Gristmill's databases, each surveyed by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.backend import GristmillBackend
from gristmill.inspect.problems.finding import problems
from gristmill.inspect.problems.problem import Problem
from gristmill.inspect.survey import QueueSeen, Survey, queue_counts, survey
from gristmill.inspect.workers import WorkerSeen, live_workers
from gristmill.tasks.aliases import gristmill_backends
from gristmill.values.moments import database_now


def by_database(backends: Iterable[GristmillBackend]) -> dict[str, dict[str, set[str]]]:
    """Returns the aliases and QUEUES of backends, by the database that keeps their jobs."""
    found: dict[str, dict[str, set[str]]] = {}
    for backend in backends:
        found.setdefault(backend.database, {})[backend.alias] = backend.queues
    return found


def each_database() -> Iterator[tuple[BaseDatabaseWrapper, dict[str, set[str]]]]:
    """Gives the databases that keep jobs, each with its aliases and their QUEUES."""
    for database, aliases in by_database(gristmill_backends().values()).items():
        yield connections[database], aliases


def surveys() -> Iterator[tuple[Survey, list[Problem]]]:
    """Gives what each database shows, and what is wrong there; one that cannot be asked is a problem by itself."""
    for connection, aliases in each_database():
        try:
            seen = survey(connection, aliases)
            yield seen, problems(connection, aliases, seen)
        except DatabaseError as error:
            sentence = f"Database {connection.alias} cannot be asked: {str(error).strip()}. Is it migrated?"
            yield Survey.nothing(), [Problem("database", "error", sentence)]


def seen_workers() -> Iterator[WorkerSeen]:
    """Gives the workers of every database that neither stopped nor were given up."""
    for connection, aliases in each_database():
        yield from live_workers(connection, aliases, database_now(connection))


def seen_queues() -> Iterator[QueueSeen]:
    """Gives the counts of the queues of every database."""
    for connection, aliases in each_database():
        yield from queue_counts(connection, aliases)
