"""
Jobs that wait for others, with real workers that are killed meanwhile and processes that are in each other's way.

GOALS_SECONDS is how long things go wrong (6 without it). SEED repeats what was done, though not when it met what.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from nemesis import Nemesis
from project import SITE, Project, hex_of
from waiting import PATIENCE, wait_for

SECONDS = float(os.environ.get("GOALS_SECONDS", "6"))
SEED = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
RATE = 20.0
CROSSING = 8
KEPT = 300
ENDED = {"successful", "failed", "cancelled", "poisoned"}


def test_goals_are_reached_in_order_whatever_is_killed(project: Project) -> None:
    print(f"SEED={SEED}")
    # A process that is frozen does not know the time when it wakes up; its fence is the first to act.
    project.frozen_seconds = 1.0
    nemesis = Nemesis(project, SEED, None, None)
    shapes = start(project, "shapes", SECONDS, RATE, SEED)
    nemesis.rage(SECONDS)
    nemesis.rest()
    jobs = answer_of(shapes, within=60).split()
    # What sulks has failed, and what needs it has stranded; one that was killed too often is poisoned, which is rare.
    wait_for_rest(project, ENDED | {"stranded"}, within=120)
    stranded = Counter(project.states().values())["stranded"]
    assert stranded, "nothing was stranded"
    Path(f"{project.history_file}.forgiven").touch()
    project.manage("gristmill", "retry", "--all", "--yes")
    wait_for_rest(project, {"successful"}, within=120)

    states = project.states()
    assert set(jobs) <= set(states), "a committed job is gone"
    assert {run.job for run in project.runs()} >= set(jobs), "a job never ran"
    assert early_starts(project) == []
    assert project.doctor_finds() == []
    assert not {"runners killed", "workers killed"} - set(nemesis.done)
    print(f"{len(states)} jobs in {SECONDS:g} s, {stranded} of them stranded: {dict(nemesis.done)}")


@pytest.mark.parametrize("task", ["stand", "leave_a_mark"])
def test_what_is_to_wait_for_a_running_job_does_not_wait_for_its_handler(project: Project, task: str) -> None:
    if task == "leave_a_mark" and project.database.is_sqlite:
        pytest.skip("SQLite has one writer, and this handler is it")
    project.start_worker("--processes", "3")
    running = project.enqueue(task, *([] if task == "stand" else [0, True]), count=2)
    project.wait_for_runs(2, within=15)

    # The handlers go on until they are told: whatever waits for one of them does not come back.
    assert project.manage("attach", *running).split() == ["True"]
    project.tell()

    wait_for_rest(project, {"successful"}, within=20)
    assert early_starts(project) == []
    assert project.doctor_finds() == []


def test_crossing_preconditions_deadlock_nobody_and_circles_fail(project: Project) -> None:
    print(f"SEED={SEED}")
    worker = project.start_worker("--processes", "2")
    kept = project.manage("keep", str(KEPT), str(SEED)).split()
    crossing = [start(project, "cross", SECONDS, SEED + number) for number in range(CROSSING)]
    done: Counter[str] = Counter()
    for process in crossing:
        done.update(json.loads(answer_of(process, within=SECONDS + 60)))
    wait_for_rest(project, ENDED | {"held", "waiting", "stranded"}, within=60)

    look_at_some(project, {"held", "waiting"})
    project.manage("gristmill", "release", "--all", "--yes")
    wait_for_rest(project, ENDED | {"stranded"}, within=60)
    look_at_some(project, {"failed", "stranded"})
    states = Counter(project.states().values())
    if states["stranded"]:
        project.manage("gristmill", "cancel", "--state", "stranded", "--yes")
    wait_for_rest(project, ENDED, within=30)

    reasons = Counter(row["reason"] for row in project.jobs().values() if row["reason"])
    assert set(project.states()) == set(kept)
    assert done["added"] and reasons["cycle"], (done, reasons)
    assert set(reasons) <= {"cycle", "precondition failed"}, reasons
    assert deadlocks(project) == 0
    for word in ("deadlock", "locked", "panicked", "ERROR"):
        assert word not in worker.said(), worker.said()[-3000:]
    assert project.doctor_finds() == []
    worker.send(signal.SIGTERM)
    assert worker.exit_status(within=10) == 0, worker.said()
    print(f"{CROSSING} processes, {SECONDS:g} s: {dict(done)}; then {dict(states)}, reasons {dict(reasons)}")


def start(project: Project, *command: object) -> subprocess.Popen[str]:
    """A management command that runs meanwhile."""
    return subprocess.Popen(
        [sys.executable, "manage.py", *map(str, command)],
        cwd=SITE,
        env=project.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answer_of(process: subprocess.Popen[str], within: float) -> str:
    """What it has printed, once it has ended well."""
    said, complaint = process.communicate(timeout=within * PATIENCE)
    assert process.returncode == 0, complaint
    return said


def propagations(project: Project) -> list[dict[str, Any]]:
    return project.database.rows("select kind, job_id, due_at from gristmill_propagation")


def wait_for_rest(project: Project, states: set[str], within: float) -> None:
    """Until every job is in one of these states and nobody has anything to carry on."""
    try:
        wait_for(
            f"every job to be {' or '.join(sorted(states))}",
            lambda: set(project.states().values()) <= states and not propagations(project),
            within,
        )
    except AssertionError as error:
        left = {job: state for job, state in project.states().items() if state not in states}
        some = [project.manage("gristmill", "explain", job) for job in list(left)[:3]]
        raise AssertionError(
            "\n".join([f"{error}: {left}", *some, str(propagations(project)[:10]), project.what_workers_said()])
        ) from None


def early_starts(project: Project) -> list[str]:
    """
    Jobs that were claimed before what they wait for had ended, by the database's clock.

    A job that needs its preconditions to succeed is claimed after they have; one that proceeds, after their first end.
    """
    attempts: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in project.database.rows("select * from gristmill_attempt order by job_id, token"):
        attempts[hex_of(row["job_id"])].append(row)
    rules = {hex_of(row["job_id"]): row for row in project.database.rows("select * from gristmill_gate")}
    needs: dict[str, list[str]] = defaultdict(list)
    for row in project.database.rows("select precondition_id, dependent_id from gristmill_edge"):
        needs[hex_of(row["dependent_id"])].append(hex_of(row["precondition_id"]))
    found = []
    for job, preconditions in needs.items():
        rule = rules[job]
        proceeds, needed = rule["on_precondition_failure"] == "proceed", rule["needed"] or len(preconditions)
        ends = sorted(end_of(attempts[each], proceeds) for each in preconditions)
        # What it waited for by postponing itself, it waits for after that.
        went_back = max((row["token"] for row in attempts[job] if row["outcome"] == "postponed"), default=0)
        claimed = min(row["claimed_at"] for row in attempts[job] if row["token"] > went_back)
        if claimed < ends[needed - 1]:
            found.append(f"job {job} was claimed at {claimed}, what it waits for ended at {ends}")
    return found


def end_of(attempts: list[dict[str, Any]], proceeds: bool) -> Any:
    """When a job ended so that what waits for it may go on."""
    last = {row["generation"]: row for row in attempts}
    return min(row["ended_at"] for row in last.values() if proceeds or row["outcome"] == "successful")


def deadlocks(project: Project) -> int:
    """How many PostgreSQL has had to break."""
    if project.database.is_sqlite:
        return 0
    (row,) = project.database.rows("select deadlocks from pg_stat_database where datname = current_database()")
    return int(row["deadlocks"])


def look_at_some(project: Project, states: set[str]) -> None:
    """People are told something sensible of a job of each of these states, where there is one."""
    of_state = {state: job for job, state in project.states().items() if state in states}
    for state, job in of_state.items():
        said = project.manage("gristmill", "explain", job)
        assert state in said and "Traceback" not in said, said
        drawn = project.manage("gristmill", "graph", job, "--depth", "2", "--max-jobs", "20")
        assert job[:8] in drawn and "goals.tasks.step" in drawn, drawn
    assert project.manage("gristmill", "graph", job, "--svg", "-").startswith("<svg")
