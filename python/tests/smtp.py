"""A mail server on the loopback for tests: keeps what it was sent, and answers as it is told to."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import django
import pytest
from django.test.utils import override_settings

from gristmill.mail import senders

QUEUED = "gristmill.mail.QueuedEmailBackend"
SMTP = "django.core.mail.backends.smtp.EmailBackend"
HAS_MAILERS = django.VERSION >= (6, 1)
#: An answer: the server hangs up instead.
DROP = "drop"


class Taken(NamedTuple):
    """What the server has taken: the envelope, and the message as it came."""

    sender: str
    recipients: list[str]
    data: bytes


class MailServer(socketserver.ThreadingTCPServer):
    """
    Answers 250, unless `says` has something else, which is used up: "CONNECT" is before the first command, "END" after
    a message.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Session)
        self.taken: list[Taken] = []
        # All that came, whatever became of it.
        self.seen: list[bytes] = []
        # By command, such as "RCPT TO:<b@example.com>", or by its verb; a lone text holds for ever.
        self.says: dict[str, list[str] | str] = {}
        self.commands: list[str] = []

    @property
    def port(self) -> int:
        port: int = self.server_address[1]
        return port

    def answer(self, command: str) -> str:
        """Returns the answer to a command; its verb may be written in any way."""
        verb, space, rest = command.partition(" ")
        self.commands.append(command := f"{verb.upper()}{space}{rest}")
        for name in (command, verb.upper()):
            said = self.says.get(name)
            if isinstance(said, str):
                return said
            if said:
                return said.pop(0)
        return "250 ok"

    def asked_for(self) -> list[str]:
        """Returns whom it was asked to take a message for, in order."""
        return [command.split("<")[1].rstrip(">") for command in self.commands if command.startswith("RCPT")]


class Session(socketserver.StreamRequestHandler):
    """One connection."""

    server: MailServer

    def handle(self) -> None:
        if not self._say(self.server.answer("CONNECT").replace("250", "220", 1)):
            return
        sender, recipients = "", []
        while line := self.rfile.readline():
            command = line.decode().strip()
            verb = command.split(" ")[0].upper()
            if verb == "DATA":
                if not self._say(said := self.server.answer("DATA").replace("250", "354", 1)):
                    return
                if not said.startswith("354"):
                    continue
                data = self._data()
                if not self._say(said := self.server.answer("END")):
                    return
                if said.startswith("250"):
                    self.server.taken.append(Taken(sender, recipients, data))
                continue
            if not self._say(said := self.server.answer(command)):
                return
            if verb == "MAIL":
                sender, recipients = address_of(command), []
            elif verb == "RCPT" and said.startswith("250"):
                recipients.append(address_of(command))
            elif verb == "QUIT":
                return

    def _say(self, answer: str) -> bool:
        if answer == DROP:
            return False
        self.wfile.write(f"{answer}\r\n".encode())
        return True

    def _data(self) -> bytes:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b"..") else line)
        self.server.seen.append(b"".join(lines))
        return self.server.seen[-1]


def address_of(command: str) -> str:
    return command.split("<")[1].split(">")[0]


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """Serves while the block runs."""
    with MailServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def queueing(server: MailServer | None, **options: Any) -> Iterator[None]:
    """Has mail queued by Django's way of the day, and sent to the server; `options` are those of the mailer."""
    port = 9 if server is None else server.port
    if HAS_MAILERS:
        smtp = {"BACKEND": SMTP, "OPTIONS": {"host": "127.0.0.1", "port": port, "timeout": 10}}
        queued = {"BACKEND": QUEUED, "OPTIONS": {"using": "smtp", **options}}
        with override_settings(MAILERS={"default": queued, "smtp": smtp}):
            yield
    else:
        with by_email_backend(port, options):
            yield


@contextmanager
def by_email_backend(port: int, options: dict[str, Any]) -> Iterator[None]:
    """Has mail queued by EMAIL_BACKEND, and sent to a port although this is a test."""
    from django.conf import settings

    default = {**settings.TASKS["default"], "OPTIONS": {"EMAIL": options}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(senders, "is_in_tests", lambda: False)
        with override_settings(
            EMAIL_BACKEND=QUEUED,
            EMAIL_HOST="127.0.0.1",
            EMAIL_PORT=port,
            EMAIL_TIMEOUT=10,
            TASKS={**settings.TASKS, "default": default},
        ):
            yield


def sent_directly(server: MailServer, message: Any) -> Taken:
    """Returns what the server takes when Django's own backend sends the message."""
    kwargs: dict[str, Any] = {"host": "127.0.0.1", "port": server.port}
    if HAS_MAILERS:
        kwargs["alias"] = "smtp"
    from django.core.mail.backends.smtp import EmailBackend

    EmailBackend(**kwargs).send_messages([message])
    return server.taken.pop()
