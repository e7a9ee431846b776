"""A database that cuts connections or goes away costs time, and nothing else."""

from __future__ import annotations

import signal
from collections import Counter

import pytest
from project import Project
from waiting import wait_for

# Only a server has connections to cut.
pytestmark = pytest.mark.parametrize("template", ["postgres"], indirect=True)


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


def test_an_idle_worker_survives_a_cut_and_is_ready_within_five_seconds(project: Project) -> None:
    worker = project.start_worker("--processes", "1")
    (job,) = project.enqueue("note")
    project.wait_until_finished([job], within=15)
    wait_for("connections to cut", lambda: project.database.cut_all_connections(), within=5)
    (job,) = project.enqueue("note")
    assert project.wait_until_finished([job], within=5) == {job: "successful"}
    assert worker.process.poll() is None
