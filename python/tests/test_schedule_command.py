"""`manage.py gristmill schedule`, as people and scripts use it."""

from __future__ import annotations

import io
import json
import re
import shutil
from datetime import datetime, timedelta, timezone
from os import terminal_size

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone as django_timezone

import gristmill
from gristmill.compat import task_backends
from gristmill.models import Job, Schedule, Tick
from gristmill.schedules import declared
from gristmill.schedules.announcing import announced
from gristmill.schedules.declared import Declared
from gristmill.schedules.engine_cron import Answer
from gristmill.schedules.rules import checked_rule
from gristmill.tasks import registry
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
    monkeypatch.setattr("gristmill.inspect.schedules.ask_if_possible", read_rules)


def read_rules(questions):
    """Every rule is hourly to this engine."""
    found = []
    for asked in questions:
        hour = NOW.replace(minute=0)
        ahead = [hour + (number + 1) * HOUR for number in range(asked["count"])] if "after" in asked else []
        behind = [hour - number * HOUR for number in range(asked["count"])] if "before" in asked else []
        words = f"every {asked['every']:g} seconds" if "every" in asked else "at 02:00 every day, " + asked["zone"]
        found.append(Answer("only by hand" if asked.get("cron") == "manual" else words, ahead, behind))
    return found


def run(*arguments, columns=None, monkeypatch=None):
    """Runs the command; returns (exit status, what it said)."""
    output = io.StringIO()
    if columns is not None:
        output = Terminal()
        monkeypatch.setattr(shutil, "get_terminal_size", lambda: terminal_size((columns, 24)))
    try:
        call_command(
            "gristmill", "schedule", *arguments, stdout=output, stderr=io.StringIO(), force_color=columns is not None
        )
    except SystemExit as ended:
        return ended.code, output.getvalue()
    return 0, output.getvalue()


def of_code(name="nightly", *, columns=None, **options):
    """A schedule that a worker has announced."""
    rule = checked_rule(report, **({} if "every" in options else {"cron": "0 2 * * *"}) | options)
    said = announced(task_backends["default"], Declared(name, report, rule))
    values = {
        "backend": "default", "name": name, "origin": "code", "queue_name": said["queue_name"],
        "task_name": said["task_name"], "definition": json.dumps(said["definition"]), "job": json.dumps(said["job"]),
        "created_at": NOW - 48 * HOUR, "defined_at": NOW - 48 * HOUR, "high_water": NOW - HOUR,
        "next_at": None if rule.cron == "manual" else NOW.replace(hour=11, minute=0),
    }  # fmt: skip
    return Schedule.objects.create(**{**values, **(columns or {})})


def tick(schedule, hours_ago, *, job=None, skipped=None, late=0.25, by_hand=False):
    nominal = NOW.replace(minute=0) - hours_ago * HOUR
    return Tick.objects.create(
        backend=schedule.backend, schedule=schedule.name, nominal=nominal, found_at=nominal + timedelta(seconds=late),
        job_id=job, skipped=skipped, by_hand=by_hand,
    )  # fmt: skip


@pytest.fixture
def scene():
    """One of each kind."""
    nightly = of_code(datetime_kwarg="when", kwargs={"year": 2025}, catch_up="all", overlap="skip", jitter=30)
    done, failed = add.enqueue(1), add.enqueue(2)
    rows.succeed(done.id)
    rows.fail(failed.id)
    tick(nightly, 4, skipped="superseded")
    tick(nightly, 3, job=failed.id, late=75)
    tick(nightly, 2, job=done.id)
    of_code("mail.digest", every=900, queue_name="mail", columns={"next_at": NOW - HOUR})
    of_code("press", columns={"paused_at": NOW - 3 * HOUR, "paused_reason": "it is out of ink"})
    of_code("by_hand", cron="manual")
    of_code("broken", columns={"problem": "hour: 25 is not between 0 and 23, in '0 25 * * *'", "next_at": None})
    of_code("old", columns={"removed_at": NOW - 30 * HOUR})
    gristmill.schedule("0 2 * * *", name="new")(report)


LIST = """\
  NAME         RUNS                NEXT         LAST                 STATE
  broken       at 02:00 every day                                    problem
  by_hand      only by hand                                          active
  mail.digest  every 900 seconds   today 10:30                       overdue
  new          at 02:00 every day                                    not announced
  nightly      at 02:00 every day  today 12:00  2 h ago, successful  active
  press        at 02:00 every day                                    paused
  old          at 02:00 every day                                    removed

Times are of Europe/Zurich.

Paused
  NAME   SINCE    REASON
  press  3 h ago  it is out of ink

broken cannot run: hour: 25 is not between 0 and 23, in '0 25 * * *'

mail.digest is overdue: no worker of backend 'default' that serves queue mail has looked at it.

Not announced: no worker has started with it yet.
"""


