"""A worker runs what it is asked to run."""

from __future__ import annotations

import json
import signal

from project import Project
from waiting import stays, wait_for


def test_jobs_run_to_the_end(project: Project) -> None:
    jobs = project.enqueue("note", count=50)
    worker = project.start_worker("--until-done", "--processes", "2")
    assert worker.exit_status(within=30) == 0, worker.said()
    assert set(project.states().values()) == {"successful"}
    assert sorted(run.job for run in project.runs()) == sorted(jobs)
    assert all(run.ended for run in project.runs())


def test_a_result_comes_back_with_who_ran_it(project: Project) -> None:
    (job,) = project.enqueue("note")
    project.start_worker("--until-done", "--processes", "1").exit_status(within=30)
    (run,) = project.runs()
    (attempt,) = project.attempts(job)
    assert attempt["runner_pid"] == run.pid
    assert json.loads(project.jobs()[job]["return_value"]) == run.pid


def test_a_job_asked_for_while_the_worker_idles_starts_at_once(project: Project) -> None:
    worker = project.start_worker("--processes", "1")
    (first,) = project.enqueue("note")
    project.wait_until_finished([first], within=15)
    (second,) = project.enqueue("note")
    # The worker may poll only every 2 s: it was woken, or looked at the file's header.
    project.wait_until_finished([second], within=1)
    assert worker.process.poll() is None


def test_a_task_that_raises_fails_and_keeps_its_traceback(project: Project) -> None:
    fallen, fine = project.enqueue("fall")[0], project.enqueue("note")[0]
    worker = project.start_worker("--until-done", "--processes", "1")
    assert worker.exit_status(within=30) == 0, worker.said()
    assert project.states() == {fallen: "failed", fine: "successful"}
    (attempt,) = project.attempts(fallen)
    assert attempt["exception_class_path"] == "builtins.ValueError"
    assert "ValueError: fell as asked" in attempt["traceback"]


def test_a_task_that_nobody_knows_stays_ready(project: Project) -> None:
    (unknown,) = project.enqueue("novelty", env={"JOURNEY_NEWER_CODE": "1"})
    (known,) = project.enqueue("note")
    worker = project.start_worker("--processes", "1")
    project.wait_until_finished([known], within=15)
    stays("the unknown job is ready", lambda: project.states()[unknown] == "ready", during=1.5)
    newer = project.start_worker("--processes", "1", env={"JOURNEY_NEWER_CODE": "1"})
    assert project.wait_until_finished([unknown], within=15) == {unknown: "successful"}
    for each in (worker, newer):
        each.send(signal.SIGTERM)
        assert each.exit_status(within=10) == 0, each.said()


def test_broken_code_is_told_in_a_sentence(project: Project) -> None:
    project.enqueue("note")
    worker = project.start_worker("--processes", "1", env={"JOURNEY_BROKEN": "1"})
    assert worker.exit_status(within=20) != 0
    assert "a_module_that_nobody_has_installed" in worker.said()
    assert "panicked" not in worker.said()
    assert set(project.states().values()) == {"ready"}


def test_code_that_breaks_while_a_worker_runs_the_old_code_changes_nothing(project: Project) -> None:
    worker = project.start_worker("--processes", "1")
    (job,) = project.enqueue("note")
    project.wait_until_finished([job], within=15)
    broken = project.start_worker("--processes", "1", env={"JOURNEY_BROKEN": "1"})
    assert broken.exit_status(within=20) != 0
    (job,) = project.enqueue("note")
    assert project.wait_until_finished([job], within=5) == {job: "successful"}
    wait_for("one living worker", lambda: worker.process.poll() is None, within=1)
