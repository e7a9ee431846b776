"""Curves and the page of a task in Django's admin: what they show of the pulse, and to whom."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Permission, User
from django.urls import reverse
from django.utils import timezone

from gristmill.models import DepthRow, PulseRow
from tests import rows
from tests.app.tasks import add

pytestmark = pytest.mark.django_db(databases=["default", "other"])

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


def staff(client, *codenames):
    """Logs a member of the staff in who has these permissions."""
    user = User.objects.create_user("lea", password="secret", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(user)


def page(name):
    return reverse(f"admin:gristmill_{name}_changelist")


def counted(task_name, outcome="successful", attempts=1, **columns):
    """What workers have counted of a task within the last minutes."""
    at = timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=5)
    values = {
        "id": uuid4(), "level": 1, "at": at, "backend": "default", "queue_name": "default",
        "task_name": task_name, "outcome": outcome, "version": "1", "attempts": attempts, "wait_seconds": 1.0,
        "run_seconds": 1.0, "waits": json.dumps([0] * 9 + [attempts]), "runs": json.dumps([0] * 12 + [attempts]),
    }  # fmt: skip
    return PulseRow.objects.bulk_create([PulseRow(**{**values, **columns})])


def task_page(name):
    return reverse("admin:gristmill_job_task", args=[quote(name)])


def test_the_overview_draws_the_last_hour_and_marks_where_the_version_changed(client):
    staff(client, "view_overview")
    counted("app.send", attempts=1_234)
    counted("app.send", "failed", version="2", at=timezone.now() - timedelta(minutes=3))

    said = client.get(page("overview")).content.decode()

    assert "Started <strong>1,235</strong>" in said
    assert "Failed <strong>1</strong>" in said
    assert said.count('<svg xmlns="http://www.w3.org/2000/svg" class="gm-spark') == 4
    assert "version 2" in said
    assert "style=" not in said


def test_a_tasks_page_shows_how_its_attempts_ended_and_what_failed_and_nothing_of_other_tasks(client):
    staff(client, "view_job")
    counted("tests.app.tasks.add", attempts=7)
    counted("tests.app.tasks.add", "retried", attempts=3)
    counted("app.other", "cancelled", attempts=5)
    failed = add.enqueue(1)
    rows.fail(failed.id, traceback="ValueError: no\n")

    said = client.get(task_page("tests.app.tasks.add")).content.decode()

    assert "Started <strong>10</strong>" in said
    assert "Retried" in said
    assert "Cancelled" not in said
    assert "ValueError: no" in said
    assert task_page("tests.app.tasks.add") in client.get(page("failures")).content.decode()
    assert (
        task_page("tests.app.tasks.add")
        in client.get(reverse("admin:gristmill_job_change", args=[failed.id])).content.decode()
    )
    assert "No attempt of it ended" in client.get(task_page("app.nobody"), {"last": "7d"}).content.decode()


def test_a_tasks_page_is_for_who_may_see_jobs_and_hostile_names_stay_text(client):
    staff(client, "view_overview", "view_queue")
    assert client.get(task_page("app.send")).status_code == 403
    viewer_of_jobs = User.objects.get(username="lea")
    viewer_of_jobs.user_permissions.set(Permission.objects.filter(codename="view_job"))
    counted(HOSTILE, version=HOSTILE)
    counted(HOSTILE, version="2", at=timezone.now() - timedelta(minutes=2))

    answer = client.get(task_page(HOSTILE))

    assert answer.status_code == 200
    assert "<script>alert" not in answer.content.decode()
    assert "<img src=x" not in answer.content.decode()
    assert client.post(task_page(HOSTILE)).status_code == 403


def test_a_queues_page_draws_how_many_were_ready(client):
    staff(client, "view_queue")
    at = timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=2)
    row = DepthRow(level=1, at=at, backend="default", queue_name="default", ready=9, scheduled=0, oldest_seconds=1)
    DepthRow.objects.bulk_create([row])

    said = client.get(page("queues")).content.decode()

    assert said.count('class="gm-spark') == 1
    assert "2 min ago: 9" in said
