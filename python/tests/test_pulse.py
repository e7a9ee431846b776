"""The pulse as a series: bounded whatever the tables hold, and true at the edges."""

from __future__ import annotations

import json
import re
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from gristmill.inspect import counted, pulse
from gristmill.inspect.drawing.sparkline import sparkline
from gristmill.inspect.histograms import BOUNDS, Histogram, percentile
from gristmill.models import DepthRow, PulseRow

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.django_db
SINCE = datetime(2030, 3, 17, 17, 0, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


def count(minutes: float, outcome: str = "successful", attempts: int = 1, level: int = 1, **more: object) -> None:
    values = {
        "id": uuid.uuid4(),
        "level": level,
        "at": SINCE + timedelta(minutes=minutes),
        "backend": "default",
        "queue_name": "mail",
        "task_name": "app.send",
        "outcome": outcome,
        "version": "1",
        "attempts": attempts,
        "wait_seconds": 0.0,
        "run_seconds": 0.0,
        "waits": json.dumps([0, 0, 0, attempts]),
        "runs": json.dumps([attempts]),
    }
    PulseRow.objects.bulk_create([PulseRow(**{**values, **more})])


def sample(minutes: int, ready: int, queue: str = "mail", level: int = 1) -> None:
    at = SINCE + timedelta(minutes=minutes)
    row = DepthRow(
        level=level, at=at, backend="default", queue_name=queue, ready=ready, scheduled=0, oldest_seconds=ready
    )
    DepthRow.objects.bulk_create([row])


def hour(**narrowed: str) -> pulse.Series:
    return pulse.series("default", SINCE, SINCE + HOUR, **narrowed)


def test_the_buckets_are_those_that_workers_count_by():
    text = (ROOT / "crates/core/src/pulse.rs").read_text()
    bounds = re.search(r"BOUNDS_MS: \[u64; \d+\] = \[([^\]]*)\]", text)
    assert bounds is not None
    assert [int(number.replace("_", "")) for number in re.findall(r"[\d_]+", bounds[1])] == [
        round(bound * 1000) for bound in BOUNDS
    ]


def test_a_percentile_lies_within_the_bucket_of_its_rank():
    buckets = [0] * 26
    assert percentile(buckets, 0.95) is None
    buckets[9] = 100
    assert percentile(buckets, 0.5) == pytest.approx(0.75)
    buckets[25] = 1
    assert percentile(buckets, 1.0) == BOUNDS[-1]


def test_what_is_no_list_of_counts_counts_nothing():
    histogram = Histogram()
    for stored in (None, "", "{", "{}", "[-1, 1.5, null]", '["1"]', "5"):
        histogram.add(stored)
    assert len(histogram) == 0
    histogram.add(json.dumps([1] * 40))
    assert len(histogram) == 26


def test_counts_of_workers_and_levels_are_added_up_minute_by_minute():
    count(0, attempts=2, level=0)
    count(0, attempts=3)
    count(1, "failed")
    count(1, "retried")
    count(59, "expired")
    count(60)
    count(-1)
    found = hour()
    assert (len(found.points), found.points[0].at, found.step) == (60, SINCE, timedelta(minutes=1))
    assert [point.started for point in found.points[:3]] == [5, 2, 0]
    assert (found.points[1].failed, found.points[1].finished, found.points[59].started) == (1, 1, 0)
    assert found.outcomes() == {"successful": 5, "failed": 1, "retried": 1, "expired": 1}
    assert found.points[0].waits.percentile(0.95) == pytest.approx(0.00975)
    assert len(found.whole("runs")) == 8


def test_a_queue_a_task_and_another_alias_are_told_apart():
    count(0)
    count(0, queue_name="video", task_name="app.cut")
    count(0, backend="other")
    assert hour().points[0].started == 2
    assert hour(queue="video").points[0].started == 1
    assert hour(task="app.send").points[0].started == 1
    assert hour(task="app.send", queue="video").points[0].started == 0


def test_a_version_that_was_not_there_before_is_marked_where_it_appears():
    for minute, version in ((0, "1"), (1, "1"), (1, "2"), (2, "1"), (3, "2"), (4, "3")):
        count(minute, version=version)
    found = hour()
    assert {index: point.deployed for index, point in enumerate(found.points) if point.deployed} == {1: ["2"], 4: ["3"]}


def test_depth_is_of_all_queues_and_unknown_where_nobody_looked_after_jobs_were_there():
    sample(2, 5)
    sample(2, 7, queue="video")
    sample(3, 0)
    sample(3, 0, queue="video")
    sample(10, 4)
    found = [point.ready for point in hour().points]
    assert found[:13] == [0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 4, None, None]
    assert hour(queue="video").points[2].ready == 7
    assert hour().points[2].oldest_seconds == 7


def test_a_week_is_read_by_hours_and_a_day_by_quarters():
    count(-6 * 24 * 60, attempts=9, level=2)
    count(-30, attempts=4)
    week = pulse.series("default", SINCE - timedelta(days=7), SINCE)
    assert (week.step, len(week.points)) == (HOUR, 168)
    assert (week.points[24].started, week.points[-1].started) == (9, 4)
    day = pulse.series("default", SINCE - timedelta(days=1), SINCE)
    assert (day.step, len(day.points), day.points[-2].started) == (timedelta(minutes=15), 96, 4)
    quarter = pulse.series("default", SINCE - timedelta(days=80), SINCE)
    assert quarter.step == timedelta(days=1)
    assert sum(point.started for point in quarter.points) == 13


def test_two_queries_are_asked_and_no_more_rows_read_than_are_bounded(monkeypatch):
    monkeypatch.setattr(counted, "ROWS", 3)
    monkeypatch.setattr(pulse, "ROWS", 3)
    for minute in range(5):
        count(minute)
    with CaptureQueriesContext(
        connection,
    ) as asked:
        found = hour()
    assert len(asked) == 2
    assert found.is_cut
    assert [point.started for point in found.points[:5]] == [0, 0, 1, 1, 1]


def test_the_newest_minutes_are_by_the_databases_clock():
    now = int(pulse.now_of(connection))
    at = datetime.fromtimestamp(now - 120, timezone.utc)
    count(0, at=at.replace(second=0, microsecond=0))
    found = pulse.newest(connection, ["default"], HOUR)
    assert sum(point.started for point in found.points[-3:]) == 1


def test_backlogs_are_one_query_and_a_curve_for_each_queue():
    now = datetime.fromtimestamp(pulse.now_of(connection) // 60 * 60, timezone.utc)
    for ago, ready in ((3, 4), (2, 2), (1, 0)):
        DepthRow.objects.bulk_create(
            [
                DepthRow(
                    level=1,
                    at=now - timedelta(minutes=ago),
                    backend="default",
                    queue_name="mail",
                    ready=ready,
                    scheduled=0,
                    oldest_seconds=0,
                )
            ]
        )
    with CaptureQueriesContext(connection) as asked:
        found = pulse.backlogs(connection, ["default"], HOUR)
    assert len(asked) == 2
    assert 2 in found["default", "mail"]
    assert found["default", "mail"][-1] in (0, 2)


def test_a_curve_has_no_style_of_its_own_and_escapes_what_it_says():
    drawn = sparkline([0, None, 3, 1], ['"<b>', "gap", "&", "x"], "<script>", marks=[(2, "version <2>")])
    assert "style" not in drawn
    assert "<b>" not in drawn
    assert "<script>" not in drawn
    assert drawn.count("<polyline") == 2
    assert drawn.count("gm-mark") == 1
    assert sparkline([], [], "nothing").startswith("<svg")
