"""Forecasts: said modestly, of what workers have counted, and not at all where there is too little to go by."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from gristmill import operations
from gristmill.explain import explain
from gristmill.inspect.counted import now_of
from gristmill.inspect.forecast import Rate, rates_of, seconds_for
from gristmill.models import PulseRow
from tests import rows
from tests.app.tasks import add

pytestmark = pytest.mark.django_db(databases=["default", "other"])


def ended(attempts: int, minutes: int = 10, outcome: str = "successful", queue: str = "default") -> None:
    """So many attempts ended in each of the last minutes."""
    now = datetime.fromtimestamp(now_of(connection) // 60 * 60, timezone.utc)
    PulseRow.objects.bulk_create(
        PulseRow(
            id=uuid4(), level=1, at=now - timedelta(minutes=1 + minute), backend="default", queue_name=queue,
            task_name="app.send", outcome=outcome, version="1", attempts=attempts, wait_seconds=0, run_seconds=0,
        )
        for minute in range(minutes)
    )  # fmt: skip


def status(*options: str) -> str:
    out = StringIO()
    call_command("gristmill", "status", *options, stdout=out)
    return out.getvalue()


def test_too_little_to_go_by_is_no_forecast():
    assert seconds_for(1_000, None) is None
    assert seconds_for(1_000, Rate(100, minutes=4)) is None
    assert seconds_for(5, Rate(100, minutes=10)) is None
    assert seconds_for(10_000, Rate(5, minutes=5)) is None
    assert seconds_for(300, Rate(150, minutes=10)) == pytest.approx(1_800)


def test_only_ends_of_jobs_count_and_one_query_tells_all_queues():
    ended(15)
    ended(15, outcome="retried")
    ended(30, minutes=5, queue="mail")
    with CaptureQueriesContext(connection) as asked:
        found = rates_of(connection, ["default"])
    assert len(asked) == 2
    assert found == {("default", "default"): Rate(150, 10), ("default", "mail"): Rate(150, 5)}


def test_status_says_when_a_queue_will_be_done():
    add.enqueue_many([(number,) for number in range(40)])
    assert "at the present rate" not in status()
    ended(3)
    assert "Queue default: done in about 20 min at the present rate, 2 a minute." in status()
    (forecast,) = json.loads(status("--json"))["forecasts"]
    assert (forecast["queue_name"], forecast["seconds"], forecast["at_least"]) == ("default", 1_200.0, False)
    operations.pause_queue("default", reason="later")
    assert "at the present rate" not in status()


def test_explain_says_when_a_ready_job_will_start():
    results = [add.enqueue(number) for number in range(40)]
    last = results[-1].id
    ended(3)
    assert "line" not in explain(last)
    rows.worker()
    reason = explain(last)["line"]
    assert reason.sentence.endswith("At the present rate it starts in about 20 min.")
    assert reason.details["starts_in_seconds"] == pytest.approx(1_170)
    assert explain(results[3].id)["line"].details["starts_in_seconds"] is None
