"""Run now, change, and run again with other arguments, in Django's admin."""

from __future__ import annotations

import json
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.urls import reverse

from gristmill import operations
from gristmill.models import Job, JobRow
from tests import rows
from tests.app import worked
from tests.app.tasks import add
from tests.test_admin import job_page, page, staff, ticked

pytestmark = pytest.mark.django_db(databases=["default", "other"])

TOMORROW = timedelta(days=1)
SECRET = "4711-secret"


def said(response):
    return response.content.decode()


def lanes():
    return sorted(Job.objects.values_list("queue_name", "priority"))


def log():
    return [entry.change_message for entry in LogEntry.objects.order_by("pk")]


def test_scheduled_jobs_that_were_ticked_run_now_and_the_others_are_named(client):
    staff(client, "view_job", "run_job")
    later, ready = add.using(run_after=TOMORROW).enqueue(1), add.enqueue(2)

    assert "Run now 2 jobs?" in said(client.post(page("job"), ticked(later, ready, action="run_now")))
    done = client.post(page("job"), ticked(later, ready, action="run_now", confirmed="1"), follow=True)

    assert "Readied 1 job. 1 job left alone, as it is not scheduled but ready" in said(done)
    assert Job.objects.get(pk=later.id).state == "ready"
    assert len(log()) == 1


def test_a_scheduled_job_runs_now_from_its_page_and_no_other_offers_it(client):
    staff(client, "view_job", "run_job")
    later, ready = add.using(run_after=TOMORROW).enqueue(1), add.enqueue(2)

    assert ["Run now" in said(client.get(job_page(job))) for job in (later, ready)] == [True, False]
    assert "Readied 1 job." in said(client.post(job_page(later), {"action": "run_now"}, follow=True))
    assert "Run now" not in said(client.get(job_page(later)))


def test_all_that_a_search_finds_is_changed_and_nothing_that_came_later(client):
    staff(client, "view_job", "move_job")
    add.enqueue_many([(number,) for number in range(60)])
    address = page("job") + "?q=state:ready"
    asked = client.post(address, {"action": "change", "everything": "1"})
    assert "<option>mail</option>" in said(asked)
    later = add.enqueue(100)

    more = {"ceiling": asked.context_data["chosen"].ceiling.hex, "confirmed": "1", "priority": "7", "queue": "mail"}
    done = client.post(address, {"action": "change", "everything": "1", **more}, follow=True)

    assert "Changed 60 jobs." in said(done)
    assert lanes() == [("default", 0), *[("mail", 7)] * 60]
    assert Job.objects.get(pk=later.id).priority == 0
    assert log() == ["Change to priority 7, queue mail: Changed 60 jobs."]


def test_one_job_is_changed_from_its_page_and_what_is_left_out_stays(client):
    staff(client, "view_job", "move_job")
    job = add.using(priority=3).enqueue(1)

    form = said(client.get(job_page(job)))
    assert [f"<option>{name}</option>" in form for name in ("default", "mail", "print")] == [True, True, False]
    client.post(job_page(job), {"action": "change", "priority": "", "queue": "mail"})
    assert lanes() == [("mail", 3)]
    client.post(job_page(job), {"action": "change", "priority": "-100", "queue": ""})
    assert lanes() == [("mail", -100)]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({}, "Nothing was done: a change needs a priority"),
        ({"priority": "101"}, "Nothing was done: priority must be a whole number from -100 to 100"),
        ({"priority": "1e1"}, "is no priority"),
        ({"priority": "9" * 5_000}, "is no priority"),
        ({"queue": "print"}, "1 job left alone, as its backend has no such queue"),
    ],
)
def test_a_change_that_no_enqueue_would_take_is_refused(client, asked, sentence):
    staff(client, "view_job", "move_job")
    job = add.enqueue(1)

    assert sentence in said(client.post(job_page(job), {"action": "change", **asked}, follow=True))
    assert sentence in said(client.post(page("job"), ticked(job, action="change", confirmed="1", **asked), follow=True))
    assert (lanes(), log()) == ([("default", 0)], [])


def test_a_job_runs_again_with_other_arguments_and_each_page_leads_to_the_other(client):
    staff(client, "view_job", "enqueue_job")
    former = add.enqueue(1, right=2)
    rows.fail(former.id)

    form = client.post(job_page(former), {"action": "enqueue_again"})
    assert (json.loads(form.context_data["args"]), json.loads(form.context_data["kwargs"])) == ([1], {"right": 2})
    asked = {"action": "enqueue_again", "confirmed": "1", "args": "[5]", "kwargs": '{"right": 6}'}
    done = client.post(job_page(former), asked, follow=True)

    made = Job.objects.exclude(pk=former.id).get()
    page_of_the_new = reverse("admin:gristmill_job_change", args=[made.id.hex])
    assert (made.args, made.kwargs, made.state) == ([5], {"right": 6}, "ready")
    assert done.redirect_chain[-1][0] == page_of_the_new
    assert job_page(former) in said(done)
    assert page_of_the_new in said(client.get(job_page(former)))
    assert log() == [f"Ran again with other arguments: job {made.id.hex}"]
    assert Job.objects.get(pk=former.id).state == "failed"


