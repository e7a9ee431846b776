"""A worker that is told to stop does so in order, and says by its exit status how it went."""

from __future__ import annotations

import os
import signal

from project import Project, monotonic
from waiting import stays, wait_for


def test_a_job_within_the_grace_is_finished(project: Project) -> None:
    running, waiting = project.enqueue("last", 2)[0], None
    worker = project.start_worker("--processes", "1", "--grace", "10")
    project.wait_for_runs(1, within=15)
    waiting = project.enqueue("note")[0]
    worker.send(signal.SIGTERM)
    assert worker.exit_status(within=10) == 0, worker.said()
    assert project.states() == {running: "successful", waiting: "ready"}


def test_a_second_signal_hands_running_jobs_back_uncharged(project: Project) -> None:
    (job,) = project.enqueue("last", 60)
    worker = project.start_worker("--processes", "1", "--grace", "60")
    project.wait_for_runs(1, within=15)
    told_at = monotonic()
    worker.send(signal.SIGTERM)
    stays("the worker finishes what runs", lambda: worker.process.poll() is None, during=2.1)
    worker.send(signal.SIGTERM)
    assert worker.exit_status(within=5) == 77, worker.said()
    assert monotonic() - told_at < 8
    row = project.jobs()[job]
    assert (row["state"], row["failures"], row["crashes"], row["losses"]) == ("ready", 0, 0, 0)
    assert [attempt["outcome"] for attempt in project.attempts(job)] == ["interrupted"]


def test_a_job_longer_than_the_grace_is_handed_back(project: Project) -> None:
    (job,) = project.enqueue("last", 60)
    worker = project.start_worker("--processes", "1", "--grace", "1")
    project.wait_for_runs(1, within=15)
    worker.send(signal.SIGTERM)
    assert worker.exit_status(within=6) == 77, worker.said()
    assert project.states() == {job: "ready"}


def test_a_storm_of_signals_is_one_request(project: Project) -> None:
    (job,) = project.enqueue("last", 1)
    worker = project.start_worker("--processes", "2", "--grace", "10")
    project.wait_for_runs(1, within=15)
    for number in [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGTERM] * 10:
        worker.send(number)
    assert worker.exit_status(within=10) == 0, worker.said()
    assert project.states() == {job: "successful"}
    wait_for("every process to be gone", lambda: not worker.processes(), within=1)


def test_a_signal_to_the_whole_group_is_harmless(project: Project) -> None:
    (job,) = project.enqueue("last", 1)
    worker = project.start_worker("--processes", "2", "--grace", "10")
    project.wait_for_runs(1, within=15)
    for _ in range(5):
        os.killpg(worker.pid, signal.SIGINT)
    assert worker.exit_status(within=10) == 0, worker.said()
    assert project.states() == {job: "successful"}


def test_an_idle_worker_stops_at_once(project: Project) -> None:
    worker = project.start_worker("--processes", "2")
    (job,) = project.enqueue("note")
    project.wait_until_finished([job], within=15)
    worker.send(signal.SIGTERM)
    assert worker.exit_status(within=2) == 0, worker.said()


def test_a_workers_row_keeps_how_it_ended(project: Project) -> None:
    worker = project.start_worker("--until-done", "--processes", "1")
    assert worker.exit_status(within=20) == 0, worker.said()
    (row,) = project.database.rows("select pid, exit_status, stopped_at from gristmill_worker")
    assert (row["pid"], row["exit_status"]) == (worker.pid, 0)
    assert row["stopped_at"]