def test_every_schedule_is_listed_with_its_rule_in_words_and_what_keeps_it_from_running(scene):
    assert run() == run("list") == (0, LIST)


def test_a_list_fits_its_terminal_and_is_coloured_there(scene, monkeypatch):
    _, said = run("list", columns=80, monkeypatch=monkeypatch)

    assert said.splitlines()[9].endswith("\x1b[32mactive\x1b[0m")
    plain = re.sub(r"\x1b\[[\d;]*m", "", said).splitlines()
    # Where rules have no room in the table, each is told whole below its name.
    assert plain[9:11] == [
        "  nightly      today 12:00  2 h ago, successful  active",
        "    at 02:00 every day",
    ]
    assert max(map(len, plain)) <= 80
    _, wide = run("list", columns=120, monkeypatch=monkeypatch)
    assert "  nightly      at 02:00 every day  today 12:00" in wide
    _, tiny = run("list", columns=40, monkeypatch=monkeypatch)
    assert "  RUNS   at 02:00 every day" in tiny


def test_the_next_instant_is_told_as_shortly_as_it_can_be():
    of_code("tomorrow", columns={"next_at": NOW + 20 * HOUR})
    of_code("later", columns={"next_at": NOW + 200 * HOUR})

    _, said = run()

    assert "  tomorrow  at 02:00 every day  Tue 07:30 " in said
    assert "  later     at 02:00 every day  2026-03-10 " in said


SHOW = """\
nightly  active

  runs         at 02:00 every day
  cron         0 2 * * *
  time zone    Europe/Zurich
  task         tests.test_schedule_command.report
  arguments    year=2025, when=the instant
  jobs         queue default
  catching up  a run for each missed instant, the newest 100 of the last 7 d
  overlap      left out while a job of an earlier instant has not ended
  jitter       up to 30 s
  made         2026-02-28 11:30, in code

Next, the first in 30 min
  Mon 2026-03-02 12:00    Mon 2026-03-02 19:00    Tue 2026-03-03 02:00
  Mon 2026-03-02 13:00    Mon 2026-03-02 20:00    Tue 2026-03-03 03:00
  Mon 2026-03-02 14:00    Mon 2026-03-02 21:00    Tue 2026-03-03 04:00
  Mon 2026-03-02 15:00    Mon 2026-03-02 22:00    Tue 2026-03-03 05:00
  Mon 2026-03-02 16:00    Mon 2026-03-02 23:00    Tue 2026-03-03 06:00
  Mon 2026-03-02 17:00    Tue 2026-03-03 00:00    Tue 2026-03-03 07:00
  Mon 2026-03-02 18:00    Tue 2026-03-03 01:00

Last
  INSTANT           LATE    OUTCOME     JOB, OR WHY NONE
  2026-03-02 09:00  250 ms  successful  {0}
  2026-03-02 08:00  75 s    failed      {1}
  2026-03-02 07:00  250 ms  left out    superseded

Times are of Europe/Zurich.
"""


def test_one_is_shown_with_what_is_to_come_and_what_became_of_the_last(scene, monkeypatch):
    ids = [tick.job_id.hex for tick in Tick.objects.with_a_job().order_by("-nominal")]

    assert run("show", "nightly") == (0, SHOW.format(*ids))
    _, said = run("show", "nightly", columns=80, monkeypatch=monkeypatch)
    assert max(map(len, re.sub(r"\x1b\[[\d;]*m", "", said).splitlines())) <= 80


def test_what_nobody_saw_to_is_shown_as_missed(scene):
    _, said = run("show", "mail.digest")

    assert "mail.digest  overdue" in said
    # What is before the mark is settled.
    assert "Missed so far\nmail.digest is overdue: no worker of backend 'default' that serves queue mail" in said
    assert "has looked at it.\n  Mon 2026-03-02 11:00\n\nNext" in said


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("press", "paused       3 h ago: it is out of ink"),
        ("press", "Next, were it not paused\n"),
        ("old", "removed      30 h ago"),
        ("broken", "It cannot run: hour: 25 is not between 0 and 23, in '0 25 * * *'"),
        ("new", "No worker has started with it yet."),
        ("by_hand", "runs         only by hand"),
    ],
)
def test_why_one_does_not_run_is_said(scene, name, sentence):
    assert sentence in run("show", name)[1]


