"""What a worker says while it works, for whoever reads it at night."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest
from project import Project, Worker
from waiting import wait_for


def lines_of(worker: Worker) -> list[dict[str, Any]]:
    return [json.loads(line) for line in worker.said().splitlines()]


def test_with_json_logs_nothing_else_is_said(project: Project) -> None:
    fallen, told = project.enqueue("fall")[0], project.enqueue("tell_everything")[0]
    worker = project.start_worker(
        "--processes", "1", "--until-done", "--json-logs", "--log-jobs", env={"JOURNEY_LOUD": "1"}
    )
    assert worker.exit_status(within=30) == 0, worker.said()
    said = lines_of(worker)
    assert all({"timestamp", "level", "message"} <= set(line) for line in said)
    failed = next(line for line in said if line["message"].startswith("failed: "))
    assert failed["message"] == "failed: ValueError: fell as asked (attempt 1 of 1, not tried again)"
    assert (failed["level"], failed["job.id"], failed["task.name"]) == ("ERROR", fallen, "work.tasks.fall")
    assert failed["traceback"].rstrip().endswith("ValueError: fell as asked")
    finished = next(line for line in said if line["message"] == "finished")
    assert finished["job.id"] == told
    own = [line["message"] for line in said if line.get("job.id") == told]
    assert {"printed", "half a line", "logged of it"} <= set(own)
    assert any("raised an exception" in message for message in own)
    assert any(message.endswith("UserWarning: warned") for message in own)


def test_a_project_that_cannot_be_imported_is_told_in_json_too(project: Project) -> None:
    worker = project.start_worker("--json-logs", "-v", "2", env={"JOURNEY_BROKEN": "1"})
    assert worker.exit_status(within=20) == 78
    said = lines_of(worker)
    assert "a_module_that_nobody_has_installed" in said[-1]["message"]
    assert any("Traceback" in line.get("traceback", "") for line in said)


@pytest.mark.parametrize(("options", "level"), [(["-v", "0"], "ERROR"), ([], "WARN")])
def test_a_failure_says_what_went_wrong_which_attempt_it_was_and_what_comes_next(
    project: Project, options: list[str], level: str
) -> None:
    project.enqueue("stumble")
    project.enqueue("fall")
    worker = project.start_worker("--processes", "1", "--until-done", *options)
    assert worker.exit_status(within=30) == 0, worker.said()
    said = [line for line in worker.said().splitlines() if line[:4].isdigit()]
    assert any("failed: ValueError: fell as asked (attempt 1 of 1, not tried again) job.id=" in line for line in said)
    assert "ValueError: fell as asked" in worker.said().splitlines()
    # Neither successes nor names of our own modules, and errors alone where that is wanted.
    assert not any("finished" in line or "gristmill::" in line for line in said)
    assert any(" INFO " in line for line in said) is (level != "ERROR")


def test_the_first_signal_says_what_happens_now_and_what_the_next_ones_do(project: Project) -> None:
    worker = project.start_worker("--processes", "1", "--grace", "7")
    wait_for("the worker to be up", lambda: "registered" in worker.said(), within=20)
    worker.send(signal.SIGINT)
    assert worker.exit_status(within=10) == 0, worker.said()
    assert (
        "SIGINT: stopping: claims nothing more, and lets what runs finish for up to 7 s. Once more, 2 s"
        in worker.said()
    )
    assert "A third time: ends at once" in worker.said()
