"""`doctor`: a healthy database, however busy, gives no alarm; planted damage of each kind is found."""

from __future__ import annotations

import pytest

from gristmill.doctor.checks import CHECKS
from gristmill.doctor.examine import examine
from tests.busy import a_busy_healthy_database
from tests.damage import DAMAGE

pytestmark = pytest.mark.django_db


def look(**options):
    """Examines without a pause; gives the report."""
    return examine("default", pause=lambda seconds: None, **options)


def found(report):
    return sorted({finding.check for finding in report.findings})


def test_a_busy_healthy_database_gives_no_alarm():
    a_busy_healthy_database()

    report = look()

    assert [f"{finding.check}: {finding.sentence}" for finding in report.findings] == []
    assert (report.unchecked, report.skipped, report.exit_status) == ({}, [], 0)
    assert report.checks > 50
    assert report.rows > 50


@pytest.mark.parametrize(("check", "plant"), DAMAGE, ids=[plant.__name__ for _, plant in DAMAGE])
def test_planted_damage_is_found(check, plant):
    plant(a_busy_healthy_database())

    report = look()

    assert found(report) == [check]
    assert report.unchecked == {}


def test_every_check_has_damage_planted_for_it():
    planted = {check for check, _ in DAMAGE}
    here = {check.name for check in CHECKS if check.name in planted or getattr(check, "vendor", "") == ""}

    assert here - planted == set()
