"""The admin's page of workers: who may quiet, resume and stop them, and what is written down."""

from __future__ import annotations

import html

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from gristmill.models import Worker
from tests import rows

pytestmark = pytest.mark.django_db(databases=["default", "other"])


def page():
    return reverse("admin:gristmill_worker_changelist")


def staff(client, *codenames):
    """Logs a member of the staff in who has these permissions, and returns them."""
    user = User.objects.create_user("lea", password="secret", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(user)
    return user


def test_a_worker_is_quieted_resumed_and_stopped_and_it_is_written_down(client):
    staff(client, "view_worker", "stop_worker")
    worker = rows.worker()
    asked = {"worker": worker.pk.hex}
    said = client.get(page()).content.decode()
    assert [words in said for words in ("Quiet…", "Stop…", ">Resume<")] == [True, True, False]

    done = client.post(page(), {**asked, "action": "quiet"}, follow=True).content.decode()
    assert [words in done for words in ("It hears of that with its next heartbeat", ">Resume<")] == [True, True]
    assert "asked by lea, in the admin" in done
    client.post(page(), {**asked, "action": "resume"})
    assert Worker.objects.get().asked is None
    done = client.post(page(), {**asked, "action": "stop"}, follow=True).content.decode()

    assert (Worker.objects.get().asked, Worker.objects.get().asked_by) == ("stop", "lea, in the admin")
    assert 'name="action"' not in done
    assert [entry.change_message for entry in LogEntry.objects.order_by("pk")] == [
        f"Asked worker {worker.pk.hex} to be quiet",
        f"Asked worker {worker.pk.hex} to claim again",
        f"Asked worker {worker.pk.hex} to stop",
    ]


def test_what_cannot_be_asked_of_a_worker_is_said_and_not_written_down(client):
    staff(client, "view_worker", "stop_worker")
    gone = rows.worker(stopped_at=timezone.now(), exit_status=0)

    for asked, words in (
        ({"action": "stop", "worker": gone.pk.hex}, "Nothing was done: it has stopped."),
        ({"action": "stop", "worker": "x"}, "is not the id of a worker"),
        ({"action": "", "worker": gone.pk.hex}, "no action was chosen"),
    ):
        assert words in html.unescape(client.post(page(), asked, follow=True).content.decode())

    assert (LogEntry.objects.count(), Worker.objects.get().asked) == (0, None)


@pytest.mark.parametrize("action", ["quiet", "resume", "stop", "", "delete_selected"])
def test_only_who_may_stop_workers_asks_anything_of_one(client, action):
    worker = rows.worker()
    others = Permission.objects.filter(content_type__app_label="gristmill").exclude(codename="stop_worker")
    user = staff(client, *others.values_list("codename", flat=True))
    asked = {"action": action, "worker": worker.pk.hex}

    assert client.post(page(), asked).status_code == 403
    assert client.put(page(), asked).status_code == 403
    assert 'name="action"' not in client.get(page() + "?fragment=1").content.decode()
    user.user_permissions.set(Permission.objects.filter(codename="stop_worker"))
    assert client.post(page(), asked).status_code == 403, "and who may not see them"
    assert (Worker.objects.get().asked, LogEntry.objects.count()) == (None, 0)


def test_a_post_without_djangos_token_asks_nothing_of_a_worker(admin_user):
    worker = rows.worker()
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)

    assert client.post(page(), {"action": "stop", "worker": worker.pk.hex}).status_code == 403
    assert Worker.objects.get().asked is None
