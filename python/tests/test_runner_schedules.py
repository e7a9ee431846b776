"""What a runner tells the handler of a schedule's job."""

from __future__ import annotations

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
