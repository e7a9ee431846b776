"""What settings say of queued mail: who sends it, where it is queued, and what is wrong with them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import django
import pytest
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage, get_connection
from django.test.utils import override_settings

from gristmill import Constant
from gristmill.checks import check_backend
from gristmill.compat import task_backends
from gristmill.exceptions import NotDelivered
from gristmill.mail import QueuedEmailBackend
from gristmill.mail.check import check_mail
from gristmill.mail.delivery import TASK_NAME, deliver, make_known
from gristmill.mail.options import email_entry
from gristmill.mail.senders import sending_backend
from gristmill.models import Job
from gristmill.tasks import registry
from gristmill.tasks.discovery import causes
from gristmill.worker import booting
from tests.app import worked
from tests.smtp import QUEUED, SMTP

PATH = "gristmill.backend.GristmillBackend"
LOCMEM = "django.core.mail.backends.locmem.EmailBackend"

# Of EMAIL_BACKEND, from Django 6.1 on.
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
needs_mailers = pytest.mark.skipif(django.VERSION < (6, 1), reason="Django has MAILERS from 6.1 on")


class OfTheProject(QueuedEmailBackend):
    """A project may have a class of its own."""


def message() -> EmailMessage:
    return EmailMessage("Hello", "Text", "shop@example.com", ["ann@example.com"])


def tasks(**options: Any) -> Any:
    """The settings of a project with these OPTIONS of its only alias."""
    return override_settings(TASKS={"default": {"BACKEND": PATH, "QUEUES": ["default", "mail"], "OPTIONS": options}})


def mailers(**options: Any) -> Any:
    """The settings of a project with a mailer that queues, and one that sends."""
    sends = {"BACKEND": LOCMEM}
    return override_settings(MAILERS={"default": {"BACKEND": QUEUED, "OPTIONS": options}, "smtp": sends})


def told() -> list[tuple[str, str]]:
    return [(str(each.id).rpartition(".")[2], str(each.msg)) for each in check_mail(None)]


@pytest.fixture
def outside_tests(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a worker, where the outbox does not stand for what is named."""
    monkeypatch.setattr("gristmill.mail.senders.is_in_tests", lambda: False)
    return


@pytest.mark.django_db
def test_a_job_has_the_options_that_settings_give() -> None:
    with tasks(EMAIL={"queue_name": "mail", "priority": -7, "max_attempts": 2, "backoff": Constant(9)}):
        QueuedEmailBackend().send_messages([message()])
    job = Job.objects.get()
    assert (job.queue_name, job.priority) == ("mail", -7)
    assert (job.options["max_attempts"], job.options["timeout"]) == (2, 600)
    assert "gristmill.exceptions.NotDelivered" in job.options["retry_on"]


def test_mail_goes_to_the_alias_that_says_so() -> None:
    ours, other = {"BACKEND": PATH}, {"BACKEND": "gristmill.backends.dummy.DummyBackend"}
    with override_settings(TASKS={"default": other, "jobs": ours}):
        assert email_entry() == ("jobs", {})
    with override_settings(TASKS={"jobs": ours, "default": ours}):
        assert email_entry() == ("default", {})
    with override_settings(TASKS={"default": ours, "mail": {**ours, "OPTIONS": {"EMAIL": {"priority": 1}}}}):
        assert email_entry() == ("mail", {"priority": 1})
    with override_settings(TASKS={"default": other}):
        assert email_entry() == ("default", {})
        assert QueuedEmailBackend().send_messages([message(), message()]) == 2


def test_django_s_smtp_backend_sends_unless_another_one_is_named(outside_tests: None) -> None:
    with tasks():
        assert type(sending_backend(None)).__module__ == "django.core.mail.backends.smtp"
    with tasks(EMAIL={"backend": LOCMEM}):
        assert type(sending_backend(None)).__module__ == "django.core.mail.backends.locmem"


def test_in_tests_nothing_leaves_the_house_whatever_is_named() -> None:
    with tasks(EMAIL={"backend": SMTP}):
        assert type(sending_backend(None)).__module__ == "django.core.mail.backends.locmem"


@pytest.mark.parametrize("path", [QUEUED, f"{__name__}.OfTheProject"])
def test_a_backend_that_would_queue_again_is_refused_wherever_it_is_met(outside_tests: None, path: str) -> None:
    with tasks(EMAIL={"backend": path}):
        ((number, sentence),) = told()
        with pytest.raises(ImproperlyConfigured, match="queues messages itself, so that nothing would ever be sent"):
            QueuedEmailBackend()
        with pytest.raises(NotDelivered, match="queues messages itself"):
            deliver(None, subject="", body="", from_email="a@b.c", to=["a@b.c"])
    assert number == "E015"
    assert "['EMAIL']['backend'] queues messages itself" in sentence and SMTP in sentence


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"bakend": SMTP}, "has an unknown key 'bakend'; did you mean 'backend'?"),
        ({"retry_on": [OSError]}, "has an unknown key 'retry_on'"),
        ({"queue_name": "post"}, "does not have; give it a 'queue_name' that is one of 'default', 'mail'"),
        ({"queue_name": 7}, "queue_name that is no text: 7"),
        ({"priority": 101}, "no whole number from -100 to 100: 101"),
        ({"max_attempts": 0}, "max_attempts must be a whole number from 1 up"),
        ({"backoff": lambda error, result: 1}, "a function is given to a task itself"),
        ("mail", "must be a dictionary"),
    ],
)
def test_what_is_wrong_with_the_entry_is_said_by_a_check_and_by_its_first_use(entry: Any, says: str) -> None:
    with tasks(EMAIL=entry):
        ((number, sentence),) = told()
        with pytest.raises(ImproperlyConfigured) as caught:
            QueuedEmailBackend()
    assert number == "E016"
    assert says in sentence and says in str(caught.value)


