"""Gristmill's pages in Django's admin: what they show, who may act, and what is written down."""

from __future__ import annotations

import html
import json
import re
from datetime import timedelta
from urllib.parse import parse_qs

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from gristmill import operations
from gristmill.admin import actions
from gristmill.models import Attempt, Job, JobRow, Queue, ReadyRow, Schedule
from tests import goals, rows
from tests.app.tasks import add

pytestmark = pytest.mark.django_db(databases=["default", "other"])

PAGES = {
    "overview": "overview",
    "job": "job",
    "failures": "job",
    "queues": "queue",
    "schedules": "schedule",
    "worker": "worker",
}
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


def staff(client, *codenames):
    """Logs a member of the staff in who has these permissions, and returns them."""
    user = User.objects.create_user("lea", password="secret", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(user)
    return user


def viewer(client):
    return staff(client, *(f"view_{name}" for name in PAGES.values()))


def page(name):
    return reverse(f"admin:gristmill_{name}_changelist")


def nightly(**columns):
    now = timezone.now()
    values = {
        "backend": "default", "name": "nightly", "origin": "code", "queue_name": "default",
        "task_name": "tests.app.tasks.add", "definition": json.dumps({"cron": "0 2 * * *", "args": "[1]"}), "job": "{}",
        "created_at": now, "defined_at": now, "high_water": now, "next_at": now + timedelta(hours=1),
    }  # fmt: skip
    return Schedule.objects.create(**{**values, **columns})


def nightly_page():
    return reverse("admin:gristmill_schedules_change", args=["default_2Fnightly"])


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_for_who_may_see_it_and_for_nobody_else(client, name):
    assert client.get(page(name)).status_code == 302
    user = staff(client)
    assert client.get(page(name)).status_code == 403

    user.user_permissions.set(Permission.objects.filter(codename=f"view_{PAGES[name]}"))

    assert client.get(page(name)).status_code == 200


def test_the_overview_shows_problems_first_and_a_green_line_without(client):
    viewer(client)
    assert "All is well" in client.get(page("overview")).content.decode()

    operations.pause_queue("mail", reason="the provider is down")

    said = client.get(page("overview")).content.decode()
    assert "Queue mail has been paused" in said
    assert said.index("the provider is down") < said.index("<h2>Queues</h2>")


def test_what_is_in_the_tables_is_shown_as_text(client):
    viewer(client)
    rows.worker(label=HOSTILE, host=HOSTILE, last_error=HOSTILE)
    rows.worker(label=HOSTILE, lost_at=timezone.now(), last_error=HOSTILE)
    operations.pause_queue("mail", reason=HOSTILE)
    rows.fail(add.enqueue(1, right=HOSTILE).id, traceback=HOSTILE)
    operations.hold(add.enqueue(2), reason=HOSTILE)
    nightly(name=HOSTILE, problem=HOSTILE, task_name=HOSTILE)

    for name in PAGES:
        for query in ("", "?fragment=1"):
            said = client.get(page(name) + query).content.decode()
            assert "<img src=x" not in said
            assert "<script>alert" not in said
    for job in Job.objects.all():
        for name in ("change", "graph"):
            said = client.get(reverse(f"admin:gristmill_job_{name}", args=[job.id.hex])).content.decode()
            assert "<img src=x" not in said
            assert "<script>alert" not in said


def test_a_queue_is_paused_and_resumed_with_a_reason_and_it_is_written_down(client):
    staff(client, "view_queue", "pause_queue")
    asked = {"action": "pause", "backend": "default", "queue": "mail", "reason": "the provider is down"}

    client.post(page("queues"), asked)
    assert (Queue.objects.get().queue_name, Queue.objects.get().reason) == ("mail", "the provider is down")
    said = client.post(page("queues"), {**asked, "action": "resume"}, follow=True).content.decode()

    assert Queue.objects.count() == 0
    assert "Resumed queue mail." in said
    assert [entry.change_message for entry in LogEntry.objects.order_by("pk")] == [
        "Paused queue mail: the provider is down",
        "Resumed queue mail",
    ]


def test_a_schedule_is_run_paused_and_resumed(client):
    nightly()
    staff(client, "view_schedule", "run_schedule", "pause_schedule")

    client.post(nightly_page(), {"action": "run"})
    client.post(nightly_page(), {"action": "pause", "reason": "holidays"})
    assert (Job.objects.count(), Schedule.objects.get().paused_reason) == (1, "holidays")
    client.post(nightly_page(), {"action": "resume"})

    assert Schedule.objects.get().state == "active"
    assert LogEntry.objects.count() == 3


def ticked(*jobs, action="retry", **more):
    return {"action": action, "job": [job.id for job in jobs], **more}


def states():
    return sorted(Job.objects.values_list("state", flat=True))


def test_jobs_are_found_by_state_and_by_what_is_searched_for(client):
    viewer(client)
    rows.fail(add.enqueue(1).id, traceback="ValueError: no such order\n")
    add.enqueue(4711)

    failed = client.get(page("job"), {"q": "state:failed"}).content.decode()
    assert ("ValueError: no such order" in failed, "4711" in failed) == (True, False)
    assert "4711" in client.get(page("job"), {"q": "args.0:4711"}).content.decode()
    assert "No job matches this search" in client.get(page("job"), {"q": "task:nowhere"}).content.decode()
    wrong = client.get(page("job"), {"q": "stat:failed"})
    assert (wrong.status_code, "did you mean state:?" in wrong.content.decode()) == (200, True)


def searches(client):
    """Where the overview's queues lead to."""
    said = client.get(page("overview")).content.decode()
    return [html.unescape(link) for link in re.findall(r'href="(/admin/gristmill/job/[?]q=queue[^"]*)"', said)]


@pytest.mark.parametrize("name", ["with space", 'with "quotes"', "with\\backslash", 'all "of\\these"', "two\nlines"])
def test_a_queue_leads_to_its_jobs_whatever_its_name(client, name):
    viewer(client)
    add.using(backend="any_queue", queue_name=name).enqueue("the one")
    add.enqueue(1)

    found = [client.get(link).content.decode() for link in searches(client)]

    assert sum("the one" in said for said in found) == 1
    assert not any('class="gm-error"' in said for said in found)


def test_a_queue_whose_name_is_longer_than_a_search_is_no_link(client):
    viewer(client)
    before = searches(client)
    add.using(backend="any_queue", queue_name="x" * 300).enqueue(1)
    assert searches(client) == before


def test_another_state_keeps_the_rest_of_a_search(client):
    viewer(client)

    answer = client.get(page("job"), {"q": 'state:failed error:"a  state:b c" queue:mail'})

    urls = {name: parse_qs(url.removeprefix("?")) for name, _, url, _ in answer.context_data["states"]}
    assert urls["ready"] == {"q": ['state:ready error:"a  state:b c" queue:mail']}
    assert urls["all"] == {"q": ['error:"a  state:b c" queue:mail']}


def test_the_next_page_goes_on_where_this_one_ends(client):
    viewer(client)
    add.enqueue_many([(number,) for number in range(70)])

    first = client.get(page("job"), {"q": "state:ready"})
    following = first.context_data["following"]
    second = client.get(page("job") + following)

    shown = [[row.id for row, _ in answer.context_data["rows"]] for answer in (first, second)]
    assert ([len(ids) for ids in shown], len({*shown[0], *shown[1]})) == ([50, 20], 70)
    back = client.get(page("job") + second.context_data["preceding"])
    assert [row.id for row, _ in back.context_data["rows"]] == shown[0]


def test_what_was_ticked_is_retried_once_that_is_confirmed(client):
    staff(client, "view_job", "retry_job")
    first, second, left = (add.enqueue(number) for number in range(3))
    for job in (first, second, left):
        rows.fail(job.id)

    asked = client.post(page("job"), ticked(first, second))
    assert ("Retry 2 jobs" in asked.content.decode(), states()) == (True, ["failed"] * 3)
    done = client.post(page("job"), ticked(first, second, confirmed="1"), follow=True)

    assert states() == ["failed", "ready", "ready"]
    assert "Retried 2 jobs." in done.content.decode()
    assert Job.objects.get(pk=first.id).actions.get().actor == "lea, in the admin"
    assert LogEntry.objects.get().change_message == "Retry: Retried 2 jobs."


def test_all_that_a_search_finds_leaves_out_what_came_later(client):
    staff(client, "view_job", "cancel_job")
    add.enqueue_many([(number,) for number in range(60)])
    running = add.enqueue(99)
    rows.claim(running.id)
    asked = client.post(page("job") + "?q=state:ready", {"action": "cancel", "everything": "1"})
    ceiling = asked.context_data["chosen"].ceiling
    later = add.enqueue(100)

    done = client.post(
        page("job") + "?q=state:ready",
        {"action": "cancel", "everything": "1", "ceiling": ceiling.hex, "confirmed": "1"},
        follow=True,
    )

    assert "Cancelled 60 jobs." in done.content.decode()
    assert (Job.objects.get(pk=later.id).state, Job.objects.get(pk=running.id).state) == ("ready", "running")
    assert LogEntry.objects.count() == 1


def test_looking_for_what_is_meant_has_an_end_and_says_so(client, monkeypatch):
    monkeypatch.setattr(actions, "MOST", 20)
    monkeypatch.setattr(actions, "MOST_SECONDS", 0.0)
    staff(client, "view_job", "cancel_job")
    add.enqueue_many([(number,) for number in range(60)])
    asked = {"action": "cancel", "everything": "1"}

    confirm = client.post(page("job") + "?q=state:ready", asked)
    ceiling = confirm.context_data["chosen"].ceiling.hex
    asked |= {"ceiling": ceiling, "confirmed": "1"}
    done = client.post(page("job") + "?q=state:ready", asked, follow=True).content.decode()

    assert ("20+ jobs" in confirm.content.decode(), "ask again for the rest" in done) == (True, True)
    assert Job.objects.filter(state="cancelled").count() == 20


def test_what_cannot_be_done_is_said_and_the_rest_is_done(client):
    staff(client, "view_job", "hold_job")
    first, second = add.enqueue(1), add.enqueue(2)
    rows.succeed(second.id)

    done = client.post(page("job"), ticked(first, second, action="hold", confirmed="1", reason="wait"), follow=True)

    assert "Held 1 job. 1 job left alone, as only what does not run yet can be held" in done.content.decode()
    assert Job.objects.get(pk=first.id).reason == "wait"


@pytest.mark.parametrize("action", actions.ACTIONS)
def test_each_action_needs_its_own_permission(client, action):
    held = {"release": "hold_job", "run_now": "run_job", "change": "move_job"}.get(action, f"{action}_job")
    others = {"retry_job", "cancel_job", "hold_job", "run_job", "move_job", "enqueue_job", "reveal_job"} - {held}
    staff(client, "view_job", *others)
    job = add.enqueue(1)

    for more in ({}, {"confirmed": "1"}, {"everything": "1"}, {"everything": "1", "confirmed": "1"}):
        assert client.post(page("job"), ticked(job, action=action, **more)).status_code == 403
    assert client.get(page("job"), {"action": action, "job": job.id, "confirmed": "1"}).status_code == 200
    assert states() == ["ready"]


def test_nothing_chosen_is_nothing_done(client):
    staff(client, "view_job", "cancel_job")

    assert "tick some jobs first" in client.post(page("job"), {"action": "cancel"}, follow=True).content.decode()


def job_page(job):
    return reverse("admin:gristmill_job_change", args=[job.id])


def test_a_job_shows_why_it_failed_and_is_retried_from_its_page(client):
    staff(client, "view_job", "retry_job")
    job = add.enqueue(4711)
    rows.fail(job.id, traceback="Traceback\n  line 7\nValueError: no such order\n")

    said = client.get(job_page(job)).content.decode()
    assert [text in said for text in ("4711", "line 7", "ValueError: no such order", "Retry")] == [True] * 4
    done = client.post(job_page(job), {"action": "retry"}, follow=True).content.decode()

    assert ("Retried 1 job." in done, states()) == (True, ["ready"])


def test_what_a_job_waits_for_is_named_and_drawn(client):
    viewer(client)
    first = add.enqueue(1)
    second = goals.wait(add.enqueue(2), first)

    said = client.get(reverse("admin:gristmill_job_change", args=[second.id.hex])).content.decode()
    assert (job_page(first) in said, "graph.svg" in said) == (True, True)
    drawn = client.get(reverse("admin:gristmill_job_graph", args=[second.id.hex]))

    assert (drawn["Content-Type"], b"<svg" in drawn.content) == ("image/svg+xml", True)


def test_redacted_arguments_are_shown_to_who_may_see_them_and_that_is_written_down(client):
    job = add.enqueue(1, right="4711-secret")
    JobRow.objects.filter(pk=job.id).update(kwargs=json.dumps({"password": "4711-secret"}))
    user = staff(client, "view_job")

    said = client.get(job_page(job)).content.decode()
    assert ("4711-secret" in said, "Show redacted" in said) == (False, False)
    assert client.post(job_page(job), {"action": "reveal"}).status_code == 403
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_job", "reveal_job"]))
    assert "Show redacted" in client.get(job_page(job)).content.decode()

    assert "4711-secret" in client.post(job_page(job), {"action": "reveal"}).content.decode()
    assert LogEntry.objects.get().change_message == "Saw redacted arguments"


@pytest.mark.parametrize("action", [*actions.ACTIONS, "enqueue_again", "reveal", "", "delete"])
def test_who_may_only_see_a_job_is_refused_on_every_post_to_it(client, action):
    viewer(client)
    job = add.enqueue(1)

    asked = {"action": action, "reason": "because", "priority": "1", "args": "[]", "kwargs": "{}"}
    for more in ({}, {"confirmed": "1"}):
        assert client.post(job_page(job), {**asked, **more}).status_code == 403
    assert client.get(job_page(job), {"action": action}).status_code == 200
    assert (states(), LogEntry.objects.count()) == (["ready"], 0)


def test_pages_of_one_thing_and_pictures_open_for_nobody_who_may_not_see_them(client):
    nightly()
    job = add.enqueue(1)
    pages = [nightly_page(), *(reverse(f"admin:gristmill_job_{name}", args=[job.id]) for name in ("change", "graph"))]
    assert [client.get(address).status_code for address in pages] == [302] * 3

    staff(client, "view_overview", "retry_job", "cancel_job", "run_schedule")

    assert [client.get(address).status_code for address in pages] == [403] * 3
    assert client.post(job_page(job), {"action": "cancel"}).status_code == 403
    assert client.post(page("job"), ticked(job, action="cancel", confirmed="1")).status_code == 403
    assert client.post(nightly_page(), {"action": "run"}).status_code == 403
    assert (states(), LogEntry.objects.count()) == (["ready"], 0)


def test_a_job_that_is_half_there_is_shown_all_the_same(client):
    viewer(client)
    jobs = [add.enqueue(number) for number in range(4)]
    ReadyRow.objects.filter(pk=jobs[0].id).delete()
    JobRow.objects.filter(pk=jobs[1].id).update(task_name="shop.tasks.gone", args="{", kwargs="[", options="?")
    rows.fail(jobs[2].id)
    Attempt.objects.all().delete()

    for job in jobs:
        assert client.get(job_page(job)).status_code == 200
    assert client.get(page("job")).status_code == 200
    for key in ("0" * 32, "x", "..", "a/b"):
        assert client.get(reverse("admin:gristmill_job_change", args=[key])).status_code == 404


def test_what_failed_alike_is_one_line_and_is_retried_as_a_whole(client):
    staff(client, "view_job", "retry_job")
    for number in range(3):
        rows.fail(add.enqueue(number).id, traceback=f"ValueError: no order {number}\n", fingerprint="a" * 16)
    rows.fail(add.enqueue(9).id, traceback="KeyError: 'x'\n", fingerprint="b" * 16)

    answer = client.get(page("failures"))
    ((group, _, jobs_url), _) = answer.context_data["rows"]
    assert (group.count, "ValueError: no order 2" in answer.content.decode()) == (3, True)
    asked = client.post(jobs_url, {"action": "retry", "everything": "1"})
    assert "Retry 3 jobs" in asked.content.decode()
    ceiling = asked.context_data["chosen"].ceiling.hex
    client.post(jobs_url, {"action": "retry", "everything": "1", "ceiling": ceiling, "confirmed": "1"})

    assert states() == ["failed", "ready", "ready", "ready"]


@pytest.mark.parametrize("action", ["run", "pause", "resume", "", "delete_selected"])
def test_who_may_only_see_is_refused_on_every_post(client, action):
    nightly()
    viewer(client)
    asked = {"action": action, "backend": "default", "queue": "mail", "reason": "because"}

    assert client.post(page("queues"), asked).status_code == 403
    assert client.post(nightly_page(), asked).status_code == 403
    assert client.post(page("overview"), asked).status_code == 403
    assert client.post(page("job"), asked).status_code == 403
    assert client.post(page("schedules"), asked).status_code == 403
    assert client.post(page("worker"), asked).status_code == 403
    assert (Queue.objects.count(), Job.objects.count(), LogEntry.objects.count()) == (0, 0, 0)
    for name in PAGES:
        assert 'method="post"' not in client.get(page(name) + "?fragment=1").content.decode()


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_added_or_deleted_by_djangos_forms(client, name, admin_user):
    client.force_login(admin_user)

    # A schedule has a form of ours.
    assert client.get(reverse(f"admin:gristmill_{name}_add")).status_code == (200 if name == "schedules" else 403)
    assert client.post(reverse(f"admin:gristmill_{name}_delete", args=["x"])).status_code in (302, 403, 404)


def test_an_open_page_that_stays_the_same_costs_no_bytes(client):
    staff(client, "view_queue", "pause_queue")
    asked = page("queues") + "?fragment=1"
    first = client.get(asked)
    assert "<html" not in first.content.decode()

    again = client.get(asked, headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")

    operations.pause_queue("mail", reason="now")
    assert client.get(asked, headers={"If-None-Match": first["ETag"]}).status_code == 200


def test_a_schedule_that_is_not_there_is_not_found(client):
    viewer(client)

    for key in ("default_2Fnightly", "nowhere_2Fnightly", "nightly", "default_2F"):
        assert client.get(reverse("admin:gristmill_schedules_change", args=[key])).status_code == 404


@pytest.mark.parametrize(
    ("name", "most"),
    [("overview", 9), ("job", 8), ("failures", 10), ("queues", 5), ("schedules", 6), ("worker", 6)],
)
def test_a_page_asks_as_much_however_many_jobs_there_are(client, admin_user, name, most):
    client.force_login(admin_user)
    rows.worker()
    nightly()
    for number in range(2):
        add.using(backend="any_queue", queue_name=f"q{number}").enqueue(number)
        rows.fail(add.enqueue(number).id)
    few = asked(client, page(name))
    for number in range(20):
        nightly(name=f"nightly {number}")
        rows.worker()
        operations.pause_queue(f"q{number}", reason="now", backend="any_queue")
        add.using(backend="any_queue", queue_name=f"q{number}").enqueue(number)
        rows.fail(add.enqueue(number).id, traceback=f"ValueError: {'x' * number}\n")

    assert few <= most
    assert asked(client, page(name)) == few


def asked(client, url):
    """How many statements a page takes on a database, those for the session and the user among them."""
    with CaptureQueriesContext(connections["default"]) as queries:
        assert client.get(url).status_code == 200
    return len(queries)


def test_the_page_of_a_job_is_twelve_statements_at_most_wherever_the_job_is(client, admin_user):
    client.force_login(admin_user)
    worker = rows.worker()
    failed, successful, running, held, ready = (add.enqueue(number) for number in range(5))
    rows.fail(failed.id)
    rows.succeed(successful.id)
    rows.claim(running.id, worker.id)
    operations.hold(held, reason="wait")
    scheduled = add.using(run_after=timezone.now() + timedelta(days=1)).enqueue(1)
    below = [goals.wait(add.enqueue(number), ready, running) for number in range(10)]
    waiting, stranded = goals.wait(add.enqueue(1), *below), goals.wait(add.enqueue(1), failed, ready)

    taken = {
        Job.objects.get(pk=job.id).state: asked(client, job_page(job))
        for job in (failed, successful, running, held, ready, scheduled, waiting, stranded)
    }

    # The second database is asked whether it has the job.
    assert len(taken) == 8
    assert [state for state, number in taken.items() if number > 12] == []
