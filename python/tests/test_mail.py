"""Messages become jobs: how many, in whose transaction, and what is refused before there is one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from email.charset import Charset
from typing import Any

import django
import pytest
from django.core import mail
from django.core.mail import EmailMessage, EmailMultiAlternatives, get_connection
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext, override_settings

from gristmill.exceptions import MessageTooLarge
from gristmill.mail import QueuedEmailBackend
from gristmill.mail.delivery import TASK_NAME, deliver
from gristmill.models import Job
from gristmill.testing import run_jobs
from tests.smtp import QUEUED, queueing

PATH = "gristmill.backend.GristmillBackend"

pytestmark = [
    pytest.mark.django_db,
    # Of EMAIL_BACKEND and its kin, from Django 6.1 on.
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]


@pytest.fixture
def queued() -> Iterator[None]:
    """As a test has it that wants the queue: Django's own has replaced EMAIL_BACKEND by the outbox."""
    with override_settings(EMAIL_BACKEND=QUEUED):
        yield


@pytest.fixture
def silent() -> QueuedEmailBackend:
    return QueuedEmailBackend(fail_silently=True)


def message(subject: str = "Hello", **more: Any) -> EmailMessage:
    return EmailMessage(subject, "Text", "shop@example.com", ["ann@example.com"], **more)


def test_a_message_is_a_job_and_run_jobs_puts_it_into_the_outbox(queued: None) -> None:
    assert mail.send_mail("Hello", "Text", None, ["ann@example.com"], html_message="<p>Text</p>") == 1
    assert mail.outbox == []
    assert Job.objects.get().task_name == TASK_NAME
    run_jobs()
    (sent,) = mail.outbox
    assert (sent.subject, sent.body, sent.to) == ("Hello", "Text", ["ann@example.com"])
    assert [(each.content, each.mimetype) for each in sent.alternatives] == [("<p>Text</p>", "text/html")]


def test_headers_are_those_that_were_asked_for(queued: None) -> None:
    message(headers={"X-Order": "7"}).send()
    run_jobs()
    (sent,) = mail.outbox
    assert sent.extra_headers == {"X-Order": "7"}
    assert sent.message()["Message-ID"] == Job.objects.get().kwargs["message_id"]


def test_a_message_exists_if_the_transaction_commits(queued: None) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        message().send()
        _ = 1 / 0
    assert not Job.objects.exists()


def test_many_messages_are_counted_and_cost_what_few_do(queued: None) -> None:
    costs = []
    for count in (2, 60):
        with CaptureQueriesContext(connection) as queries:
            assert QueuedEmailBackend().send_messages(message(f"Number {number}") for number in range(count)) == count
        costs.append(len(queries))
    assert costs[0] == costs[1]
    run_jobs()
    assert len(mail.outbox) == 62


def test_a_lone_message_is_one_statement(queued: None) -> None:
    with CaptureQueriesContext(connection) as queries:
        message().send()
    assert len(queries) == 1


def test_messages_to_nobody_are_passed_over(queued: None) -> None:
    nobody = EmailMessage("Hello", "Text", "shop@example.com", [""])
    assert QueuedEmailBackend().send_messages([nobody, message()]) == 1
    assert QueuedEmailBackend().send_messages([nobody]) == 0
    assert QueuedEmailBackend().send_messages([]) == 0
    assert nobody.send() == 0
    assert Job.objects.count() == 1


def test_django_s_ways_of_sending_work(queued: None) -> None:
    with get_connection() as opened:
        assert opened.send_messages([message("one")]) == 1
    assert mail.send_mass_mail([("two", "Text", None, ["ann@example.com"])] * 2) == 2
    with override_settings(ADMINS=["ann@example.com"] if django.VERSION >= (6, 0) else [("Ann", "ann@example.com")]):
        mail.mail_admins("three", "Text", fail_silently=True)
    run_jobs()
    assert [each.subject.split()[-1] for each in mail.outbox] == ["one", "two", "two", "three"]


def test_what_was_set_on_a_message_is_set_on_the_one_that_is_sent(queued: None) -> None:
    told = message()
    told.tags, told.metadata = ["receipt"], {"order": 7}  # type: ignore[attr-defined]
    told.send()
    run_jobs()
    (sent,) = mail.outbox
    assert (sent.tags, sent.metadata) == (["receipt"], {"order": 7})


@pytest.mark.parametrize("name", ["send", "message", "to", "_wanted", "__class__", "no name"])
def test_nothing_of_a_job_replaces_what_a_message_does(name: str) -> None:
    with pytest.raises(ValueError, match="nothing that may be set"):
        deliver(None, subject="", body="", from_email="a@b.c", to=["a@b.c"], attributes={name: "x"})


