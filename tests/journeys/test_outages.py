"""A database that cuts connections or goes away costs time, and nothing else."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import history
import postgres
import psycopg
import pytest
from project import Database, Project, monotonic
from waiting import PATIENCE, stays, wait_for

on_postgres = pytest.mark.parametrize("template", ["postgres"], indirect=True)


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[tuple[postgres.Server, Project]]:
    """A project on a server of its own, which a journey may stop and start."""
    with postgres.own_server() as server:
        project = Project(Database(server.url), tmp_path)
        project.manage("migrate", "--verbosity", "0")
        yield server, project
        left_over = [worker.clear_away() for worker in project.workers]
        assert not any(left_over), project.what_workers_said()
        assert history.overlaps(project.runs()) == [], project.what_workers_said()


@on_postgres
def test_cut_connections_lose_nothing_and_repeat_nothing(project: Project) -> None:
    jobs = project.enqueue("last", 0.05, count=200)
    worker = project.start_worker("--processes", "2")
    for so_far in (20, 60, 100, 140):
        project.wait_for_runs(so_far, within=30)
        assert project.database.cut_all_connections() > 0
    assert set(project.wait_until_finished(jobs, within=60).values()) == {"successful"}
    repeated = {job: starts for job, starts in Counter(run.job for run in project.runs()).items() if starts > 1}
    assert repeated == {}
    worker.send(signal.SIGTERM)
    assert worker.exit_status(within=10) == 0, worker.said()


@on_postgres
def test_an_idle_worker_survives_a_cut_and_is_ready_within_five_seconds(project: Project) -> None:
    worker = project.start_worker("--processes", "1")
    (job,) = project.enqueue("note")
    project.wait_until_finished([job], within=15)
    wait_for("connections to cut", lambda: project.database.cut_all_connections(), within=5)
    (job,) = project.enqueue("note")
    assert project.wait_until_finished([job], within=5) == {job: "successful"}
    assert worker.process.poll() is None


@contextmanager
def closed_doors(database: Database) -> Iterator[None]:
    """The server lets nobody into the database, as for maintenance, and nobody stay."""
    server, name = database.url.rsplit("/", 1)
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"alter database {name} allow_connections false")  # type: ignore[arg-type]
        try:
            cut = "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s"
            assert connection.execute(cut, [name]).fetchall()
            yield
        finally:
            connection.execute(f"alter database {name} allow_connections true")  # type: ignore[arg-type]


@on_postgres
def test_a_success_outlives_a_database_that_lets_nobody_in_and_a_stop(project: Project) -> None:
    (job,) = project.enqueue("last", 2)
    worker = project.start_worker("--processes", "1")
    project.wait_for_runs(1, within=15)
    with closed_doors(project.database):
        wait_for("the run to end without a database", lambda: project.runs()[0].ended, within=15)
        worker.send(signal.SIGTERM)
        stays("the worker tries to write that down", lambda: worker.process.poll() is None, during=6)
    assert worker.exit_status(within=25) == 0, worker.said()
    assert project.states() == {job: "successful"}
    assert [attempt["outcome"] for attempt in project.attempts(job)] == ["successful"]


def test_an_outage_shorter_than_the_fence_ends_no_run(mortal: tuple[postgres.Server, Project]) -> None:
    server, project = mortal
    (job,) = project.enqueue("last", 3)
    worker = project.start_worker("--processes", "2")
    (run,) = project.wait_for_runs(1, within=15)
    server.stop()
    wait_for("the run to end without a database", lambda: project.runs()[0].ended, within=10)
    stays("the worker is up", lambda: worker.process.poll() is None, during=1)
    server.start()
    returned_at = monotonic()
    assert project.wait_until_finished([job], within=6) == {job: "successful"}
    assert monotonic() - returned_at < 6 * PATIENCE
    assert [(each.pid, each.attempt) for each in project.runs()] == [(run.pid, 1)]
    (job,) = project.enqueue("note")
    assert project.wait_until_finished([job], within=5) == {job: "successful"}


def test_an_outage_longer_than_the_fence_ends_runs_before_others_may_start_them(
    mortal: tuple[postgres.Server, Project],
) -> None:
    server, project = mortal
    (job,) = project.enqueue("last", 12)
    worker = project.start_worker("--processes", "1", "--heartbeat", "0.5")
    (run,) = project.wait_for_runs(1, within=15)
    server.stop()
    stopped_at = monotonic()
    # At this heartbeat the fence falls 1 s after the last acknowledged one, and the lease half a second later.
    wait_for("the runner to be gone", lambda: run.pid not in worker.processes(), within=3)
    assert project.runs()[0].seen - stopped_at < 1.5
    server.start()
    again = project.wait_for_runs(2, within=10, job=job)[1]
    assert again.pid != run.pid
    assert worker.process.poll() is None, worker.said()
    assert [attempt["outcome"] for attempt in project.attempts(job)] in (["interrupted"], ["lost"])
