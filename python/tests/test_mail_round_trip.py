"""What a worker sends of a queued message is what Django would have sent of it, byte for byte."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timezone
from email.headerregistry import Address
from email.message import EmailMessage as PythonMessage
from email.message import MIMEPart
from email.mime.application import MIMEApplication
from email.mime.image import MIMEImage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Any

import django
import pytest
from django.core.mail import EmailAlternative, EmailAttachment, EmailMessage, EmailMultiAlternatives
from django.utils.functional import lazystr

from gristmill.models import Job
from gristmill.testing import run_jobs
from tests.smtp import MailServer, Taken, mail_server, queueing, sent_directly

pytestmark = pytest.mark.django_db
MODERN = django.VERSION >= (6, 0)
PIXEL = bytes.fromhex("47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b")
LONG = "Grüezi " * 300


def plain(**more: Any) -> EmailMessage:
    return EmailMessage("Your receipt", "Order 7\n", "shop@example.com", ["ann@example.com"], **more)


def attached(*arguments: Any, body: str = "See the file.\n") -> EmailMessage:
    message = plain()
    message.body = body
    message.attach(*arguments)
    return message


def carrying(part: Any) -> EmailMessage:
    message = plain()
    # attach() warns of parts of the old classes.
    message.attachments.append(part)
    return message


def changed(message: EmailMessage, **attributes: Any) -> EmailMessage:
    for name, value in attributes.items():
        setattr(message, name, value)
    return message


def with_html(html: str = "<p>Order <b>7</b></p>") -> EmailMultiAlternatives:
    message = EmailMultiAlternatives("Your receipt", "Order 7", "shop@example.com", ["ann@example.com"])
    message.attach_alternative(html, "text/html")
    return message


def with_inline_image() -> EmailMultiAlternatives:
    message = with_html('<img src="cid:pixel">')
    image = MIMEImage(PIXEL, "gif")
    image.add_header("Content-ID", "<pixel>")
    image.add_header("Content-Disposition", "inline", filename="pixel.gif")
    message.attachments.append(image)
    return message


def inner() -> EmailMessage:
    return EmailMessage("Fwd: Grüße", "Ich bin drin: ü\n", "lea@example.com", ["bob@example.com"])


def of_python() -> PythonMessage:
    message = PythonMessage()
    message["Subject"] = "A message of Python's own, with a subject that is longer than a line of a header may be: ü"
    message["From"] = "Lea Müller <lea@example.com>"
    message.set_content("Grüße\n")
    message.add_alternative("<p>Grüße</p>", subtype="html")
    return message


def modern_part() -> MIMEPart:
    part = MIMEPart()
    part.set_content(PIXEL, "image", "gif", disposition="inline", filename="Blüte.gif", cid="<pixel>")
    return part


def of_parts() -> MIMEMultipart:
    related = MIMEMultipart("related")
    related.attach(MIMEText("<p>ä</p>", "html", "utf-8"))
    related.attach(MIMEApplication(b"%PDF-1.7 \x00\xff", "pdf"))
    return related


MESSAGES = {
    "plain": lambda: plain(),
    "everybody": lambda: plain(cc=["bob@example.com"], bcc=["cyd@example.com"], reply_to=["desk@example.com"]),
    "nothing in it": lambda: EmailMessage(to=["ann@example.com"]),
    "html alone": lambda: changed(plain(), content_subtype="html", body="<p>ü</p>"),
    "non-ASCII subject and body": lambda: changed(plain(), subject="Grüße 收据", body="Über 収\n" * 3),
    "a long subject": lambda: changed(plain(), subject="Ein sehr langer Betreff über alles mögliche " * 5),
    "non-ASCII names": lambda: changed(
        plain(cc=['"Müller, Zoë" <zoe@example.com>']), from_email="Jürg <j@example.com>"
    ),
    "non-ASCII domain": lambda: changed(plain(), to=["Ann <ann@bücher.example>"]),
    "long lines": lambda: changed(plain(), body=f"{LONG}\n{'x' * 2000}\n"),
    "lines of dots and From": lambda: changed(plain(), body=".\n..\nFrom here on\r\nand so on\n"),
    "another charset": lambda: changed(plain(), encoding="iso-8859-1", body="Grüße"),
    "lazy text": lambda: changed(
        plain(), subject=lazystr("später"), body=lazystr("faul"), to=[lazystr("a@example.com")]
    ),
    "headers": lambda: plain(headers={"X-Order": "7", "List-Unsubscribe": "<mailto:no@example.com>", "X-Name": "Zoë"}),
    "an address for the eye": lambda: plain(
        headers={"From": "Shop <no-reply@example.com>", "To": "Everybody <all@a.b>"}
    ),
    "its own Message-ID": lambda: plain(headers={"Message-ID": "<7@example.com>", "X-After": "1"}),
    "its own Date": lambda: plain(headers={"X-Before": "1", "date": "Mon, 01 Jan 2024 12:00:00 -0000"}),
    "a text file": lambda: attached("notes.txt", "Grüße\nund mehr\n", "text/plain"),
    "a text file with long lines": lambda: attached("notes.csv", LONG + "\n", "text/csv"),
    "a binary file": lambda: attached("receipt.pdf", b"%PDF-1.7 \x00\xff\r\n", "application/pdf"),
    "a type that is guessed": lambda: attached("photo.gif", PIXEL),
    "text of another type": lambda: attached("order.json", '{"name": "Zoë"}', "application/json"),
    "text that is none": lambda: attached("notes.txt", b"\xff\xfe\x00", "text/plain"),
    "a non-ASCII file name": lambda: attached("Quittung für März.pdf", b"%PDF", "application/pdf"),
    "no file name": lambda: attached(None, b"data", "application/octet-stream"),
    "a file without a body": lambda: attached("a.bin", b"data", "application/octet-stream", body=""),
    "an attachment by its name": lambda: plain(attachments=[EmailAttachment("a.txt", "ä", "text/plain")]),
    "an attachment as a tuple": lambda: changed(plain(), attachments=[("a.txt", "ä", "text/plain")]),
    "a message": lambda: attached("mail.eml", inner(), "message/rfc822"),
    "a message of Python's": lambda: attached("mail.eml", of_python(), "message/rfc822"),
    "a message as text": lambda: attached("mail.eml", "Subject: hello\n\nAnn\n", "message/rfc822"),
    "a message as bytes": lambda: attached(
        "mail.eml", b"Subject: hello\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n", "message/rfc822"
    ),
    "an old part": lambda: carrying(MIMEText("Grüße", "plain", "utf-8")),
    "old parts in a part": lambda: carrying(of_parts()),
    "an alternative": lambda: with_html(),
    "a long alternative": lambda: with_html(f"<p>{LONG}</p>"),
    "an alternative by its name": lambda: changed(
        with_html(), alternatives=[EmailAlternative("<p>ü</p>", "text/html")]
    ),
    "an alternative in bytes": lambda: changed(
        with_html(), alternatives=[EmailAlternative(b"\x00\x01", "application/x")]
    ),
    "an alternative and a file": lambda: (m := with_html(), m.attach("a.bin", PIXEL, "image/gif"))[0],
    "an alternative with an image in it": with_inline_image,
}
if MODERN:
    MESSAGES |= {
        "a new part": lambda: plain(attachments=[modern_part()]),
        "a message as a part": lambda: plain(attachments=[of_python()]),
        "a date of Python's": lambda: plain(headers={"Date": datetime(2024, 1, 1, 12, tzinfo=timezone.utc)}),
        "addresses of Python's": lambda: plain(headers={"To": [Address("Zoë", "zoe", "example.com")]}),
    }
else:
    MESSAGES["related parts"] = lambda: changed(with_inline_image(), mixed_subtype="related")


@pytest.fixture(scope="module")
def server() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


def comparable(taken: Taken) -> Taken:
    """The same with all that is made up for each message made alike: boundaries, dates and ids."""
    data = taken.data
    for number, boundary in enumerate(dict.fromkeys(re.findall(rb'boundary="(=+\d+==)"', data))):
        data = data.replace(boundary, b"boundary%d" % number)
    data = re.sub(rb"(?m)^(Date: ).*[+-]0000\r$", rb"\1then\r", data)
    # A long one goes into a line of its own.
    return taken._replace(data=re.sub(rb"(?m)^(Message-ID: ?(?:\r\n )?)<\d{12}\.\d+\.\d+@[^>]*>", rb"\1<id>", data))


@pytest.mark.parametrize("name", MESSAGES)
def test_a_worker_sends_what_django_would_have_sent(server: MailServer, name: str) -> None:
    with queueing(server):
        assert MESSAGES[name]().send() == 1
        assert server.taken == []
        run_jobs()
        queued = server.taken.pop()
        directly = sent_directly(server, MESSAGES[name]())
    assert comparable(queued) == comparable(directly)
    assert Job.objects.get().status == "SUCCESSFUL"


def test_what_is_made_alike_is_what_is_made_up_alone(server: MailServer) -> None:
    first, other = (comparable(sent_directly(server, with_inline_image())) for _ in range(2))
    assert first == other
    assert b"<id>" in first.data and b"Date: then" in first.data and b"boundary1" in first.data
