"""Whoever OPTIONS["NOTIFY"] names is told of failures, once for each cause and hour."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.conf import settings
from django.core import mail
from django.db import connection
from django.test.utils import override_settings

from gristmill.checks import check_options
from gristmill.compat import task_backends
from gristmill.inspect.notices import looking, tasks
from gristmill.inspect.notices.looking import hour_of
from gristmill.models import Job, NoticeRow, ResultRow
from gristmill.schedules.announcing import announcement
from gristmill.schedules.declared import _schedules, declared
from gristmill.tasks import registry
from gristmill.testing import run_jobs
from gristmill.values.moments import database_now, utc_text
from tests import rows
from tests.app.tasks import add
from tests.app.worked import fail
from tests.smtp import HAS_MAILERS

pytestmark = pytest.mark.django_db

OPS = ["ops@example.org", "lea@example.org"]
LOCMEM = "django.core.mail.backends.locmem.EmailBackend"
heard = []


def hear(notice):
    """What a project's own function may be."""
    heard.append(notice)


def refuse(notice):
    """What a project's own function may be like."""
    raise OSError("nobody listens")


@pytest.fixture(autouse=True)
def nothing_heard():
    heard.clear()


@contextmanager
def telling(whom, **options):
    """The alias "default" tells somebody, as a worker has it."""
    default = {
        "BACKEND": "gristmill.backend.GristmillBackend",
        "QUEUES": ["default", "mail"],
        "OPTIONS": {"NOTIFY": whom, **options},
    }
    # Without them Django 6.1 warns whoever sends.
    mailers = {"MAILERS": {"default": {"BACKEND": LOCMEM}}} if HAS_MAILERS else {}
    with override_settings(TASKS={**settings.TASKS, "default": default}, **mailers):
        try:
            tasks.make_known()
            yield task_backends["default"]
        finally:
            _schedules.get("default", {}).pop(tasks.SCHEDULE, None)
            for name in (tasks.LOOK, tasks.TELL):
                registry.tasks["default"].pop(name, None)


def look():
    """Looks once, as the schedule has it done, and tells."""
    tasks.tasks_of("default")[0].enqueue()
    return run_jobs(raise_errors=False)


def failed(said="ValueError: no", *, group="00000000000000a1", hours_ago=0, arguments=(1,)):
    """A failure; hours ago by the database's clock."""
    job = add.enqueue(*arguments)
    rows.fail(job.id, traceback=said, fingerprint=group)
    moment = hour_of(database_now(connection)) - timedelta(hours=hours_ago)
    ResultRow.objects.filter(pk=job.id).update(finished_at=moment)
    return job.id


def an_hour_passes():
    for row in NoticeRow.objects.all():
        NoticeRow.objects.filter(fingerprint=row.fingerprint, hour=row.hour).update(hour=row.hour - timedelta(hours=1))
    for row in ResultRow.objects.all():
        ResultRow.objects.filter(pk=row.pk).update(finished_at=row.finished_at - timedelta(hours=1))


def test_fifty_failures_of_one_cause_are_one_notice():
    with telling(OPS):
        for number in range(50):
            fail.enqueue(f"no order {number}")
        run_jobs(raise_errors=False)
        for _ in range(3):
            look()

    (message,) = mail.outbox
    assert (message.to, message.from_email) == (OPS, settings.SERVER_EMAIL)
    newest = ResultRow.objects.filter(task_name="tests.app.worked.fail").order_by("-finished_at", "-id").first()
    assert message.subject.startswith(f"{settings.EMAIL_SUBJECT_PREFIX}tests.app.worked.fail failed: ")
    assert "Sad: no order" in message.body and "50 jobs" in message.body
    assert f"manage.py gristmill show {newest.id.hex}" in message.body
    assert f"manage.py gristmill jobs group:{newest.fingerprint}" in message.body


def test_two_causes_are_two_notices_and_each_hour_has_its_own():
    with telling(f"{__name__}.hear"):
        for said in ("no order", "no stock", "no order"):
            fail.enqueue(said)
        run_jobs(raise_errors=False)
        look()
        assert sorted((notice.error, notice.count) for notice in heard) == [
            ("tests.app.worked.Sad: no order", 2),
            ("tests.app.worked.Sad: no stock", 1),
        ]
        an_hour_passes()
        fail.enqueue("no stock")
        run_jobs(raise_errors=False)
        look()

    assert [notice.error for notice in heard[2:]] == ["tests.app.worked.Sad: no stock"]
    assert (heard[2].count, heard[2].task_name, heard[2].state) == (1, "tests.app.worked.fail", "failed")


def test_who_looks_at_once_tells_once():
    """The row of the cause and its hour decides."""
    with telling(OPS):
        job_id = failed()
        moment = hour_of(database_now(connection))
        NoticeRow.objects.create(fingerprint="00000000000000a1", hour=moment, job_id=job_id)
        look()
        assert mail.outbox == []
        # Whoever has not seen the row meets it.
        known, looking.told_of = looking.told_of, lambda *given: set()
        try:
            look()
        finally:
            looking.told_of = known

    assert mail.outbox == []


