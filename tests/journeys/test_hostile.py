"""Handlers that do what no handler should, beside five hundred good jobs that notice nothing of it."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest
from project import Project
from waiting import wait_for

GOOD = 500
# Longest that a good job may take from its enqueue to its end; they queue up behind each other.
PATIENCE = 90.0

SUCCEEDS, FAILS, POISONED = "successful", "failed", "poisoned"

# What becomes of each: state, reason, and a word of what its last attempt says.
HOSTILE: dict[str, tuple[str, str | None, str]] = {
    "exits": (FAILS, "error", "SystemExit"),
    "interrupts_itself": (FAILS, "error", "KeyboardInterrupt"),
    "exits_without_a_word": (POISONED, "crashed", "exit status 0"),
    "segfaults": (POISONED, "crashed", "SIGSEGV"),
    "loops": (FAILS, "timeout", "TimedOut"),
    "loops_in_c": (FAILS, "timeout", "TimedOut"),
    "turns_a_deaf_ear": (FAILS, "timeout", "TimedOut"),
    "leaves_a_thread": (SUCCEEDS, None, '"gone"'),
    "leaves_a_child": (SUCCEEDS, None, ""),
    "forks_a_twin": (SUCCEEDS, None, '"parent"'),
    "uses_a_process_pool": (SUCCEEDS, None, "[1,2,3]"),
    "closes_descriptors": (POISONED, "crashed", ""),
    "closes_its_output": (SUCCEEDS, None, '"quiet"'),
    "prints_a_gigabyte": (SUCCEEDS, None, '"printed"'),
    "eats_memory": (FAILS, "memory", "Memory"),
    "raises_what_cannot_be_shown": (FAILS, "error", "Unprintable"),
    "raises_fifty_megabytes": (FAILS, "error", "ValueError"),
    "raises_odd_characters": (FAILS, "error", "ValueError"),
    "raises_a_thousand_causes": (FAILS, "error", "ValueError"),
    "recurses": (FAILS, "error", "RecursionError"),
    "returns_a_set": (FAILS, "bad result", "set"),
    "returns_itself": (FAILS, "bad result", ""),
    "returns_twenty_megabytes": (FAILS, "bad result", ""),
    "leaves_a_transaction_open": (FAILS, "error", "TransactionLeftOpen"),
    "moves_the_furniture": (SUCCEEDS, None, '"moved"'),
    "litters": (SUCCEEDS, None, '"collected"'),
}
# Text that one attempt may leave in the database, whatever its handler did.
BOUND = 70 * 1024


def last_words(attempt: dict[str, Any]) -> str:
    parts = ("return_value", "exception_class_path", "traceback", "reason")
    return " ".join(str(attempt[part]) for part in parts if attempt[part])


def test_hostile_handlers_hurt_only_themselves(project: Project) -> None:
    hostile = {name: project.manage("ask", f"hostile.{name}", "1").split()[0] for name in HOSTILE}
    good = project.enqueue("note", count=GOOD)
    worker = project.start_worker("--processes", "4", "--heartbeat", "1")

    project.wait_until_finished([*hostile.values(), *good], within=PATIENCE)

    jobs = project.jobs()
    assert {jobs[job]["state"] for job in good} == {SUCCEEDS}
    assert {len(project_attempts) for project_attempts in attempts_of(project, good).values()} == {1}
    seen = {name: (jobs[job]["state"], jobs[job]["reason"]) for name, job in hostile.items()}
    assert seen == {name: (state, reason) for name, (state, reason, _) in HOSTILE.items()}
    by_job = attempts_of(project, list(hostile.values()))
    for name, (state, _, word) in HOSTILE.items():
        own = by_job[hostile[name]]
        assert len(own) == (3 if state == POISONED else 1), name
        assert word.replace(" ", "") in last_words(own[-1]).replace(" ", ""), (name, last_words(own[-1])[:500])
        assert all(len(str(value or "")) <= BOUND for value in own[-1].values()), name
    assert worker.process.poll() is None, worker.said()
    # Its children go with a runner at the latest when the worker is replaced; none outlives it.
    child = json.loads(by_job[hostile["leaves_a_child"]][0]["return_value"])
    worker.send(signal.SIGTERM)
    assert worker.exit_status(within=20) == 0, worker.said()
    wait_for("the child that was left to be gone", lambda: not os.path.exists(f"/proc/{child}"), within=5)


def attempts_of(project: Project, jobs: list[str]) -> dict[str, list[dict[str, Any]]]:
    wanted, found = set(jobs), {job: list[dict[str, Any]]() for job in jobs}
    for row in project.database.rows("select * from gristmill_attempt order by token"):
        job = str(row["job_id"]).replace("-", "")
        if job in wanted:
            found[job].append(row)
    return found


@pytest.mark.parametrize("template", ["postgres"], indirect=True)
def test_what_a_task_prints_stays_with_its_attempt(project: Project) -> None:
    (job,) = project.enqueue("say", "a word")
    project.start_worker("--processes", "1")
    project.wait_until_finished([job], within=20)
    (attempt,) = project.attempts(job)
    assert attempt["output"].splitlines()[:2] == ["a word", "to the error stream: a word"]
