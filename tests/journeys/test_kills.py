"""Whatever is killed, no job is lost and none runs twice at once."""

from __future__ import annotations

import json
import os
import signal

import history
import pytest
from project import Project, monotonic
from waiting import PATIENCE, stays, wait_for


def test_a_killed_runners_job_runs_again_within_two_seconds(project: Project) -> None:
    (victim,) = project.enqueue("stand")
    project.start_worker("--processes", "2")
    (first,) = project.wait_for_runs(1, within=15)
    (bystander,) = project.enqueue("stand")
    (unhurt,) = project.wait_for_runs(1, within=5, job=bystander)
    killed_at = monotonic()
    os.kill(first.pid, signal.SIGKILL)
    again = project.wait_for_runs(2, within=2, job=victim)[1]
    assert again.started - killed_at < 2 * PATIENCE
    project.tell()
    states = project.wait_until_finished([victim, bystander], within=15)
    assert set(states.values()) == {"successful"}
    crashed, done = project.attempts(victim)
    assert (crashed["outcome"], done["outcome"]) == ("crashed", "successful")
    assert "SIGKILL" in crashed["reason"]
    assert [run.pid for run in project.runs() if run.job == bystander] == [unhurt.pid]


def test_a_killed_zygote_takes_its_runners_along_and_the_worker_starts_another(project: Project) -> None:
    jobs = project.enqueue("last", 1, count=2)
    worker = project.start_worker("--processes", "2")
    doomed = {run.pid for run in project.wait_for_runs(2, within=15)}
    os.kill(worker.zygote(), signal.SIGKILL)
    wait_for("its runners to be gone", lambda: doomed.isdisjoint(worker.processes()), within=1)
    assert set(project.wait_until_finished(jobs, within=15).values()) == {"successful"}
    assert [len(project.attempts(job)) for job in jobs] == [2, 2]
    worker.send(signal.SIGTERM)
    assert worker.exit_status(within=10) == 0, worker.said()


def test_a_job_that_kills_its_runner_again_and_again_is_poisoned(project: Project) -> None:
    deadly, harmless = project.enqueue("die")[0], project.enqueue("note")[0]
    worker = project.start_worker("--until-done", "--processes", "1")
    assert worker.exit_status(within=40) == 0, worker.said()
    assert project.states() == {deadly: "poisoned", harmless: "successful"}
    assert [attempt["outcome"] for attempt in project.attempts(deadly)] == ["crashed"] * 3


def test_another_worker_takes_over_from_a_killed_one(project: Project) -> None:
    jobs = project.enqueue("stand", count=2)
    first = project.start_worker("--processes", "2", "--heartbeat", "1")
    doomed = project.wait_for_runs(2, within=15)
    second = project.start_worker("--processes", "2", "--heartbeat", "1")
    wait_for("the second worker to be there", lambda: "registered" in second.said(), within=15)
    killed_at = monotonic()
    first.send(signal.SIGKILL)
    first.exit_status(within=1)
    wait_for("the dead worker's runners to be gone", lambda: not first.processes(), within=1)
    assert {run.pid for run in doomed}.isdisjoint(second.processes())
    again = [project.wait_for_runs(2, within=12, job=job)[1] for job in jobs]
    assert max(run.started for run in again) - killed_at < 12 * PATIENCE
    project.tell()
    assert set(project.wait_until_finished(jobs, within=15).values()) == {"successful"}
    for job in jobs:
        assert [attempt["outcome"] for attempt in project.attempts(job)] == ["lost", "successful"]


@pytest.mark.parametrize("template", ["sqlite"], indirect=True)
def test_what_a_killed_worker_had_is_done_at_once_where_its_lock_shows_its_end(project: Project) -> None:
    (job,) = project.enqueue("stand")
    first = project.start_worker("--processes", "1")
    project.wait_for_runs(1, within=15)
    first.send(signal.SIGKILL)
    first.exit_status(within=1)
    project.tell()
    newer = project.enqueue("note", count=20)
    second = project.start_worker("--until-done", "--processes", "1")
    assert second.exit_status(within=15) == 0, second.said()
    assert project.states() == dict.fromkeys([job, *newer], "successful"), second.said()
    assert [attempt["outcome"] for attempt in project.attempts(job)] == ["lost", "successful"]
    again = sorted(project.runs(), key=lambda run: run.started)[1]
    assert again.job == job, "it comes before what is newer"


