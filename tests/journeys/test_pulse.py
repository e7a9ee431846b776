"""What workers have counted is what has happened: a worker that ends leaves nothing uncounted."""

from __future__ import annotations

import json

from project import Project

LONG = 120


def counted(project: Project) -> dict[str, int]:
    """Attempts by what became of them."""
    found = project.database.rows("select outcome, sum(attempts) as attempts from gristmill_pulse group by outcome")
    return {row["outcome"]: int(row["attempts"]) for row in found}


def test_a_worker_that_ends_has_counted_each_attempt_once(project: Project) -> None:
    project.enqueue("work.note", count=30)
    project.enqueue("work.fall", count=2)
    project.enqueue("work.leave_a_mark", count=3)
    worker = project.start_worker("--until-done", "--processes", "2")
    assert worker.exit_status(within=LONG) == 0, worker.said()

    assert counted(project) == {"successful": 33, "failed": 2}
    rows = project.database.rows("select waits, runs, wait_seconds, run_seconds from gristmill_pulse")
    assert sum(sum(json.loads(row["waits"])) for row in rows) == 35
    assert sum(sum(json.loads(row["runs"])) for row in rows) == 35
    assert all(row["wait_seconds"] > 0 and row["run_seconds"] > 0 for row in rows)


def test_a_worker_without_jobs_writes_nothing(project: Project) -> None:
    worker = project.start_worker("--until-done", "--processes", "1")
    assert worker.exit_status(within=LONG) == 0, worker.said()

    assert project.database.rows("select id from gristmill_pulse") == []
    assert project.database.rows("select at from gristmill_depth") == []
