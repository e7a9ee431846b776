"""`manage.py gristmill doctor`, as people and scripts use it."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import CommandError, call_command

from gristmill.doctor import examine as module
from gristmill.models import GateRow, ReadyRow
from tests.app.tasks import add
from tests.busy import a_busy_healthy_database

pytestmark = pytest.mark.django_db(databases=["default", "other"])


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.0)


def run(*arguments):
    """Runs the command; gives its exit status and what it said."""
    output = io.StringIO()
    try:
        call_command("gristmill", "doctor", *arguments, stdout=output, stderr=io.StringIO())
    except SystemExit as ended:
        return ended.code, output.getvalue()
    return 0, output.getvalue()


def test_a_sound_database_is_one_sentence():
    a_busy_healthy_database()

    status, said = run("--database", "default")

    assert status == 0
    assert said.startswith("Nothing is broken: ")
    assert len(said.splitlines()) == 1


def test_problems_are_told_under_what_must_be_true_and_the_status_is_1():
    busy = a_busy_healthy_database()
    GateRow.objects.filter(pk=busy.id("all")).update(open=3)
    lost = [add.enqueue(number) for number in range(7)]
    ReadyRow.objects.filter(pk__in=[job.id for job in lost]).delete()

    status, said = run("--database", "default")

    lines = said.splitlines()
    assert status == 1
    assert lines[:2] == ["Problems", "  job without a place (I1)"]
    assert lines[2].startswith(f"    {lost[0].id}: tests.app.tasks.add is in no place")
    assert lines[7:10] == [
        "    and 2 more; --json names them",
        "  gate counts (I9)",
        f"    {busy.id('all').hex}: its gate counts 3 open, 1 successful, 0 failed; its edges are 4, 1, 0",
    ]
    assert lines[-1] == "--fix can put 8 of them right."
    assert lines[-2].startswith("8 problems: ")


def test_a_fix_tells_what_it_put_right():
    busy = a_busy_healthy_database()
    GateRow.objects.filter(pk=busy.id("all")).update(open=3)

    status, said = run("--database", "default", "--fix")

    assert status == 0
    assert said.splitlines()[:2] == ["Put right", "  gate counts (I9)"]
    assert "[counted again: 4 open, 1 successful, 0 failed]" in said


def test_warnings_do_not_change_the_status():
    a_busy_healthy_database()
    add.using(queue_name="mail", backend="any_queue").enqueue(1)

    status, said = run("--database", "default")

    assert status == 0
    assert said.splitlines()[:2] == ["Warnings", "  nobody serves it (I8)"]


def test_every_database_is_examined_and_named():
    status, said = run()

    assert status == 0
    assert [line for line in said.splitlines() if line.startswith("Database")] == ["Database default", "Database other"]
    assert "No worker is running, so " in said


def test_json_has_every_finding_with_its_facts():
    add.enqueue(1)
    ReadyRow.objects.all().delete()

    status, said = run("--json", "--backend", "default")

    (database,) = json.loads(said)["databases"]
    assert status == 1
    assert (database["database"], database["unchecked"]) == ("default", {})
    assert [(one["check"], one["severity"], one["mendable"]) for one in database["findings"]] == [
        ("job without a place", "problem", True)
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--backend", "nope"], "there is no backend 'nope'"),
        (["--database", "nope"], "keeps jobs on database 'nope'"),
        (["--backend", "default", "--database", "other"], "keeps its jobs on database 'default'"),
    ],
)
def test_what_cannot_be_checked_is_status_2(arguments, sentence):
    with pytest.raises(CommandError, match=sentence) as refused:
        run(*arguments)

    assert refused.value.returncode == 2


def test_a_check_that_cannot_be_carried_out_is_status_2(monkeypatch):
    a_busy_healthy_database()
    monkeypatch.setattr(module, "page_of", _refuses)

    status, said = run("--database", "default")

    assert status == 2
    assert "Could not check" in said.splitlines()
    assert "  job without a place: the disk is on fire" in said.splitlines()


def _refuses(examination, table, after, size, checks):
    from django.db import OperationalError

    raise module.Unanswered(None, OperationalError("the disk is on fire"))
