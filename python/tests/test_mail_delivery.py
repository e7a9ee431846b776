"""What becomes of a queued message when the server puts it off, refuses it, or hangs up."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from smtplib import SMTPDataError, SMTPRecipientsRefused, SMTPSenderRefused
from typing import Any

import pytest
from django.core.mail import EmailMessage
from django.core.mail.backends.smtp import EmailBackend

from gristmill.exceptions import TimedOut
from gristmill.mail.handover import hand_over, is_for_good
from gristmill.models import Job
from gristmill.testing import Ran, clock, run_jobs
from tests.smtp import DROP, HAS_MAILERS, MailServer, by_email_backend, mail_server, queueing

ANN, BOB, CYD = "ann@example.com", "bob@example.com", "cyd@example.com"
RCPT = "RCPT TO:<{}>".format

pytestmark = [
    pytest.mark.django_db,
    # Of EMAIL_BACKEND, from Django 6.1 on.
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]


@pytest.fixture
def server() -> Iterator[MailServer]:
    with mail_server() as server, queueing(server):
        yield server


def send(*to: str) -> Job:
    """Sends a message, and returns its job."""
    assert EmailMessage("Hello", "Text", "shop@example.com", list(to)).send() == 1
    return Job.objects.get()


def runs(times: int) -> list[Ran]:
    """Runs what is due, so often, with two hours in between."""
    with clock() as now:
        return [(run_jobs(raise_errors=False), now.advance(timedelta(hours=2)))[0] for _ in range(times)]


def error_of(job: Job) -> str:
    return str(job.attempts.last().exception_class_path).rpartition(".")[2]


def state_of(job: Job) -> str:
    job.refresh_from_db()
    return str(job.state)


@pytest.mark.parametrize(
    "says",
    [
        {"CONNECT": ["421 busy"]},
        {"CONNECT": [DROP]},
        {"MAIL": ["451 later"]},
        {RCPT(ANN): ["450 greylisted"]},
        {RCPT(ANN): ["421 going down"]},
        {"DATA": ["451 later"]},
        {"DATA": [DROP]},
        {"END": ["452 full"]},
        {"END": [DROP]},
    ],
    ids=lambda says: " ".join(f"{command} {answers[0]}" for command, answers in says.items()),
)
def test_what_may_go_better_later_is_tried_again_and_arrives_once(server: MailServer, says: Any) -> None:
    job = send(ANN)
    server.says = says
    first, second = runs(2)
    assert (first.retried, second.successful) == (1, 1)
    assert [taken.recipients for taken in server.taken] == [[ANN]]
    assert job.attempts.first().exception_class_path == "gristmill.exceptions.NotDelivered"


@pytest.mark.parametrize(
    ("says", "error"),
    [
        ({"MAIL": "550 not you"}, SMTPSenderRefused),
        ({RCPT(ANN): "550 nobody of that name"}, SMTPRecipientsRefused),
        ({"DATA": "554 no"}, SMTPDataError),
        ({"END": "552 too large"}, SMTPDataError),
    ],
)
def test_what_is_refused_for_good_fails_at_once(server: MailServer, says: Any, error: type[Exception]) -> None:
    job = send(ANN)
    server.says = says
    (ran,) = runs(1)
    assert (ran.failed, ran.retried) == (1, 0)
    assert error_of(job) == error.__name__
    assert server.taken == []


@pytest.mark.parametrize("says", [{"CONNECT": "554 no service here"}, {"AUTH": "535 wrong"}])
def test_what_is_refused_of_the_connection_or_the_login_is_tried_again(server: MailServer, says: Any) -> None:
    send(ANN)
    server.says = {**says, "EHLO": "250-here\r\n250 AUTH PLAIN"}
    with pytest.MonkeyPatch.context() as patch:
        opened = EmailBackend.open

        def with_login(self: Any) -> Any:
            self.username, self.password = "shop", "secret"
            return opened(self)

        patch.setattr(EmailBackend, "open", with_login)
        (ran,) = runs(1)
    assert (ran.failed, ran.retried) == (0, 1)


def test_an_address_that_is_none_fails_at_once(server: MailServer) -> None:
    job = send("ann@example.com, and others")
    assert runs(1)[0].failed == 1
    assert error_of(job) == "ValueError"
    assert server.taken == []


def test_who_has_the_message_does_not_get_it_again(server: MailServer) -> None:
    job = send(ANN, BOB, CYD)
    server.says = {RCPT(BOB): ["450 greylisted"], RCPT(CYD): ["450 greylisted", "451 still"]}
    assert [(ran.retried, ran.successful) for ran in runs(3)] == [(1, 0), (1, 0), (0, 1)]
    assert [taken.recipients for taken in server.taken] == [[ANN], [BOB], [CYD]]
    # The message is the same for all of them.
    assert len({taken.data for taken in server.taken}) == 1
    assert b"To: ann@example.com, bob@example.com, cyd@example.com" in server.taken[0].data
    assert state_of(job) == "successful"
    assert job.progress is not None and job.progress.done == 3


def test_who_is_refused_for_good_is_not_asked_for_again_and_the_job_fails_with_them(server: MailServer) -> None:
    job = send(ANN, BOB, CYD)
    server.says = {RCPT(BOB): "550 nobody of that name", RCPT(CYD): ["450 greylisted"]}
    first, second = runs(2)
    assert (first.retried, second.failed) == (1, 1)
    assert server.asked_for() == [ANN, BOB, CYD, CYD]
    assert [taken.recipients for taken in server.taken] == [[ANN], [CYD]]
    assert error_of(job) == "SMTPRecipientsRefused"
    assert BOB in job.attempts.last().traceback and ANN not in job.attempts.last().traceback
    assert job.progress is not None
    assert job.progress.metadata == {"delayed": {}, "refused": {BOB: "550 nobody of that name"}}
    assert (job.progress.done, job.progress.total) == (2, 3)


def test_a_retry_by_hand_asks_for_those_alone_who_were_refused(server: MailServer) -> None:
    job = send(ANN, BOB)
    server.says = {RCPT(BOB): ["550 full"]}
    assert runs(1)[0].failed == 1
    Job.objects.filter(pk=job.pk).retry()
    assert runs(1)[0].successful == 1
    assert [taken.recipients for taken in server.taken] == [[ANN], [BOB]]


def test_a_server_that_hangs_up_among_the_recipients_has_given_it_to_nobody(server: MailServer) -> None:
    send(ANN, BOB)
    server.says = {RCPT(BOB): ["421 going down"]}
    assert [(ran.retried, ran.successful) for ran in runs(2)] == [(1, 0), (0, 1)]
    assert [taken.recipients for taken in server.taken] == [[ANN, BOB]]


def test_recipients_that_cannot_all_be_remembered_are_rather_left_out_than_asked_twice(server: MailServer) -> None:
    many = [f"{number:0200}@example.com" for number in range(100)]
    send(ANN, *many)
    server.says = {"RCPT": ["250 ok", *["450 greylisted"] * 100]}
    (ran,) = runs(1)
    assert (ran.failed, ran.retried) == (1, 0)
    assert [taken.recipients for taken in server.taken] == [[ANN]]


def test_a_connection_that_cannot_be_closed_changes_nothing_of_what_was_taken(server: MailServer) -> None:
    send(ANN)
    server.says = {"QUIT": [DROP]}
    with pytest.MonkeyPatch.context() as patch:

        def close(self: Any) -> None:
            raise ConnectionResetError("gone")

        patch.setattr(EmailBackend, "close", close)
        assert runs(1)[0].successful == 1
    assert len(server.taken) == 1


def test_each_attempt_sends_the_same_message_with_the_date_of_its_enqueue(server: MailServer) -> None:
    job = send(ANN)
    server.says = {"END": ["451 later", "451 later"]}
    runs(3)
    assert len(server.seen) == 3 and len(set(server.seen)) == 1
    assert f"\r\nMessage-ID: {job.kwargs['message_id']}\r\n".encode() in server.seen[0]
    assert f"\r\nDate: {job.kwargs['date']}\r\n".encode() in server.seen[0]


def test_somebody_who_is_named_twice_is_one_recipient(server: MailServer) -> None:
    job = send(ANN, ANN, BOB)
    server.says = {RCPT(BOB): "550 nobody of that name"}
    runs(1)
    assert job.progress is not None
    assert (job.progress.done, job.progress.total) == (1, 2)


def test_a_timeout_of_the_attempt_stays_one(server: MailServer) -> None:
    def late(self: Any, messages: Any) -> int:
        raise TimedOut("600 s")

    send(ANN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EmailBackend, "send_messages", late)
        (ran,) = runs(1)
    assert ran.retried == 1
    assert error_of(Job.objects.get()) == "TimedOut"


class ToTheDesk(EmailBackend):
    def _send(self, email_message: Any) -> bool:
        assert self.connection is not None
        self.connection.sendmail("shop@example.com", ["desk@example.com"], b"Subject: for all\r\n")
        return True


def test_a_backend_may_send_to_others_than_the_message_says(server: MailServer) -> None:
    told: dict[str, Any] = {"alias": "desk"} if HAS_MAILERS else {}
    message = EmailMessage("Hello", "Text", "shop@example.com", [ANN, BOB])
    assert hand_over(ToTheDesk(host="127.0.0.1", port=server.port, **told), message) == {}
    assert [taken.recipients for taken in server.taken] == [["desk@example.com"]]


def test_a_backend_that_sent_nothing_is_asked_again(server: MailServer) -> None:
    send(ANN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EmailBackend, "send_messages", lambda self, messages: 0)
        assert runs(1)[0].retried == 1


def test_by_email_backend_it_is_the_same_on_every_django() -> None:
    with mail_server() as server, by_email_backend(server.port, {"queue_name": "mail"}):
        job = send(ANN)
        server.says = {"END": ["451 later"]}
        first, second = runs(2)
        assert (first.retried, second.successful, job.queue_name) == (1, 1, "mail")
        assert [taken.recipients for taken in server.taken] == [[ANN]]


@pytest.mark.parametrize(
    ("error", "is_final"),
    [
        (UnicodeError("ä"), True),
        (SMTPRecipientsRefused({ANN: (550, b""), BOB: (450, b"")}), False),
        (type("CertificateError", (OSError, ValueError), {})(), False),
        (LookupError("a bug in a backend"), False),
    ],
)
def test_only_what_is_said_of_the_message_is_for_good(error: Exception, is_final: bool) -> None:
    assert is_for_good(error) is is_final


def test_its_error_says_what_the_server_said(server: MailServer) -> None:
    job = send(ANN)
    server.says = {"END": ["452 the disk is full"]}
    runs(1)
    assert "NotDelivered: SMTPDataError: (452, b'the disk is full')" in job.attempts.last().traceback
