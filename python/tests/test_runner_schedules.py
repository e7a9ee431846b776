"""What a runner tells the handler of a schedule's job."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.supervisor import SETTINGS, Runner, Zygote

TASKS = """
@task
def report(year, when="nothing"):
    return [year, when and (when if isinstance(when, str) else when.isoformat()), str(getattr(when, "tzinfo", ""))]

@task(takes_context=True)
def look(context):
    return [context.schedule_name, context.nominal and context.nominal.isoformat()]

@task
async def report_later(year, when): return when.isoformat()
"""

# One second before midnight in Greenwich, which is past it in Zurich.
NOMINAL = "2026-03-01 23:59:59.000000"


def of_schedule(nominal: str | None = NOMINAL, kwarg: str | None = "when") -> dict[str, Any]:
    return {"options": {"schedule": {"name": "nightly", "nominal": nominal, "datetime_kwarg": kwarg}}}


def project(folder: Path, settings: str) -> Iterator[Runner]:
    zygote = Zygote(folder, TASKS, settings=SETTINGS + settings)
    try:
        zygote.hello()
        yield zygote.spawn()
    finally:
        zygote.close()


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    yield from project(tmp_path, "TIME_ZONE = 'Europe/Zurich'\n")


@pytest.fixture
def naive_runner(tmp_path: Path) -> Iterator[Runner]:
    yield from project(tmp_path, "USE_TZ = False\nTIME_ZONE = 'Europe/Zurich'\n")


OURS = """
import django
INSTALLED_APPS += ["gristmill"]
if django.VERSION < (6, 0):
    INSTALLED_APPS += ["django_tasks"]
TASKS = {
    alias: {
        "BACKEND": "gristmill.backend.GristmillBackend",
        "OPTIONS": {"SCHEDULES": {f"of {alias}": {"task": "shop.tasks.report", "every": 60, "args": [2026]}}},
    }
    for alias in ("default", "other")
}
"""
SCHEDULED = """
import gristmill

@gristmill.schedule("0 2 * * *", name="nightly")
@gristmill.task(schedulable=True)
def report(year=1): return year
"""


def test_a_worker_is_told_of_the_schedules_of_its_backend(tmp_path: Path) -> None:
    zygote = Zygote(tmp_path, SCHEDULED, settings=SETTINGS + OURS)
    try:
        hello = zygote.hello()
    finally:
        zygote.close()
    assert [each["name"] for each in hello["schedules"]] == ["nightly", "of default"]
    assert hello["schedules"][1]["definition"]["args"] == "[2026]"
    assert list(hello["schedulable"]) == ["shop.tasks.report"]


def test_a_backend_that_is_not_gristmills_has_none(tmp_path: Path) -> None:
    zygote = Zygote(tmp_path, TASKS)
    try:
        hello = zygote.hello()
    finally:
        zygote.close()
    assert (hello["schedules"], hello["schedulable"]) == ([], {})


def test_schedules_that_are_wrong_keep_the_worker_from_starting(tmp_path: Path) -> None:
    zygote = Zygote(tmp_path, SCHEDULED, settings=SETTINGS + OURS.replace("shop.tasks.report", "shop.tasks.gone"))
    try:
        refused = json.loads(zygote.expect("E"))
    finally:
        zygote.close()
    where = "TASKS['default']['OPTIONS']['SCHEDULES']['of default']"
    assert f"{where}: no task is registered under the name 'shop.tasks.gone'" in refused["message"]


def test_the_instant_comes_as_an_aware_datetime_of_the_projects_zone(runner: Runner) -> None:
    assert runner.run("report", [2026], **of_schedule()) == [2026, "2026-03-02T00:59:59+01:00", "Europe/Zurich"]
    assert runner.run("report_later", [2026], **of_schedule()) == "2026-03-02T00:59:59+01:00"


def test_by_hand_there_is_no_instant(runner: Runner) -> None:
    assert runner.run("report", [2026], **of_schedule(nominal=None)) == [2026, None, ""]
    assert runner.run("look", **of_schedule(nominal=None, kwarg=None)) == ["nightly", None]


def test_it_is_given_only_where_it_is_asked_for(runner: Runner) -> None:
    assert runner.run("report", [2026], **of_schedule(kwarg=None)) == [2026, "nothing", ""]


def test_a_context_knows_schedule_and_instant(runner: Runner) -> None:
    assert runner.run("look", **of_schedule(kwarg=None)) == ["nightly", "2026-03-02T00:59:59+01:00"]
    assert runner.run("look") == [None, None]


def test_an_argument_that_the_code_no_longer_takes_makes_the_job_incompatible(runner: Runner) -> None:
    key = runner.send("report", [2026], **of_schedule(kwarg="at"))
    assert b"got an unexpected keyword argument 'at'" in runner.expect("I")[len(key) :]


def test_what_is_stored_wrong_fails_the_job_and_no_other(runner: Runner) -> None:
    said = runner.all_of("report", [2026], **of_schedule(nominal="tomorrow"))
    assert "ValueError" in said["F"]["exception_class_path"]
    assert runner.run("look") == [None, None]


def test_without_use_tz_the_instant_is_naive_in_the_projects_zone(naive_runner: Runner) -> None:
    assert naive_runner.run("report", [2026], **of_schedule()) == [2026, "2026-03-02T00:59:59", "None"]
