"""Schedules of people's own, made in Django's admin."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse

import gristmill
from gristmill import operations
from gristmill.models import Schedule
from tests.test_admin import HOSTILE, nightly, nightly_page, page, staff

pytestmark = pytest.mark.django_db(databases=["default", "other"])

ADD = "admin:gristmill_schedules_add"


@gristmill.task(schedulable=True)
def tidy(year=None, *, colour="red"):
    """A task that people may make schedules of."""


def given(**more):
    task = f"default:{tidy.task_name}"
    return {"name": "mine", "task": task, "cron": "0 8 * * *", "catch_up": "latest", "overlap": "allow", **more}


def mine_page():
    return reverse("admin:gristmill_schedules_change", args=["default_2Fmine"])


def change_page(name="mine"):
    return f"{reverse(ADD)}?change=default/{name}"


def test_who_may_makes_a_schedule_and_sees_when_it_is_due(client):
    staff(client, "view_schedule", "define_schedule")
    assert reverse(ADD) in client.get(page("schedules")).content.decode()

    made = client.post(reverse(ADD), given(args="[2026]", timezone="Europe/Zurich"), follow=True)

    schedule = Schedule.objects.get()
    assert (schedule.origin, schedule.task_name, schedule.rule["args"]) == ("database", tidy.task_name, "[2026]")
    assert (schedule.rule["cron"], schedule.rule["timezone"]) == ("0 8 * * *", "Europe/Zurich")
    assert "Made schedule mine." in made.content.decode()
    assert made.redirect_chain[-1][0] == mine_page()
    assert [entry.change_message for entry in LogEntry.objects.all()] == ["Made schedule mine"]


def test_it_is_changed_and_keeps_what_the_form_does_not_ask_for(client):
    staff(client, "view_schedule", "define_schedule")
    operations.define_schedule("mine", tidy, every=60, queue_name="mail", jitter=5, window=3600, cap=3, catch_up="all")

    shown = client.get(change_page()).content.decode()
    assert ('value="60s"' in shown, "Change it" in shown) == (True, True)
    client.post(change_page(), given(name="another", cron="", every="2h", kwargs='{"colour": "blue"}'))

    schedule = Schedule.objects.get()
    assert (schedule.name, schedule.queue_name, schedule.rule["every"]) == ("mine", "mail", 7200)
    assert [schedule.rule[name] for name in ("jitter", "window", "cap")] == [5, 3600, 3]
    assert schedule.rule["kwargs"] == '{"colour":"blue"}'


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"cron": "0 8 * *"}, "cron"),
        ({"cron": ""}, "every"),
        ({"every": "2h"}, "every"),
        ({"cron": "", "every": "soon"}, "soon"),
        ({"args": "[7"}, "It is not JSON"),
        ({"args": "{}"}, "It has to be like [7]."),
        ({"kwargs": '{"shape": 1}'}, "shape"),
        ({"timezone": "Europe/Nowhere"}, "Europe/Nowhere"),
        ({"task": "default:tests.app.tasks.add"}, "Select a valid choice"),
        ({"name": ""}, "This field is required."),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_made(client, wrong, said):
    staff(client, "view_schedule", "define_schedule")

    answer = client.post(reverse(ADD), given(**wrong))

    assert (answer.status_code, said in answer.content.decode()) == (200, True)
    assert (Schedule.objects.count(), LogEntry.objects.count()) == (0, 0)


def test_it_is_removed_and_the_list_is_shown(client):
    staff(client, "view_schedule", "define_schedule")
    operations.define_schedule("mine", tidy, "0 8 * * *")

    gone = client.post(mine_page(), {"action": "remove"}, follow=True)

    assert (gone.redirect_chain[-1][0], "Removed schedule mine." in gone.content.decode()) == (page("schedules"), True)
    assert Schedule.objects.count() == 0


def test_what_code_declares_is_neither_changed_nor_removed_here(client):
    nightly()
    staff(client, "view_schedule", "define_schedule")

    assert client.get(change_page("nightly")).status_code == 403
    assert client.post(change_page("nightly"), given()).status_code == 403
    refused = client.post(nightly_page(), {"action": "remove"}, follow=True)
    assert "belongs to the code" in refused.content.decode()
    taken = client.post(reverse(ADD), given(name="nightly"))
    assert "belongs to the code" in taken.content.decode()
    assert Schedule.objects.get().state == "active"


def test_who_may_not_is_refused_whatever_the_form_says(client):
    operations.define_schedule("mine", tidy, "0 8 * * *")
    staff(client, "view_schedule", "run_schedule", "pause_schedule")

    assert reverse(ADD) not in client.get(page("schedules")).content.decode()
    for address in (reverse(ADD), change_page()):
        assert (client.get(address).status_code, client.post(address, given()).status_code) == (403, 403)
    assert client.post(mine_page(), {"action": "remove"}).status_code == 403
    assert (Schedule.objects.get().state, LogEntry.objects.count()) == ("active", 0)


def test_a_hostile_text_is_shown_as_it_is(client):
    staff(client, "view_schedule", "define_schedule")

    answer = client.post(reverse(ADD), given(name=HOSTILE, cron=HOSTILE, args=HOSTILE))

    assert "<script>alert(1)" not in answer.content.decode()