def test_a_look_that_fails_leaves_neither_a_row_nor_a_job(monkeypatch):
    with telling(OPS):
        failed()
        _, other = tasks.tasks_of("default")
        monkeypatch.setattr(type(other), "enqueue", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            looking.look("default", "default", other)

    assert not NoticeRow.objects.exists()


def test_what_is_no_news_or_no_failure_is_not_told():
    with telling(OPS):
        failed(hours_ago=3)
        failed(group=None)
        rows.succeed(add.enqueue(1).id)
        rows.failed_for_now(add.enqueue(2).id)
        cancelled = rows.claim(add.enqueue(3).id)
        rows.end(cancelled, "cancelled")
        rows.finish(cancelled, "cancelled")
        looking.look("default", "default", tasks.tasks_of("default")[1])

    assert not NoticeRow.objects.exists()


def test_what_was_retried_before_it_is_told_is_told_of_another_or_not_at_all():
    with telling(f"{__name__}.hear"):
        gone, left = failed(), failed()
        hour = utc_text(hour_of(database_now(connection)))
        ResultRow.objects.filter(pk=gone).delete()
        tell = tasks.tasks_of("default")[1]
        tell.enqueue("00000000000000a1", gone, hour)
        tell.enqueue("00000000000000b2", gone, hour)
        ran = run_jobs()
        told = sorted(result.return_value for result in ran.results)

    assert [notice.job_id for notice in heard] == [left]
    assert told == [False, True]


def test_secret_arguments_are_not_told():
    with telling(OPS, REDACT=["left"]):
        failed("ValueError: 4711471147 has no balance of 17\n", arguments=(4711471147, 17))
        look()

    (message,) = mail.outbox
    assert "4711471147" not in message.subject + message.body
    assert "ValueError: [redacted] has no balance of 17" in message.body


def test_an_error_cannot_add_lines_or_headers():
    with telling(OPS):
        failed("ValueError: no\x85Bcc: all@example.org\x1b[2J\n")
        look()

    (message,) = mail.outbox
    assert "\x1b" not in message.body
    assert message.message()["Bcc"] is None


def test_a_notice_that_cannot_be_told_is_tried_again_and_is_no_news_itself():
    with telling(f"{__name__}.refuse"):
        failed()
        look()
        told = Job.objects.get(task_name=tasks.TELL)
        assert (told.state, told.failures) == ("scheduled", 1)
        rows.fail(tasks.tasks_of("default")[0].enqueue().id, fingerprint="00000000000000c3")
        assert looking.look("default", "default", tasks.tasks_of("default")[1]) == 0


def test_there_are_so_many_notices_of_an_hour_at_most(monkeypatch):
    monkeypatch.setattr(looking, "MOST_AN_HOUR", 2)
    with telling(f"{__name__}.hear"):
        for number in range(4):
            failed(group=f"{number:016x}")
        look()
        look()

    assert len(heard) == 2


def test_who_was_told_long_ago_is_forgotten_hour_by_hour(monkeypatch):
    monkeypatch.setattr(looking, "FORGOTTEN", 2)
    now = hour_of(database_now(connection))
    for days in (1, 8, 9, 10):
        for group in ("a", "b"):
            NoticeRow.objects.create(fingerprint=group, hour=now - timedelta(days=days), job_id=add.enqueue(1).id)

    with telling(OPS):
        looking.look("default", "default", tasks.tasks_of("default")[1])

    kept = {now - row.hour for row in NoticeRow.objects.all()}
    assert kept == {timedelta(days=1), timedelta(days=8)}


def test_workers_are_told_to_look_every_minute_where_somebody_is_told():
    with telling(OPS) as backend:
        (entry,) = [each for each in announcement(backend)["schedules"] if each["name"] == tasks.SCHEDULE]
        assert (entry["task_name"], entry["definition"]["every"], entry["queue_name"]) == (tasks.LOOK, 60, "default")
    assert tasks.SCHEDULE not in declared("default")


@pytest.mark.parametrize(
    ("whom", "what"),
    [
        ("ops@example.org", "must be a list of mail addresses"),
        (["nobody"], "is no mail address"),
        ([7], "is no mail address"),
        (7, "must be a list of mail addresses"),
        (OPS * 30, "50 at most"),
        ("tests.nowhere.at_all", "cannot be imported"),
        (f"{__name__}.OPS", "is not a function"),
    ],
)
def test_a_wrong_notify_is_a_check_that_says_what_to_write(whom, what):
    with telling(whom) as backend:
        (error,) = check_options(backend)
        assert tasks.SCHEDULE not in declared("default")

    assert (error.id, what in error.msg, "notices.md" in error.hint) == ("gristmill.E017", True, True)


@pytest.mark.parametrize("whom", [None, [], OPS, f"{__name__}.hear"])
def test_a_right_one_is_none(whom):
    with telling(whom) as backend:
        assert list(check_options(backend)) == []