@pytest.mark.parametrize("template", ["postgres"], indirect=True)
def test_a_frozen_worker_that_wakes_up_changes_nothing(project: Project) -> None:
    (job,) = project.enqueue("stand")
    frozen = project.start_worker("--processes", "1", "--heartbeat", "1")
    (early,) = project.wait_for_runs(1, within=15)
    frozen.send_to_all(signal.SIGSTOP)
    project.start_worker("--processes", "1", "--heartbeat", "1")
    late = project.wait_for_runs(2, within=20, job=job)[1]
    woken_at = monotonic()
    frozen.send_to_all(signal.SIGCONT)
    # Freezing is what the promise leaves out; its fence kills the stale attempt as soon as it may run again.
    project.frozen_seconds = 0.5 * PATIENCE
    wait_for("the stale attempt to be killed", lambda: early.pid not in frozen.processes(), within=5)
    project.tell()
    assert project.wait_until_finished([job], within=15) == {job: "successful"}
    (stale, kept) = project.runs()
    assert (stale.pid, kept.pid) == (early.pid, late.pid)
    assert stale.ended is None, "the stale attempt was allowed to finish"
    assert stale.seen < woken_at + 0.5 * PATIENCE
    assert [attempt["runner_pid"] for attempt in project.attempts(job)][-1] == late.pid
    assert [attempt["outcome"] for attempt in project.attempts(job)] == ["lost", "successful"]
    (proof,) = project.enqueue("note")
    project.wait_until_finished([proof], within=15)


@pytest.mark.parametrize("template", ["postgres"], indirect=True)
def test_a_stale_result_is_refused(project: Project) -> None:
    (job,) = project.enqueue("stand")
    frozen = project.start_worker("--processes", "1", "--heartbeat", "1")
    (early,) = project.wait_for_runs(1, within=15)
    # The runner lives on and ends; only the worker that should report it is frozen, with its fence.
    runner = [early.pid]
    for pid in set(frozen.processes()) - set(runner):
        os.kill(pid, signal.SIGSTOP)
    project.tell()
    wait_for("the stale attempt to end", lambda: project.runs()[0].ended, within=5)
    project.start_worker("--processes", "1", "--heartbeat", "1")
    late = project.wait_for_runs(2, within=20, job=job)[1]
    frozen.send_to_all(signal.SIGCONT)
    assert project.wait_until_finished([job], within=15) == {job: "successful"}
    assert json.loads(project.jobs()[job]["return_value"]) == late.pid
    assert [attempt["outcome"] for attempt in project.attempts(job)] == ["lost", "successful"]


@pytest.mark.parametrize("template", ["sqlite"], indirect=True)
def test_a_frozen_worker_on_sqlite_keeps_its_jobs(project: Project) -> None:
    (job,) = project.enqueue("stand")
    frozen = project.start_worker("--processes", "1", "--heartbeat", "0.5")
    project.wait_for_runs(1, within=15)
    frozen.send_to_all(signal.SIGSTOP)
    project.start_worker("--processes", "1", "--heartbeat", "0.5")
    # Far past its lease; but it holds the lock on its file, so it is known to live.
    stays("the job is its own", lambda: project.states()[job] == "running", during=5)
    frozen.send_to_all(signal.SIGCONT)
    project.tell()
    assert project.wait_until_finished([job], within=15) == {job: "successful"}
    # Awake again, it may find that its own fence has fallen, and then it ends what it ran; but nobody took it away.
    assert "lost" not in {attempt["outcome"] for attempt in project.attempts(job)}


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