def test_a_backend_that_is_not_there_is_named() -> None:
    with tasks(EMAIL={"backend": "shop.mail.Backend"}):
        ((number, sentence),) = told()
    assert number == "E015" and "cannot be imported: 'shop.mail.Backend'" in sentence


def test_two_entries_are_one_too_many() -> None:
    entry = {"BACKEND": PATH, "OPTIONS": {"EMAIL": {}}}
    with override_settings(TASKS={"default": entry, "mail": entry}):
        ((number, sentence),) = told()
    assert number == "E016" and "'default' and 'mail'" in sentence


def test_a_queue_that_is_not_there_is_told_without_an_entry_too() -> None:
    with override_settings(EMAIL_BACKEND=QUEUED, TASKS={"default": {"BACKEND": PATH, "QUEUES": ["web"]}}):
        ((number, sentence),) = told()
        with pytest.raises(ImproperlyConfigured, match="give it a 'queue_name' that is one of 'web'"):
            QueuedEmailBackend()
    assert number == "E016" and "EMAIL_BACKEND puts mail into the queue 'default'" in sentence


def test_good_settings_are_silent() -> None:
    with override_settings(EMAIL_BACKEND=QUEUED), tasks(EMAIL={"backend": SMTP, "queue_name": "mail", "expires": 3600}):
        assert told() == []
        assert check_backend(task_backends["default"]) == []


@pytest.mark.parametrize("login", [{"username": "shop", "password": "x"}, {"host": "mail.example.com"}])
def test_a_login_or_a_server_of_the_caller_is_not_carried(login: dict[str, str]) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"{min(login, key=len)!r}.*settings; give them to the backend"):
        QueuedEmailBackend(fail_silently=True, **login)
    with tasks():
        # As Django's functions call it up to 6.0.
        QueuedEmailBackend(fail_silently=False, username=None, password=None)


def test_every_worker_knows_the_task_whatever_modules_and_queues_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_loaded", False)
    monkeypatch.setattr(registry, "tasks", {})
    monkeypatch.setattr(causes, "is_in_tests", lambda: False)
    causes._why_not_imported.cache_clear()
    monkeypatch.delitem(sys.modules, "gristmill.mail.tasks", raising=False)
    options = {"TASK_MODULES": []}
    with override_settings(TASKS={"jobs": {"BACKEND": PATH, "QUEUES": ["web"], "OPTIONS": options}}):
        registry.load()
        assert registry.get("jobs", TASK_NAME) is not None
        monkeypatch.setattr(registry, "imported_at_start", set())
        assert causes.why_unknown(TASK_NAME) is None


def test_a_worker_that_knows_nothing_but_mail_says_so(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    assert worked.note.task_name in registry.names()
    booting.warn_without_tasks()
    assert caplog.text == ""
    monkeypatch.setattr(registry, "tasks", {})
    with tasks():
        make_known()
    booting.warn_without_tasks()
    assert "no task of this project is known here, so nothing but mail will run" in caplog.text


@needs_mailers
@pytest.mark.parametrize(
    ("options", "number", "says"),
    [
        ({}, "E015", "['using'] is None, which MAILERS does not have; those that send are 'smtp'"),
        ({"using": "smpt"}, "E015", "['using'] is 'smpt', which MAILERS does not have"),
        ({"using": "default"}, "E015", "['using'] is 'default', which queues messages itself"),
        ({"using": "smtp", "hots": "x"}, "E016", "MAILERS['default']['OPTIONS'] has an unknown key 'hots'"),
        ({"using": "smtp", "queue_name": "post"}, "E016", "does not have; give it a 'queue_name'"),
        ({"using": "smtp", "task_backend": "jobs"}, "E016", "puts mail into TASKS['jobs'], which cannot be used"),
    ],
)
def test_what_is_wrong_with_a_mailer_is_said_by_a_check_and_by_its_first_use(
    options: Any, number: str, says: str
) -> None:
    with tasks(), mailers(**options):
        assert [(each, says in sentence) for each, sentence in told()] == [(number, True)]
        with pytest.raises(ImproperlyConfigured, match=r"MAILERS\['default'\]\['OPTIONS'\]"):
            mail.mailers["default"]


@needs_mailers
@pytest.mark.django_db
def test_a_mailer_says_more_than_the_entry_of_tasks() -> None:
    with tasks(EMAIL={"queue_name": "mail", "priority": 3}), mailers(using="smtp", priority=9):
        assert told() == []
        # Django hands these on for get_connection(), which it has deprecated.
        get_connection(fail_silently=True, username=None).send_messages([message()])
    job = Job.objects.get()
    assert (job.queue_name, job.priority) == ("mail", 9)


@needs_mailers
def test_what_was_queued_before_there_were_mailers_is_sent_by_the_default_one() -> None:
    with tasks(), mailers(using="smtp"):
        assert sending_backend(None).alias == "smtp"  # type: ignore[attr-defined]
    with tasks(), override_settings(MAILERS={"default": {"BACKEND": LOCMEM}}):
        assert sending_backend(None).alias == "default"  # type: ignore[attr-defined]


def test_a_mailer_that_is_gone_is_named_and_waited_for() -> None:
    with tasks(), pytest.raises(NotDelivered, match="queued for the mailer 'smtp'"):
        deliver(None, subject="", body="", from_email="a@b.c", to=["a@b.c"], mailer="smtp")