def test_one_of_the_two_that_is_forgotten_is_named_and_no_link(client):
    staff(client, "view_job")
    former = add.enqueue(1)
    made = operations.enqueue_again(former, args=[2])
    operations.cancel(former)
    Job.objects.get(pk=former.id).delete()

    page_of_the_new = said(client.get(job_page(made)))

    assert (former.id in page_of_the_new, job_page(former) in page_of_the_new) == (True, False)


@pytest.mark.parametrize(
    ("args", "kwargs", "sentence"),
    [
        ("[1", "{}", "the positional arguments are no JSON"),
        ("{}", "{}", "the positional arguments are a JSON list, and this is none"),
        ("[1]", "[]", "the arguments by name are a JSON object, and this is none"),
        ("[1, 2, 3]", "{}", "too many positional arguments"),
        ("[NaN]", "{}", "args[0]"),
        ("[1]", '{"left": 2}', "multiple values for argument"),
        ("[" * 100_000, "{}", "the positional arguments are"),
        ('["[redacted]"]', "{}", "stands where a value is hidden"),
    ],
)
def test_arguments_that_do_not_fit_are_shown_again_with_what_is_wrong(client, args, kwargs, sentence):
    staff(client, "view_job", "enqueue_job")
    former = add.enqueue(1)

    asked = {"action": "enqueue_again", "confirmed": "1", "args": args, "kwargs": kwargs}
    shown = client.post(job_page(former), asked)

    assert sentence in shown.context_data["wrong"]
    assert (shown.context_data["args"], Job.objects.count(), log()) == (args, 1, [])


def test_a_unique_job_that_is_met_is_told(client):
    staff(client, "view_job", "enqueue_job")
    former = worked.once.enqueue("a")

    asked = {"action": "enqueue_again", "confirmed": "1", "args": '["a"]', "kwargs": "{}"}
    done = client.post(job_page(former), asked, follow=True)

    assert f"Nothing was enqueued: job {former.id} has its unique key" in said(done)
    assert (Job.objects.count(), log()) == (1, [])


def test_who_may_not_see_all_arguments_cannot_run_a_job_again_with_others(client):
    former = add.enqueue(1)
    JobRow.objects.filter(pk=former.id).update(kwargs=json.dumps({"password": SECRET}))
    user = staff(client, "view_job", "enqueue_job")

    assert "Run again" not in said(client.get(job_page(former)))
    for more in ({}, {"confirmed": "1", "args": "[1]", "kwargs": '{"password": "[redacted]"}'}):
        refused = client.post(job_page(former), {"action": "enqueue_again", **more})
        assert (refused.status_code, SECRET in said(refused)) == (403, False)
    assert (Job.objects.count(), log()) == (1, [])

    user.user_permissions.add(Permission.objects.get(codename="reveal_job"))
    assert SECRET not in said(client.get(job_page(former)))
    assert SECRET in said(client.post(job_page(former), {"action": "enqueue_again"}))
    assert log() == ["Saw redacted arguments"]


def test_nothing_of_it_is_done_by_an_address(client):
    staff(client, "view_job", "enqueue_job", "run_job", "move_job")
    job = add.using(run_after=TOMORROW).enqueue(1)
    before = list(Job.objects.values())

    for action in ("enqueue_again", "run_now", "change"):
        asked = {"action": action, "confirmed": "1", "job": job.id, "priority": "1", "args": "[2]", "kwargs": "{}"}
        for address in (job_page(job), page("job"), reverse("admin:gristmill_failures_changelist")):
            assert client.get(address, asked).status_code == 200
            assert client.post(f"{address}?{urlencode(asked)}").status_code == 403

    assert (list(Job.objects.values()), log()) == (before, [])


def test_a_job_whose_arguments_cannot_be_read_offers_it_not(client):
    staff(client, "view_job", "enqueue_job")
    former = add.enqueue(1)
    JobRow.objects.filter(pk=former.id).update(args="no JSON")

    assert "Run again" not in said(client.get(job_page(former)))
    assert "its arguments cannot be read" in said(
        client.post(job_page(former), {"action": "enqueue_again"}, follow=True)
    )
