"""Schedules, with real workers and real time: one job for each instant, whoever comes, goes and dies."""

from __future__ import annotations

import json
import signal
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

from project import Project
from waiting import wait_for


def code(**schedules: dict[str, Any]) -> dict[str, str]:
    """The environment of a worker whose settings have these schedules of `note`."""
    entries = {name: {"task": "work.tasks.note", **options} for name, options in schedules.items()}
    return {"JOURNEY_SCHEDULES": json.dumps(entries)}


def ticks(project: Project, name: str) -> list[dict[str, Any]]:
    return project.database.rows(f"select * from gristmill_tick where schedule = '{name}' order by nominal")


def instants(project: Project, name: str) -> list[datetime]:
    """When it ticked, in UTC."""
    found = [tick["nominal"] for tick in ticks(project, name)]
    return [
        datetime.fromisoformat(each).replace(tzinfo=timezone.utc) if isinstance(each, str) else each for each in found
    ]


def wait_for_ticks(project: Project, name: str, count: int) -> None:
    try:
        wait_for(f"{count} ticks of {name}", lambda: len(ticks(project, name)) >= count, 30)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{project.what_workers_said()}") from None


def test_each_instant_makes_one_job_while_workers_come_and_die(project: Project) -> None:
    env = code(seconds={"every": 1, "catch_up": "all"})
    workers = [project.start_worker("--processes", "1", env=env) for _ in range(2)]
    wait_for_ticks(project, "seconds", 2)
    workers[0].send(signal.SIGKILL)
    workers.append(project.start_worker("--processes", "1", env=env))
    wait_for_ticks(project, "seconds", 6)
    workers[1].send(signal.SIGKILL)
    wait_for_ticks(project, "seconds", 10)
    workers[2].send(signal.SIGTERM)
    assert workers[2].exit_status(within=20) == 0, workers[2].said()

    found = instants(project, "seconds")
    assert {later - earlier for earlier, later in pairwise(found)} == {timedelta(seconds=1)}
    assert all(tick["skipped"] is None for tick in ticks(project, "seconds"))
    assert len({tick["job_id"] for tick in ticks(project, "seconds")}) == len(found) == len(project.jobs())


def test_a_rule_that_a_deployment_changes_holds_while_an_old_worker_goes_on(project: Project) -> None:
    old = project.start_worker("--processes", "1", env=code(often={"every": 1}, gone={"every": 1}))
    wait_for_ticks(project, "gone", 2)
    new = project.start_worker("--processes", "1", env=code(often={"every": 3}))
    wait_for("the new rule", lambda: "announced schedules" in new.said(), 30)
    before = len(ticks(project, "often"))
    wait_for_ticks(project, "often", before + 3)

    assert {instant.second % 3 for instant in instants(project, "often")[before + 1 :]} == {0}
    states = {
        one["name"]: one["state"] for one in json.loads(project.manage("gristmill", "schedule", "--json"))["schedules"]
    }
    assert states == {"often": "active", "gone": "removed"}
    for worker in (old, new):
        worker.send(signal.SIGTERM)
        assert worker.exit_status(within=20) == 0, worker.said()


def test_people_see_and_steer_schedules(project: Project) -> None:
    env = code(nightly={"cron": "30 2 * * mon-fri", "timezone": "Europe/Berlin"}, often={"every": 1})
    worker = project.start_worker("--processes", "1", env=env)
    wait_for_ticks(project, "often", 1)

    assert "at 02:30 on weekdays, Europe/Berlin" in project.manage("gristmill", "schedule", "show", "nightly", env=env)
    project.manage("gristmill", "schedule", "pause", "often", "--reason", "enough")
    paused = len(ticks(project, "often"))
    project.manage("gristmill", "schedule", "run", "nightly")
    (by_hand,) = [str(tick["job_id"]).replace("-", "") for tick in ticks(project, "nightly")]
    assert project.wait_until_finished([by_hand], within=15) == {by_hand: "successful"}
    assert len(ticks(project, "often")) == paused
    project.manage("gristmill", "schedule", "resume", "often")
    wait_for_ticks(project, "often", paused + 1)
    worker.send(signal.SIGTERM)
    assert worker.exit_status(within=20) == 0, worker.said()
    assert project.doctor_finds() == []


def test_a_worker_that_is_to_leave_schedules_alone_does(project: Project) -> None:
    env = code(often={"every": 1})
    worker = project.start_worker("--processes", "1", "--no-schedules", env=env)
    (job,) = project.enqueue("note")
    project.wait_until_finished([job], within=15)
    worker.send(signal.SIGTERM)
    assert worker.exit_status(within=20) == 0, worker.said()

    assert project.database.rows("select name from gristmill_schedule") == []
    shown = project.manage("gristmill", "schedule", env=env)
    assert "every second" in shown and "not announced" in shown
