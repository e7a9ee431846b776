"""`manage.py gristmill schedule`, as people and scripts use it."""

from __future__ import annotations

import io
import json
import shutil
from datetime import datetime, timedelta, timezone
from os import terminal_size

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone as django_timezone

import gristmill
from gristmill import operations, registry
from gristmill.compat import task_backends
from gristmill.models import Job, Schedule, Tick
from gristmill.scheduling import asking, declared
from gristmill.scheduling.announcing import announced
from gristmill.scheduling.asking import Answer
from gristmill.scheduling.declared import Declared
from gristmill.scheduling.rules import checked_rule
from tests import rows
from tests.app.tasks import add

pytestmark = pytest.mark.django_db(databases=["default", "other"])

NOW = datetime(2026, 3, 2, 10, 30, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


@gristmill.task(schedulable=True)
def report(year=2026, *, when=None):
    return year


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def _stopped(monkeypatch):
    """Time stands still, no code declares a schedule, and the engine reads rules as it is taught here."""
    monkeypatch.setattr(django_timezone, "now", lambda: NOW)
    monkeypatch.setattr(declared, "_schedules", {})
    monkeypatch.setattr(registry, "_loaded", True)
    monkeypatch.setattr("gristmill.scheduling.seeing.ask_if_possible", read_rules)


def read_rules(questions):
    """Every rule is hourly to this engine."""
    found = []
    for asked in questions:
        after, before = asked.get("after"), asked.get("before")
        hours = (
            [datetime.fromtimestamp(after or before, timezone.utc).replace(minute=0)] * asked["count"]
            if after or before
            else []
        )
        ahead = [hour + (number + 1) * HOUR for number, hour in enumerate(hours)] if after else []
        behind = [hour - number * HOUR for number, hour in enumerate(hours)] if before else []
        zone = asked["zone"]
        words = (
            "only by hand"
            if asked.get("cron") == "manual"
            else f"every {asked['every']:g} s"
            if "every" in asked
            else f"at {asked['cron']}, {zone}"
        )
        found.append(Answer(words, ahead, behind))
    return found


def run(*arguments, columns=None, monkeypatch=None):
    """Runs the command; returns (exit status, what it said)."""
    output = io.StringIO()
    if columns is not None:
        output = Terminal()
        monkeypatch.setattr(shutil, "get_terminal_size", lambda: terminal_size((columns, 24)))
    try:
        call_command("gristmill", "schedule", *arguments, stdout=output, no_color=columns is None, stderr=io.StringIO())
    except SystemExit as ended:
        return ended.code, output.getvalue()
    return 0, output.getvalue()


def of_code(name="nightly", task=report, *, cron="0 2 * * *", **columns):
    """A schedule that a worker has announced."""
    options = {
        key: columns.pop(key)
        for key in list(columns)
        if key not in {f.name for f in Schedule._meta.fields} or key == "queue_name"
    }
    if "every" in options:
        cron = None
    said = announced(task_backends[task.backend], Declared(name, task, checked_rule(task, cron=cron, **options)))
    values = {
        "backend": task.backend, "name": name, "origin": "code", "queue_name": said["queue_name"],
        "task_name": said["task_name"], "definition": json.dumps(said["definition"]), "job": json.dumps(said["job"]),
        "created_at": NOW - 48 * HOUR, "defined_at": NOW - 48 * HOUR, "high_water": NOW - HOUR,
        "next_at": None if cron == "manual" else NOW.replace(hour=11, minute=0),
    }  # fmt: skip
    return Schedule.objects.create(**{**values, **columns})


def tick(schedule, hours_ago, *, job=None, skipped=None, late=0.25, by_hand=False):
    nominal = NOW.replace(minute=0) - hours_ago * HOUR
    return Tick.objects.create(
        backend=schedule.backend, schedule=schedule.name, nominal=nominal, found_at=nominal + timedelta(seconds=late),
        job_id=job, skipped=skipped, by_hand=by_hand,
    )  # fmt: skip


def scene():
    """One of each kind."""
    nightly = of_code(datetime_kwarg="when", kwargs={"year": 2025}, catch_up="all", overlap="skip", jitter=30)
    done, failed = add.enqueue(1), add.enqueue(2)
    rows.succeed(done.id)
    rows.fail(failed.id)
    tick(nightly, 4, skipped="superseded")
    tick(nightly, 3, job=Job.objects.get(pk=failed.id).id, late=75)
    tick(nightly, 2, job=Job.objects.get(pk=done.id).id)
    of_code("mail.digest", every=900, next_at=NOW - 10 * timedelta(minutes=1), queue_name="mail")
    of_code("press", paused_at=NOW - 3 * HOUR, paused_reason="the press is broken, and the spare part comes on Friday")
    of_code("by_hand", cron="manual")
    of_code("broken", problem="minute: 75 is not between 0 and 59, in '75 * * * *'", next_at=None)
    of_code("old", removed_at=NOW - 30 * HOUR)
    gristmill.schedule("0 4 * * sun", name="new")(report)


def test_show_me(monkeypatch):
    scene()
    for columns in (80, 120):
        print()
        print("=" * columns)
        print(run("list", columns=columns, monkeypatch=monkeypatch)[1])
        print(run("show", "nightly", columns=columns, monkeypatch=monkeypatch)[1])
        print(run("show", "mail.digest", columns=columns, monkeypatch=monkeypatch)[1])
        print(run("show", "press", columns=columns, monkeypatch=monkeypatch)[1])
