"""A worker that is told to stop does so in order, and says by its exit status how it went."""

from __future__ import annotations

import os
import signal

import pytest
from project import Project, monotonic
from waiting import PATIENCE, stays, wait_for


def test_a_job_within_the_grace_is_finished(project: Project) -> None:
    (running,) = project.enqueue("stand")
    worker = project.start_worker("--processes", "1", "--grace", "120")
    project.wait_for_runs(1, within=15)
    (waiting,) = project.enqueue("note")
    worker.send(signal.SIGTERM)
    wait_for("the worker to say that it stops", lambda: "SIGTERM" in worker.said(), within=5)
    project.tell()
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
    assert monotonic() - told_at < 8 * PATIENCE
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
    for number in [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM] * 10:
        worker.send(number)
    assert worker.exit_status(within=10) == 0, worker.said()
    assert project.states() == {job: "successful"}
    wait_for("every process to be gone", lambda: not worker.processes(), within=1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_whole_group_is_harmless(project: Project, number: signal.Signals) -> None:
    (job,) = project.enqueue("last", 1)
    worker = project.start_worker("--processes", "2", "--grace", "10")
    project.wait_for_runs(1, within=15)
    for _ in range(5):
        os.killpg(worker.pid, number)
    assert worker.exit_status(within=10) == 0, worker.said()
    assert project.states() == {job: "successful"}


def test_a_worker_that_is_to_outlive_its_terminal_does(project: Project) -> None:
    ignoring = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"]
    worker = project.start_worker("--processes", "1", before=ignoring)
    (job,) = project.enqueue("note")
    project.wait_until_finished([job], within=15)
    os.killpg(worker.pid, signal.SIGHUP)
    (another,) = project.enqueue("note")
    project.wait_until_finished([another], within=15)
    worker.send(signal.SIGTERM)
    assert worker.exit_status(within=10) == 0, worker.said()


@pytest.mark.parametrize("where", ["thread", "loop", "program"])
def test_nothing_of_a_stopped_attempt_is_at_work_beside_the_next(project: Project, where: str) -> None:
    (job,) = project.enqueue(f"hostile.goes_on_in_a_{where}")
    worker = project.start_worker("--processes", "2")
    assert project.wait_until_finished([job], within=60) == {job: "failed"}
    assert [attempt["reason"] for attempt in project.attempts(job)] == ["timeout", "timeout"]
    # That they do not overlap is asked of every journey.
    assert [run.attempt for run in project.runs()] == [1, 2]
    worker.send(signal.SIGTERM)
    assert worker.exit_status(within=20) == 0, worker.said()


def test_an_idle_worker_stops_at_once(project: Project) -> None:
    worker = project.start_worker("--processes", "2")
    (job,) = project.enqueue("note")
    project.wait_until_finished([job], within=15)
    worker.send(signal.SIGTERM)
    assert worker.exit_status(within=2) == 0, worker.said()


def test_a_workers_row_keeps_how_it_ended(project: Project) -> None:
    worker = project.start_worker("--until-done", "--processes", "1")
    assert worker.exit_status(within=20) == 0, worker.said()
    assert list(project.folder.glob("*.lock")) == []
    (row,) = project.database.rows("select pid, exit_status, stopped_at from gristmill_worker")
    assert (row["pid"], row["exit_status"]) == (worker.pid, 0)
    assert row["stopped_at"]
