"""A job has ended when its end is accepted: whoever is told of that afterwards takes his time, and changes nothing."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from project import Project
from waiting import wait_for

LISTENING = {"JOURNEY_RECEIVERS": "1"}
ALL = pytest.mark.parametrize("task", ["act", "act_later", "act_at_once"])
# Generous: the machine may be busy.
SOON, LONG = 60, 120


def lines(project: Project, name: str) -> list[dict[str, Any]]:
    path = Path(f"{project.history_file}.{name}")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def told(project: Project, job: str) -> list[str]:
    """What receivers of task_finished were told of a job, in order, and that they came to their end."""
    return [line["status"] for line in lines(project, "told") if line["job"] == job]


def effects(project: Project) -> int:
    return len(lines(project, "effects"))


def outcomes(project: Project, job: str) -> list[str]:
    return [attempt["outcome"] for attempt in project.attempts(job)]


def run(project: Project, task: str, *arguments: str, options: Sequence[str] = (), **env: str) -> str:
    """Runs one job to its end in a worker that listens; gives the job."""
    (job,) = project.enqueue(f"listening.{task}", *arguments)
    worker = project.start_worker("--until-done", "--processes", "1", *options, env={**LISTENING, **env})
    assert worker.exit_status(within=LONG) == 0, worker.said()
    return job


def hasty(seconds: float) -> dict[str, str]:
    return {"JOURNEY_OPTIONS": json.dumps({"CALLBACK_TIMEOUT": seconds})}


@ALL
def test_a_receiver_may_take_longer_than_its_job(project: Project, task: str) -> None:
    job = run(project, task, "after: wait 4")
    assert project.states() == {job: "successful"}
    assert (outcomes(project, job), effects(project)) == (["successful"], 1)
    assert told(project, job) == ["SUCCESSFUL", "is over"]


@ALL
def test_a_receiver_of_task_started_may_take_longer_than_its_job(project: Project, task: str) -> None:
    job = run(project, task, "before: wait 4")
    assert project.states() == {job: "successful"}
    assert (outcomes(project, job), effects(project)) == (["successful"], 1)


@ALL
def test_a_job_that_has_ended_is_not_cancelled_while_receivers_are_told(project: Project, task: str) -> None:
    (job,) = project.enqueue(f"listening.{task}", "after: wait 5")
    worker = project.start_worker("--processes", "1", env=LISTENING)
    wait_for("a receiver to be told", lambda: told(project, job), SOON)
    # Who is told finds the job as he is told.
    assert project.states() == {job: "successful"}
    with pytest.raises(AssertionError, match=r"it has ended \(successful\)"):
        project.manage("gristmill", "cancel", job)
    wait_for("the receiver to be done", lambda: told(project, job) == ["SUCCESSFUL", "is over"], SOON)
    worker.send(signal.SIGTERM)
    assert worker.exit_status(within=SOON) == 0, worker.said()
    assert project.states() == {job: "successful"}
    assert (outcomes(project, job), effects(project)) == (["successful"], 1)


@ALL
@pytest.mark.parametrize("what", ["exit", "raise"])
def test_what_becomes_of_a_receiver_costs_no_end(project: Project, task: str, what: str) -> None:
    job = run(project, task, f"after: {what}")
    assert project.states() == {job: "successful"}
    assert (outcomes(project, job), effects(project)) == (["successful"], 1)
    assert told(project, job) == ["SUCCESSFUL"]


@ALL
def test_a_worker_that_dies_in_a_receiver_has_written_the_end(project: Project, task: str) -> None:
    (job,) = project.enqueue(f"listening.{task}", "after: wait 60")
    worker = project.start_worker("--processes", "1", "--heartbeat", "0.2", env=LISTENING)
    wait_for("a receiver to be told", lambda: told(project, job), SOON)
    os.kill(worker.pid, signal.SIGKILL)
    run(project, "act", "")
    assert project.states()[job] == "successful"
    assert outcomes(project, job) == ["successful"]
    assert told(project, job) == ["SUCCESSFUL"]


@ALL
def test_receivers_are_told_of_a_failure_once_when_no_retry_follows(project: Project, task: str) -> None:
    job = run(project, task, "fail")
    assert (outcomes(project, job), effects(project)) == (["failed"] * 3, 3)
    told = [line for line in lines(project, "told") if line["job"] == job]
    assert told == [{"job": job, "status": "FAILED", "error": "as asked"}]


def test_receivers_are_told_once_of_a_job_whose_commits_fail(project: Project) -> None:
    job = run(project, "promise_too_much")
    assert project.states() == {job: "failed"}
    assert (outcomes(project, job), effects(project)) == (["failed"] * 3, 3)
    assert told(project, job) == ["FAILED"]


def test_receivers_are_told_of_a_job_that_has_postponed_itself_too_often(project: Project) -> None:
    job = run(project, "put_off")
    assert project.jobs()[job]["reason"] == "postponed too often"
    assert told(project, job) == ["FAILED"]


@ALL
def test_a_worker_that_stops_waits_for_receivers_within_its_grace(project: Project, task: str) -> None:
    (job,) = project.enqueue(f"listening.{task}", "after: wait 3")
    worker = project.start_worker("--processes", "1", env=LISTENING)
    wait_for("a receiver to be told", lambda: told(project, job), SOON)
    worker.send(signal.SIGTERM)
    assert worker.exit_status(within=SOON) == 0, worker.said()
    assert told(project, job) == ["SUCCESSFUL", "is over"]


def test_a_worker_whose_grace_is_over_cuts_receivers_off_and_has_handed_nothing_back(project: Project) -> None:
    (job,) = project.enqueue("listening.act", "after: wait 600")
    worker = project.start_worker("--processes", "1", "--grace", "1", env=LISTENING)
    wait_for("a receiver to be told", lambda: told(project, job), SOON)
    worker.send(signal.SIGTERM)
    assert worker.exit_status(within=SOON) == 0, worker.said()
    assert "what was called after its end was cut off: the worker had to stop" in worker.said()
    assert project.states() == {job: "successful"}
    assert "the worker had to stop" in project.attempts(job)[0]["output"]


def test_what_a_receiver_enqueues_is_done_by_a_worker_that_works_until_all_is_done(project: Project) -> None:
    run(project, "act", "after: beget")
    assert sorted(project.states().values()) == ["successful", "successful"]


@pytest.mark.parametrize("task", ["act", "act_later"])
def test_a_receiver_that_never_ends_is_cut_off_and_the_next_job_runs(project: Project, task: str) -> None:
    job = run(project, task, "after: wait 600", **hasty(1))
    assert (outcomes(project, job), told(project, job)) == (["successful"], ["SUCCESSFUL"])
    (worker,) = project.workers
    assert "receivers of task_finished took longer than CALLBACK_TIMEOUT = 1 s, and was cut off" in worker.said()
    run(project, "act", "")
    assert set(project.states().values()) == {"successful"}


def test_a_receiver_that_does_not_listen_ends_with_its_process(project: Project) -> None:
    job = run(project, "act", "after: deaf", **hasty(1))
    assert (outcomes(project, job), told(project, job)) == (["successful"], ["SUCCESSFUL"])
    assert "cut off: it took too long" in project.attempts(job)[0]["output"]


def test_a_slow_callback_of_a_commit_and_those_after_it_are_called(project: Project) -> None:
    job = run(project, "act_at_once", "on commit: wait 4")
    assert (outcomes(project, job), effects(project)) == (["successful"], 1)
    assert [line["job"] for line in lines(project, "hooks")] == [job]
    assert told(project, job) == ["SUCCESSFUL"]


def test_a_callback_that_is_cut_off_is_told_on_the_attempt_and_those_after_it_are_called(project: Project) -> None:
    job = run(project, "act_at_once", "on commit: wait 600", **hasty(1))
    assert (outcomes(project, job), effects(project)) == (["successful"], 1)
    assert [line["job"] for line in lines(project, "hooks")] == [job]
    (worker,), words = project.workers, "an on_commit callback took longer than CALLBACK_TIMEOUT = 1 s"
    assert words in project.attempts(job)[0]["output"]
    assert words in worker.said()


@pytest.mark.parametrize(("what", "why"), [("exit", "its runner died (exit status 3)"), ("deaf", "it took too long")])
def test_a_callback_that_takes_its_process_along_is_told_on_the_attempt(project: Project, what: str, why: str) -> None:
    job = run(project, "act_at_once", f"on commit: {what}", **hasty(1))
    assert (outcomes(project, job), effects(project)) == (["successful"], 1)
    (worker,), words = project.workers, f"what was called after this end was cut off: {why}"
    assert words in project.attempts(job)[0]["output"]
    assert why in worker.said()


@pytest.mark.parametrize("task", ["ask_slowly", "ask_slowly_later"])
def test_a_backoff_function_may_take_longer_than_its_job(project: Project, task: str) -> None:
    job = run(project, task)
    assert [attempt["reason"] for attempt in project.attempts(job)] == ["error", "error"]
    assert effects(project) == 2


def test_a_backoff_function_that_takes_its_process_along_costs_no_end(project: Project) -> None:
    job = run(project, "ask_to_death")
    assert [(attempt["outcome"], attempt["reason"]) for attempt in project.attempts(job)] == [("failed", "error")] * 2
    assert effects(project) == 2
