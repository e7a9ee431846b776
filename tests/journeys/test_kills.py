"""Whatever is killed, no job is lost and none runs twice at once."""

from __future__ import annotations

import os
import signal

import history
from project import Project, monotonic
from waiting import wait_for


def test_a_killed_runners_job_runs_again_within_two_seconds(project: Project) -> None:
    (victim,) = project.enqueue("last", 1.5)
    project.start_worker("--processes", "2")
    (first,) = project.wait_for_runs(1, within=15)
    (bystander,) = project.enqueue("last", 1.5)
    (unhurt,) = project.wait_for_runs(1, within=5, job=bystander)
    killed_at = monotonic()
    os.kill(first.pid, signal.SIGKILL)
    again = project.wait_for_runs(2, within=2, job=victim)[1]
    assert again.started - killed_at < 2
    states = project.wait_until_finished([victim, bystander], within=15)
    assert set(states.values()) == {"successful"}
    crashed, done = project.attempts(victim)
    assert (crashed["outcome"], done["outcome"]) == ("crashed", "successful")
    assert "9" in crashed["reason"] or "9" in (crashed["traceback"] or "")
    assert [run.pid for run in project.runs() if run.job == bystander] == [unhurt.pid]


def test_a_job_that_kills_its_runner_again_and_again_is_poisoned(project: Project) -> None:
    deadly, harmless = project.enqueue("die")[0], project.enqueue("note")[0]
    worker = project.start_worker("--until-done", "--processes", "1")
    assert worker.exit_status(within=40) == 0, worker.said()
    assert project.states() == {deadly: "poisoned", harmless: "successful"}
    assert [attempt["outcome"] for attempt in project.attempts(deadly)] == ["crashed"] * 3


def test_another_worker_takes_over_from_a_killed_one(project: Project) -> None:
    jobs = project.enqueue("last", 3, count=2)
    first = project.start_worker("--processes", "2", "--heartbeat", "1")
    doomed = project.wait_for_runs(2, within=15)
    second = project.start_worker("--processes", "2", "--heartbeat", "1")
    (proof,) = project.enqueue("note")
    project.wait_until_finished([proof], within=15)
    killed_at = monotonic()
    first.send(signal.SIGKILL)
    first.exit_status(within=1)
    wait_for("the dead worker's runners to be gone", lambda: not first.processes(), within=1)
    assert {run.pid for run in doomed}.isdisjoint(second.processes())
    again = [project.wait_for_runs(2, within=12, job=job)[1] for job in jobs]
    assert max(run.started for run in again) - killed_at < 12
    assert set(project.wait_until_finished(jobs, within=15).values()) == {"successful"}
    for job in jobs:
        assert [attempt["outcome"] for attempt in project.attempts(job)] == ["lost", "successful"]


def test_a_frozen_worker_that_wakes_up_changes_nothing(project: Project) -> None:
    (job,) = project.enqueue("last", 2)
    frozen = project.start_worker("--processes", "1", "--heartbeat", "1")
    (early,) = project.wait_for_runs(1, within=15)
    frozen.send_to_all(signal.SIGSTOP)
    project.start_worker("--processes", "1", "--heartbeat", "1")
    late = project.wait_for_runs(2, within=20, job=job)[1]
    frozen.send_to_all(signal.SIGCONT)
    assert project.wait_until_finished([job], within=15) == {job: "successful"}
    (stale, kept) = project.runs()
    assert stale.pid == early.pid
    assert stale.ended is None, "the stale attempt was allowed to finish"
    assert kept.pid == late.pid
    assert [attempt["runner_pid"] for attempt in project.attempts(job)][-1] == late.pid
    assert [attempt["outcome"] for attempt in project.attempts(job)] == ["lost", "successful"]
    (proof,) = project.enqueue("note")
    project.wait_until_finished([proof], within=15)


def test_no_job_is_lost_or_repeated_when_workers_are_killed_in_turn(project: Project) -> None:
    jobs = project.enqueue("last", 0.05, count=150)
    workers = [project.start_worker("--processes", "2", "--heartbeat", "1") for _ in range(2)]
    for round_number in range(2):
        project.wait_for_runs(30 * (round_number + 1), within=30)
        workers.pop(0).send(signal.SIGKILL)
        workers.append(project.start_worker("--processes", "2", "--heartbeat", "1"))
    assert set(project.wait_until_finished(jobs, within=60).values()) == {"successful"}
    runs = history.by_job(project.runs())
    assert all(sum(run.ended is not None for run in runs[job]) >= 1 for job in jobs)