def test_a_message_from_the_outbox_can_be_sent_again(queued: None) -> None:
    message().send()
    run_jobs()
    assert mail.outbox[0].send() == 1
    first, other = Job.objects.order_by("id")
    assert first.kwargs["message_id"] == other.kwargs["message_id"]


class Signed(EmailMultiAlternatives):
    def message(self, *args: Any, **kwargs: Any) -> Any:
        built = super().message(*args, **kwargs)
        built["X-Signature"] = "secret"
        return built


def with_attribute(**attributes: Any) -> EmailMessage:
    told = message()
    for name, value in attributes.items():
        setattr(told, name, value)
    return told


REFUSED = {
    "a line break in the subject": (lambda: message("Hello\nBcc: all@example.com"), ValueError, "(?i)newline|linefeed"),
    "a line break in a header": (
        lambda: message(headers={"X-A": "1\r\nBcc: b@c.d"}),
        ValueError,
        "(?i)newline|linefeed",
    ),
    "a line break in a copy": (lambda: message(bcc=["b@c.d\nRCPT TO:<e@f.g>"]), ValueError, "line break"),
    "its own message()": (lambda: Signed("Hello", "", None, ["a@b.c"]), TypeError, "own message.*headers, attachments"),
    "a charset": (lambda: with_attribute(encoding=Charset("utf-8")), TypeError, "give its name as text"),
    "an object": (
        lambda: with_attribute(tags={1, 2}),
        TypeError,
        r"'Hello'.attributes.tags: set is not JSON.*pass list",
    ),
    "a NUL": (lambda: with_attribute(body="a\0b"), ValueError, "'Hello'.body: text with a NUL"),
}
if django.VERSION < (6, 0):
    # Shows only where the whole message is written.
    REFUSED["a non-ASCII header name"] = (lambda: message(headers={"X-Naïve": "1"}), ValueError, "ascii")


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_sent_or_carried_is_refused_where_it_is_sent(queued: None, name: str) -> None:
    make, error, says = REFUSED[name]
    with pytest.raises(error, match=says):
        QueuedEmailBackend(fail_silently=True).send_messages([message(), make()])
    assert not Job.objects.exists()


def test_a_message_that_is_too_large_says_what_to_do(queued: None, silent: QueuedEmailBackend, caplog: Any) -> None:
    large = message("The catalogue")
    large.attach("catalogue.pdf", bytes(200_000), "application/pdf")
    with pytest.raises(
        MessageTooLarge, match=r"'The catalogue' is 26\d,\d\d\d bytes.*limit is 262,144.*MAX_JSON_BYTES"
    ):
        large.send()
    with caplog.at_level(logging.WARNING, "gristmill"):
        assert silent.send_messages([large, message()]) == 1
    assert "The catalogue" in caplog.text


@contextmanager
def broken_queue() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gristmill.backend.enqueue_one", fail_in_the_database)
        yield


def fail_in_the_database(connection: Any, *args: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute("select * from no_such_table")


def test_what_the_database_raises_is_raised(queued: None) -> None:
    with broken_queue(), pytest.raises(DatabaseError, match="no_such_table"), transaction.atomic():
        message().send()


def test_if_it_may_fail_silently_the_transaction_goes_on(silent: QueuedEmailBackend, caplog: Any) -> None:
    with broken_queue(), caplog.at_level(logging.WARNING, "gristmill"):
        assert silent.send_messages([message()]) == 0
    assert "no_such_table" in caplog.text
    assert not Job.objects.exists()


@pytest.mark.skipif(django.VERSION < (6, 1), reason="Django has MAILERS from 6.1 on")
def test_a_mailer_queues_for_the_one_that_sends() -> None:
    with queueing(None, queue_name="mail", priority=5):
        assert mail.mailers["default"].send_messages([message()]) == 1
        job = Job.objects.get()
        assert (job.queue_name, job.priority, job.kwargs["mailer"]) == ("mail", 5, "smtp")
    with override_settings(MAILERS={"smtp": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}):
        run_jobs()
    assert mail.outbox[0].sent_using == "smtp"


def test_a_project_may_have_large_messages(queued: None) -> None:
    large = message("The catalogue")
    large.attach("catalogue.pdf", bytes(10 * 2**20), "application/pdf")
    with override_settings(TASKS={"default": {"BACKEND": PATH, "OPTIONS": {"MAX_JSON_BYTES": 15 * 2**20}}}):
        large.send()
        run_jobs()
    assert mail.outbox[0].attachments == large.attachments