def test_a_definition_that_cannot_be_read_spoils_nothing(scene):
    Schedule.objects.filter(name="broken").update(definition="[", job="")

    assert run()[0] == 0
    assert "arguments    none" in run("show", "broken")[1]


def test_without_an_engine_rules_are_shown_as_they_were_written(scene, monkeypatch):
    monkeypatch.setattr("gristmill.inspect.schedules.ask_if_possible", lambda questions: None)

    _, said = run()

    assert "  nightly      0 2 * * *" in said
    assert "  mail.digest  every 900 s" in said
    assert run("show", "nightly")[0] == 0


def test_programs_read_json(scene):
    listed = json.loads(run("list", "--json")[1])["schedules"]
    assert [one["name"] for one in listed] == ["broken", "by_hand", "mail.digest", "new", "nightly", "press", "old"]
    shown = json.loads(run("show", "nightly", "--json")[1])
    assert (shown["state"], shown["definition"]["cron"], len(shown["next"])) == ("active", "0 2 * * *", 20)
    assert [tick["outcome"] for tick in shown["ticks"]] == ["successful", "failed", "left out"]
    assert shown["ticks"][1]["late_seconds"] == 75


def test_tasks_that_cannot_be_imported_leave_what_workers_have_announced(monkeypatch):
    def broken():
        raise ImportError("no module named shop")

    of_code()
    monkeypatch.setattr(registry, "load", broken)

    assert "nightly" in run()[1]


def test_a_schedule_is_run_now():
    of_code()

    status, said = run("run", "nightly")

    assert (status, said) == (0, f"Enqueued job {Job.objects.get().id.hex} of schedule nightly.\n")
    assert json.loads(run("run", "nightly", "--json")[1])["existing"] is False
    assert "by hand" in run("show", "nightly")[1]


def test_a_schedule_is_paused_and_resumed():
    of_code()

    said = "Paused schedule nightly. What it leaves out meanwhile is not made up for.\n"
    assert run("pause", "nightly", "--reason", "out of ink") == (0, said)
    assert run("resume", "nightly") == (0, "Resumed schedule nightly.\n")
    assert run("resume", "nightly") == (1, "Schedule nightly was not paused.\n")


def test_the_next_instant_of_a_new_schedule_is_told_before_a_worker_has_looked_at_it():
    run("add", "mine", "tests.test_schedule_command.report", "--cron", "0 * * * *")
    assert Schedule.objects.get().high_water is None
    (found,) = json.loads(run("list", "--json")[1])["schedules"]
    assert datetime.fromisoformat(found["next_at"]) == NOW.replace(minute=0) + HOUR


def test_schedules_are_made_and_removed():
    command = ["add", "mine", "tests.test_schedule_command.report", "--cron", "0 8 * * mon", "--args", "[2025]"]
    assert run(*command) == (0, "Made schedule mine.\n")
    assert run(*command[:3], "--every", "90s", "--catch-up", "all", "--run-on-creation", "--json") == (
        0,
        '{"name": "mine", "backend": "default", "done": "changed"}\n',
    )
    rule = Schedule.objects.get().rule
    assert (rule["every"], rule["args"], rule["catch_up"], rule["run_on_creation"]) == (90, "[]", "all", True)
    assert run("remove", "mine") == (0, "Removed schedule mine.\n")
    assert run("remove", "mine") == (1, "There is no schedule mine.\n")


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["show"], "which schedule? Write: manage.py gristmill schedule show NAME"),
        (["list", "nightly"], "to list takes no name; say show, run, pause, resume, add or remove"),
        (["pause", "nightly"], 'why? Write: manage.py gristmill schedule pause nightly --reason "the provider'),
        (["resume", "nightly", "--reason", "x"], "--reason belongs to a pause"),
        (["run", "nightly", "--cron", "@daily"], "--cron belongs to add; to run takes none"),
        (["run", "nightly", "--kwargs", "{}"], "--kwargs belongs to add; to run takes none"),
        (["add", "mine"], "of which task? Write: manage.py gristmill schedule add NAME TASK --cron ..."),
        (["add", "mine", "a.b", "--cron", "@daily"], "no task is registered here under the name 'a.b'"),
        (["add", "mine", "a.b", "--args", "["], "--args is not JSON"),
        (["show", "nightly"], "backend 'default' has no schedule 'nightly'"),
        (["run", "nightly", "--backend", "nowhere"], "there is no backend 'nowhere' in TASKS"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_sentence(command, sentence):
    with pytest.raises(CommandError) as refused:
        run(*command)
    assert str(refused.value).startswith(sentence)
