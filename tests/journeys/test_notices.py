"""Failures are told once for each cause, whichever workers saw them and however they came."""

from __future__ import annotations

import json
from typing import Any

from project import Project
from waiting import wait_for

TELLS = {"JOURNEY_OPTIONS": json.dumps({"NOTIFY": "work.notices.hear"})}


def heard(project: Project) -> list[dict[str, Any]]:
    path = project.history_file.with_name(f"{project.history_file.name}.notices")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def look(project: Project) -> None:
    """Has somebody look, and waits until whoever is to be told has been."""
    project.manage("gristmill", "schedule", "run", "gristmill.notices", env=TELLS)
    own = "select count(*) as open from gristmill_jobs where task_name like 'gristmill.%' and finished_at is null"
    wait_for("notices that are told", lambda: project.database.rows(own)[0]["open"] == 0, 20)


def test_fifty_failures_and_a_killer_are_two_notices_over_the_whole_fleet(project: Project) -> None:
    jobs = [*project.enqueue("fall", count=50), *project.enqueue("die")]
    for _ in range(2):
        project.start_worker("--processes", "2", env=TELLS)
    project.wait_until_finished(jobs, within=60)

    look(project)
    look(project)

    told = {"work.tasks.fall": ("failed", 50), "work.tasks.die": ("poisoned", 1)}
    assert sorted((each["task"], (each["state"], each["count"])) for each in heard(project)) == sorted(told.items())
