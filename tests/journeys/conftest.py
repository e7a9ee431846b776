"""Every journey starts with a migrated project and ends with no process left over and no job running twice at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import history
import postgres
import project as project_module
import pytest
from project import Database, Project


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """A PostgreSQL server."""
    with postgres.server() as url:
        yield url


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def template(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Database, str | None]:
    """A migrated, empty database to copy from."""
    server = request.getfixturevalue("server") if request.param == "postgres" else None
    folder = tmp_path_factory.mktemp("template")
    database = project_module.new_database(request.param, folder, server)
    Project(database, folder).manage("migrate", "--verbosity", "0")
    return database, server


@pytest.fixture
def project(template: tuple[Database, str | None], tmp_path: Path) -> Iterator[Project]:
    """A project whose history and processes are looked at when the journey is over."""
    database, server = template
    journey = Project(project_module.copy_database(database, tmp_path, server), tmp_path)
    yield journey
    journey.database.disconnect()
    left_over = {worker.log.name: worker.clear_away() for worker in journey.workers}
    if os.environ.get("JOURNEY_LOGS"):
        print(journey.what_workers_said())
    assert {name: pids for name, pids in left_over.items() if pids} == {}, journey.what_workers_said()
    assert history.overlaps(journey.runs(), journey.frozen_seconds) == [], journey.what_workers_said()
