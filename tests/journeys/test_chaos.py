"""
Workers, runners, connections and servers fail at random under load; afterwards the history is judged.

CHAOS_SECONDS is how long things go wrong on PostgreSQL, half of it on SQLite (24 and 12 without it). SEED repeats what
was done, though not when it met what.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import history
import postgres
import pytest
from nemesis import Nemesis
from project import SITE, Database, Project, hex_of
from proxy import Proxy
from waiting import PATIENCE

SECONDS = float(os.environ.get("CHAOS_SECONDS", "24"))
SEED = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
RATE = 50.0
# A process that is frozen does not know the time when it wakes up; its fence is the first to act.
FROZEN_SECONDS = 1.0


@pytest.fixture
def hostile_world(tmp_path: Path) -> Iterator[tuple[Project, postgres.Server, Proxy]]:
    """A project on a server of its own, behind a proxy."""
    with postgres.own_server() as server:
        project = Project(Database(server.url), tmp_path)
        project.frozen_seconds = FROZEN_SECONDS
        project.manage("migrate", "--verbosity", "0")
        proxy = Proxy(server.port)
        yield project, server, proxy
        for worker in project.workers:
            worker.clear_away()
        proxy.stop()


def test_chaos_on_postgres_loses_nothing_and_repeats_no_effect(
    hostile_world: tuple[Project, postgres.Server, Proxy],
) -> None:
    project, server, proxy = hostile_world
    done = survive(project, SECONDS, server, proxy)
    assert not {"runners killed", "workers killed", "frozen", "black holes", "commits cut", "servers killed"} - set(
        done
    )


@pytest.mark.parametrize("template", ["sqlite"], indirect=True)
def test_chaos_on_sqlite_loses_nothing_and_repeats_no_effect(project: Project) -> None:
    project.frozen_seconds = FROZEN_SECONDS
    done = survive(project, SECONDS / 2, None, None)
    assert not {"runners killed", "workers killed", "frozen"} - set(done)


def survive(project: Project, seconds: float, server: postgres.Server | None, proxy: Proxy | None) -> dict[str, int]:
    print(f"SEED={SEED}")
    nemesis = Nemesis(project, SEED, server, proxy)
    trickle = subprocess.Popen(
        [sys.executable, "manage.py", "trickle", str(seconds), str(RATE), str(SEED)],
        cwd=SITE,
        env=project.env,
        stdout=subprocess.PIPE,
        text=True,
    )
    nemesis.rage(seconds)
    nemesis.rest()
    said, _ = trickle.communicate(timeout=60 * PATIENCE)
    committed, unknown = read_trickle(said)
    jobs = project.states()
    asked = {**committed, **{job: kind for job, kind in unknown.items() if job in jobs}}
    try:
        project.wait_until_finished(list(asked), within=120)
    finally:
        nemesis.rest()
    verdict = judge(project, committed, asked)
    print(f"{len(asked)} jobs in {seconds:g} s: {dict(nemesis.done)}; {verdict}")
    return dict(nemesis.done)


def read_trickle(said: str) -> tuple[dict[str, str], dict[str, str]]:
    """Kinds of jobs by id: those that were committed, and those of which nobody was told."""
    committed: dict[str, str] = {}
    unknown: dict[str, str] = {}
    for line in said.splitlines():
        *mark, kind, job = line.split()
        (unknown if mark else committed)[job] = kind
    return committed, unknown


def judge(project: Project, committed: dict[str, str], asked: dict[str, str]) -> str:
    """Every promise, held against what the database and the tasks have written down."""
    rows = project.database.rows("select id, state, reason, token from gristmill_jobs")
    jobs = {hex_of(row["id"]): row for row in rows}
    assert len(rows) == len(jobs), "a job is in two places"
    assert set(committed) <= set(jobs), "a committed job is gone"
    assert set(jobs) == set(asked), "a job that nobody asked for"

    # What was killed with its runner three times in a row, or lost five times, is poisoned: rare, and told.
    states = Counter(row["state"] for row in rows)
    assert set(states) <= {"successful", "poisoned"}, states
    assert states["poisoned"] <= len(jobs) / 50, states

    attempts = project.database.rows("select job_id, token, outcome, started_at from gristmill_attempt")
    newest: dict[str, int] = {}
    ended: Counter[str] = Counter()
    for attempt in attempts:
        job = hex_of(attempt["job_id"])
        newest[job] = max(newest.get(job, 0), attempt["token"])
        ended[job] += 1
    assert {job: row["token"] for job, row in jobs.items()} == newest, "an end that was not the newest attempt's"

    starts = Counter(run.job for run in project.runs())
    untold = {job: (count, ended[job]) for job, count in starts.items() if count > ended[job]}
    assert untold == {}, "a start that no attempt tells of"

    effects = {row["job"]: row["times"] for row in project.database.rows(
        "select job, count(*) as times from work_effect group by job"
    )}  # fmt: skip
    marks = {job for job, kind in asked.items() if kind == "leave_a_mark"}
    expected = {job: 1 for job in marks if jobs[job]["state"] == "successful"}
    assert effects == expected, "an effect without its job's success, or twice, or none"
    assert history.overlaps(project.runs(), project.frozen_seconds) == []
    assert project.doctor_finds() == []
    return f"{dict(states)}, attempts {dict(Counter(attempt['outcome'] for attempt in attempts))}"
