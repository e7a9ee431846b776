"""`manage.py gristmill check --pending`: before a deploy, what is queued that the new code cannot run."""

from __future__ import annotations

import io
import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

import gristmill
from gristmill import operations
from gristmill.inspect import pending
from gristmill.models import JobRow, ReadyRow, ScheduledRow, WaitingRow
from tests import crowd, goals, rows
from tests.app.tasks import add, send, with_context

pytestmark = pytest.mark.django_db(databases=["default", "other"])


def check(*arguments):
    """The exit status, and what is printed."""
    output, status = io.StringIO(), 0
    try:
        call_command("gristmill", "check", "--pending", *arguments, stdout=output)
    except SystemExit as ended:
        status = ended.code
    return status, output.getvalue()


def renamed(name):
    for model in (JobRow, ReadyRow, ScheduledRow, WaitingRow):
        model.objects.filter(task_name="tests.app.tasks.send").update(task_name=name)


def test_what_this_code_can_run_is_fine():
    add.enqueue(1, right=2)
    add.using(run_after=timedelta(hours=1)).enqueue(1)
    with_context.enqueue(1, a=2)
    operations.hold(send.enqueue("a", b=1))
    goals.wait(add.enqueue(3), add.enqueue(4))

    assert check() == (0, "This code can run all of the 6 jobs that were looked at.\n")


def test_a_task_that_this_code_does_not_know_is_named_with_the_remedy():
    job = send.enqueue("a")
    renamed("tests.app.tasks.post")

    status, said = check()

    assert status == 1
    assert said.splitlines()[:2] == [
        "tests.app.tasks.post in queue mail, ready",
        "  1 job of 1 looked at cannot run.",
    ]
    assert "has no task of that name; where it was renamed or moved, give the new one aliases=" in said
    assert job.id in said
    assert said.splitlines()[-1] == "1 job of 1 looked at cannot run with this code."


def test_arguments_that_do_not_fit_any_more_are_named():
    fine, more, odd, scheduled = (add.enqueue(number) for number in range(4))
    JobRow.objects.filter(pk=more.id).update(args="[1, 2, 3]")
    JobRow.objects.filter(pk=odd.id).update(kwargs='{"size": 3}')
    operations.hold(scheduled)
    JobRow.objects.filter(pk=scheduled.id).update(args="[1")

    status, said = check("--json")
    lanes = {lane["place"]: lane for lane in json.loads(said)["lanes"]}

    assert status == 1
    assert {misfit["id"]: misfit["why"] for misfit in lanes["ready"]["first"]} == {
        more.id: "too many positional arguments",
        odd.id: "got an unexpected keyword argument 'size'",
    }
    assert lanes["ready"]["kinds"] == {"arguments": 2}
    assert lanes["waiting"]["kinds"] == {"unreadable": 1}
    assert fine.id not in said


@pytest.mark.parametrize("place", ["scheduled", "waiting"])
def test_what_is_scheduled_waits_or_is_held_is_looked_at_too(place):
    if place == "scheduled":
        send.using(run_after=timedelta(hours=1)).enqueue("a")
    else:
        goals.wait(send.enqueue("a"), add.enqueue(1))
    renamed("gone.away")

    assert f"gone.away in queue mail, {place}" in check()[1]
    assert check()[0] == 1


def test_jobs_that_run_or_have_ended_are_no_concern():
    rows.claim(add.enqueue(1).id)
    rows.succeed(add.enqueue(2).id)
    JobRow.objects.update(args="[1, 2, 3, 4]")

    assert check()[0] == 0


def test_a_task_whose_code_is_meant_to_be_elsewhere_may_be_left_out():
    gristmill.remote("thumbs.make").enqueue(7)

    assert check()[0] == 1
    assert check("--ignore", "thumbs.make")[0] == 0


def test_what_was_not_looked_at_is_said(monkeypatch):
    monkeypatch.setattr(pending, "READ", 4)
    monkeypatch.setattr(pending, "BATCH", 2)
    for number in range(6):
        add.enqueue(number)
        add.using(run_after=timedelta(hours=1)).enqueue(number)

    status, said = check("--sample", "3", "--backend", "default")

    assert status == 0
    assert said.splitlines() == [
        "This code can run all of the 6 jobs that were looked at.",
        "Of 2 pairs of queue and task there are more than that; --sample looks at more.",
        "Not looked at: scheduled jobs beyond the first 4.",
    ]


def test_the_first_few_are_named_and_the_others_counted():
    for number in range(9):
        add.enqueue(number)
    JobRow.objects.update(args="[1, 2, 3]")

    lane = json.loads(check("--json")[1])["lanes"][0]

    assert (lane["misfits"], len(lane["first"])) == (9, 5)


def test_each_database_is_looked_at():
    job = add.using(backend="elsewhere").enqueue(1)
    JobRow.objects.using("other").update(args="[1, 2, 3]")

    assert job.id in check()[1]
    assert check("--backend", "default")[0] == 0


def test_hostile_text_moves_no_cursor():
    send.enqueue("a")
    renamed("\x1b[2J<b>\u202eevil")

    assert all(line.isprintable() for line in check()[1].split("\n"))


def test_it_says_what_to_check():
    with pytest.raises(CommandError, match="--pending"):
        call_command("gristmill", "check", stdout=io.StringIO())


def test_it_reads_a_bounded_number_of_rows(monkeypatch):
    crowd.fill(3_000)
    monkeypatch.setattr(pending, "BATCH", 50)
    monkeypatch.setattr(pending, "READ", 200)

    with crowd.statements() as noted:
        pending.check_pending(connection, {"default"}, 100)

    assert max(crowd.rows_read(sql, binds) for sql, binds in noted) < 1_000
